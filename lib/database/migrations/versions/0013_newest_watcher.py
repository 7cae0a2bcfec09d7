"""The position of who watched last is where a film goes on; what no provider can play takes no place

Revision: 0013
After: 0012
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    op.add_column("playback_sessions", sa.Column("heard_at", sa.DateTime(timezone=True)))
    op.get_bind().exec_driver_sql((_SQL / "0013_newest_watcher.sql").read_text())
