"""Words are found in all films, for their admins, by the index by which viewers find them in those that are shown

Revision: 0016
After: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.drop_index("ix_videos_search", "videos")
    op.create_index(
        "ix_videos_search",
        "videos",
        ["search"],
        postgresql_using="gin",
        postgresql_where=sa.text("deleted_at IS NULL AND status <> 'removed'"),
    )
