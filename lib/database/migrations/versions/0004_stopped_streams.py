"""A stream that was stopped, or taken over, is told from one that fell silent

Revision: 0004
After: 0003
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    op.add_column("playback_sessions", sa.Column("stopped_at", sa.DateTime(timezone=True)))
    op.create_check_constraint(
        op.f("ck_playback_sessions_stopped_is_over"), "playback_sessions", "expires_at <= stopped_at"
    )
    op.get_bind().exec_driver_sql((_SQL / "0004_stopped_streams.sql").read_text())
