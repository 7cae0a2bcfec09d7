"""Events may be dead; how far reconcile has come at the provider; a sync before a refusal

Revision: 0007
After: 0006
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"

_SQL = Path(__file__).parent.parent / "sql"
_NOW = sa.text("now()")


def upgrade() -> None:
    for name, condition in (
        ("state_known", "state IN ('received', 'processed', 'ignored', 'dead')"),
        ("processed_once", "(state IN ('received', 'dead')) = (processed_at IS NULL)"),
    ):
        op.drop_constraint(op.f(f"ck_inbox_{name}"), "inbox", type_="check")
        op.create_check_constraint(op.f(f"ck_inbox_{name}"), "inbox", condition)
    op.create_index("ix_inbox_dead", "inbox", ["received_at"], postgresql_where=sa.text("state = 'dead'"))
    op.create_table(
        "walks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", JSONB(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_walks")),
    )
    op.create_table(
        "denial_syncs",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_denial_syncs_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_denial_syncs")),
    )
    op.get_bind().exec_driver_sql((_SQL / "0007_claim_sync.sql").read_text())
