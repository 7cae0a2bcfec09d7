"""What is looked for by an account has an index: its logins, ended ones too, its codes, its films; and the admins

Revision: 0018
After: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.create_index(
        "ix_gift_codes_redeemed_by",
        "gift_codes",
        ["redeemed_by"],
        postgresql_where=sa.text("redeemed_by IS NOT NULL"),
    )
    op.create_index(
        "ix_videos_created_by", "videos", ["created_by"], postgresql_where=sa.text("created_by IS NOT NULL")
    )
    op.create_index("ix_users_admins", "users", ["id"], postgresql_where=sa.text("role = 'admin'"))
    # Last, since whoever is logged in waits for it; and the old one goes first: it takes the stronger lock, for which
    # a request that waits for ours would not make way.
    op.drop_index("ix_sessions_live", "sessions")
    op.create_index("ix_sessions_user_id", "sessions", ["user_id", "last_used_at"])
