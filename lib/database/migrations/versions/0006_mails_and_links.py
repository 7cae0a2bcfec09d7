"""Mails on their way, and the links they carry

Revision: 0006
After: 0005
"""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"

_NOW = sa.text("now()")


def _moment(name: str, *, nullable: bool = False, default: bool = False) -> sa.Column[datetime]:
    return sa.Column(
        name, sa.DateTime(timezone=True), nullable=nullable, server_default=_NOW if default else None
    )


def upgrade() -> None:
    op.create_table(
        "mails",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid()),
        sa.Column("email", sa.Text()),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("facts", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("enqueues", sa.Integer(), server_default="1", nullable=False),
        sa.Column("last_error", sa.Text()),
        _moment("created_at", default=True),
        _moment("due_at"),
        _moment("claimed_at", nullable=True),
        _moment("settled_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mails")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_mails_user_id"), ondelete="CASCADE"),
        sa.CheckConstraint(
            "kind IN ('verification', 'already_registered', 'reset', 'email_change', 'email_changed', "
            "'password_changed', 'new_device', 'session_reuse')",
            name=op.f("ck_mails_kind_known"),
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'sending', 'sent', 'needless', 'failed', 'unknown')",
            name=op.f("ck_mails_state_known"),
        ),
        sa.CheckConstraint(
            "(settled_at IS NULL) = (state IN ('waiting', 'sending'))", name=op.f("ck_mails_settled_whole")
        ),
        sa.CheckConstraint(
            "state <> 'sending' OR claimed_at IS NOT NULL", name=op.f("ck_mails_sending_since")
        ),
        sa.CheckConstraint(
            "settled_at IS NOT NULL OR user_id IS NOT NULL OR email IS NOT NULL",
            name=op.f("ck_mails_addressed"),
        ),
        sa.CheckConstraint("settled_at IS NULL OR email IS NULL", name=op.f("ck_mails_address_forgotten")),
    )
    op.create_index("ix_mails_user_id", "mails", ["user_id"])
    op.create_index("ix_mails_due_at", "mails", ["due_at"], postgresql_where=sa.text("state = 'waiting'"))
    op.create_index(
        "ix_mails_claimed_at", "mails", ["claimed_at"], postgresql_where=sa.text("state = 'sending'")
    )
    op.create_index(
        "ix_mails_settled_at", "mails", ["settled_at"], postgresql_where=sa.text("settled_at IS NOT NULL")
    )
    op.create_table(
        "links",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("email", sa.Text()),
        _moment("created_at", default=True),
        _moment("expires_at"),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_links")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_links_user_id"), ondelete="CASCADE"),
        sa.CheckConstraint("purpose IN ('verify', 'change', 'reset')", name=op.f("ck_links_purpose_known")),
        sa.CheckConstraint("(purpose = 'change') = (email IS NOT NULL)", name=op.f("ck_links_change_to")),
        sa.CheckConstraint("octet_length(token_hash) = 32", name=op.f("ck_links_hash_length")),
        sa.CheckConstraint("expires_at > created_at", name=op.f("ck_links_expires_later")),
    )
    op.create_index("ix_links_user_id", "links", ["user_id"])
    op.create_index("ix_links_expires_at", "links", ["expires_at"])
