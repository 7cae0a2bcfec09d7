"""A release that was taken back meets a schema newer than itself."""

import pytest
import sqlalchemy as sa
from alembic.util import CommandError

from infra.local.supervisor import Stack
from lib.database.engine import Database
from lib.database.migrate import upgrade


@pytest.mark.parametrize("revision", ["9999", "elsewhere"])
def test_a_newer_schema_is_left_alone(stack: Stack, database: Database, revision: str) -> None:
    with database.transaction() as tx:
        ours = tx.execute(
            sa.text("UPDATE alembic_version SET version_num = :r RETURNING old.version_num"), {"r": revision}
        )
        before = ours.scalar_one()
    try:
        if revision.isdecimal():
            upgrade(stack.database_url)
        else:
            with pytest.raises(CommandError):
                upgrade(stack.database_url)
    finally:
        with database.transaction() as tx:
            tx.execute(sa.text("UPDATE alembic_version SET version_num = :r"), {"r": before})
