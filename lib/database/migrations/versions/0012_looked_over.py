"""Films that are ready are looked over in turn

Revision: 0012
After: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_index(
        "ix_videos_ready",
        "videos",
        [sa.text("checked_at NULLS FIRST")],
        postgresql_where=sa.text("status = 'ready' AND deleted_at IS NULL"),
    )
