"""Everything held about a person, as JSON.

Made from the tables themselves: each one that names a user is in it, so a new one is too. Left out is what
proves who somebody is and tells nothing about them: hashes and seals.
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, or_, select

from lib.accounts import store
from lib.database.engine import Database
from lib.database.schema import mails, metadata, users
from lib.errors import InvalidTokenError
from lib.web.operation import rfc3339

# Hashes and seals are bytes in every table but this.
_SECRETS = {users.c.password_hash}


class Exports:
    """Hands people what is held about them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, user_id: uuid.UUID) -> dict[str, list[dict[str, Any]]]:
        """Table -> its rows about the user.

        Raises:
            InvalidTokenError: the user is gone.
        """
        with self._database.transaction() as tx:
            store.read_one_snapshot(tx)
            held = {"users": _rows(tx, users, users.c.id == user_id)}
            if not held["users"]:
                raise InvalidTokenError
            for table in metadata.sorted_tables:
                theirs = [column == user_id for column in table.c if _names_a_user(column)]
                if theirs:
                    held[table.name] = _rows(tx, table, or_(*theirs))
            # Asked for by address alone.
            mine = mails.c.email == held["users"][0]["email"]
            held["mails"] += _rows(tx, mails, and_(mails.c.user_id.is_(None), mine))
        return held


def _names_a_user(column: Column[Any]) -> bool:
    return column.name == "user_id" or any(key.column is users.c.id for key in column.foreign_keys)


def _rows(tx: Connection, table: Table, theirs: ColumnElement[bool]) -> list[dict[str, Any]]:
    columns = [
        column for column in table.c if column.type.python_type is not bytes and column not in _SECRETS
    ]
    found = tx.execute(select(*columns).where(theirs).order_by(*table.primary_key))
    return [{name: _plain(value) for name, value in row.items()} for row in found.mappings()]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return rfc3339(value)
    return str(value) if isinstance(value, uuid.UUID) else value
