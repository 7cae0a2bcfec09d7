"""Indexes to find what is over; how far somebody got in a film outlives the login

Revision: 0005
After: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_index("ix_attempts_window_ends_at", "attempts", ["window_ends_at"])
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.create_index(
        "ix_inbox_processed_at",
        "inbox",
        ["processed_at"],
        postgresql_where=sa.text("processed_at IS NOT NULL"),
    )
    op.create_index("ix_refresh_tokens_session_id", "refresh_tokens", ["session_id"])
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_index(
        "ix_sessions_revoked_at",
        "sessions",
        ["revoked_at"],
        postgresql_where=sa.text("revoked_at IS NOT NULL"),
    )
    op.alter_column("playback_sessions", "session_id", nullable=True)
    op.drop_constraint("fk_playback_sessions_session_id", "playback_sessions", type_="foreignkey")
    op.create_foreign_key(
        op.f("fk_playback_sessions_session_id"),
        "playback_sessions",
        "sessions",
        ["session_id"],
        ["id"],
        ondelete="SET NULL",
    )
