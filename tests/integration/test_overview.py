"""account shows one moment: what commits while it is being read is not half in it."""

import uuid
from typing import Any

from sqlalchemy import Connection, select, update

from lib.accounts.overview import Overviews
from lib.database.engine import Database
from lib.database.schema import users
from tests.factories import Factory


class Meanwhile:
    """A membership that is read while somebody else commits a change."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.seen: list[str | None] = []

    def of(
        self, tx: Connection, user_id: uuid.UUID, _role: str
    ) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        name = select(users.c.name).where(users.c.id == user_id)
        self.seen.append(tx.scalar(name))
        with self.database.transaction() as other:
            other.execute(update(users).where(users.c.id == user_id).values(name="After"))
        self.seen.append(tx.scalar(name))
        return None, {}

    def films(self, _tx: Connection, _user_id: uuid.UUID) -> list[dict[str, Any]]:
        return []


def test_it_is_read_in_one_snapshot(make: Factory, database: Database) -> None:
    person = make.person(name="Before")
    membership = Meanwhile(database)
    found = Overviews(database, membership).of(person.id)
    assert (found.user.name, membership.seen) == ("Before", ["Before", "Before"])
