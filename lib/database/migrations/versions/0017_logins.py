"""login and register ask in one call before the password is hashed and one after it

Revision: 0017
After: 0016
"""

from pathlib import Path

from alembic import op

revision = "0017"
down_revision = "0016"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    op.get_bind().exec_driver_sql((_SQL / "0017_logins.sql").read_text())
