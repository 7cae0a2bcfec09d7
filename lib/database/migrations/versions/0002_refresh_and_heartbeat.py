"""Refresh tokens remember their successor, sealed; a heartbeat is one question

Revision: 0002
After: 0001
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    op.add_column("refresh_tokens", sa.Column("sealed_successor", sa.LargeBinary()))
    op.create_check_constraint(
        op.f("ck_refresh_tokens_spent_whole"),
        "refresh_tokens",
        "(spent_at IS NULL) = (sealed_successor IS NULL)",
    )
    op.get_bind().exec_driver_sql((_SQL / "0002_heartbeat.sql").read_text())
