"""What was begun and never heard of again: a customer at Stripe, an event that is processed

Revision: 0014
After: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("billing_accounts", sa.Column("customer_attempt", sa.Uuid()))
    for table in ("billing_accounts", "closures"):
        op.add_column(table, sa.Column("customer_begun_at", sa.DateTime(timezone=True)))
    op.create_check_constraint(
        op.f("ck_billing_accounts_begun_whole"),
        "billing_accounts",
        "(customer_attempt IS NULL) = (customer_begun_at IS NULL)",
    )
    op.alter_column("closures", "stripe_customer_id", nullable=True)
    op.create_check_constraint(
        op.f("ck_closures_something_left"),
        "closures",
        "stripe_customer_id IS NOT NULL OR customer_begun_at IS NOT NULL",
    )
    op.add_column("inbox", sa.Column("unfinished", sa.Integer(), nullable=False, server_default="0"))
    op.create_check_constraint(op.f("ck_inbox_unfinished_counts"), "inbox", "unfinished >= 0")
