"""Pages of all films, for their admins

Revision: 0015
After: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_index(
        "ix_videos_managed",
        "videos",
        ["created_at", "id"],
        postgresql_where=sa.text("deleted_at IS NULL AND status <> 'removed'"),
    )
