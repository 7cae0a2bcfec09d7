"""Accounts that are closed: what is left to end at Stripe, and an audit log that can forget an address

Revision: 0009
After: 0008
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    op.create_table(
        "closures",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("stripe_customer_id", sa.Text, nullable=False),
        sa.Column("enqueues", sa.Integer, server_default="1", nullable=False),
        sa.Column("enqueued_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_closures")),
        sa.CheckConstraint("enqueues > 0", name=op.f("ck_closures_enqueued")),
    )
    op.create_index("ix_closures_enqueued_at", "closures", ["enqueued_at"])
    op.add_column("audit_log", sa.Column("address", sa.Text))
    op.create_index(
        "ix_audit_log_placed", "audit_log", ["at"], postgresql_where=sa.text("address IS NOT NULL")
    )
    op.get_bind().exec_driver_sql((_SQL / "0009_closures.sql").read_text())
