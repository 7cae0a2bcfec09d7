"""The demo admin of one machine."""

import uuid

from sqlalchemy.dialects.postgresql import insert

from lib.adapters.argon2_hasher import Argon2Hasher
from lib.config import Environment
from lib.database.engine import Database
from lib.database.schema import users


def ensure_admin(database_url: str, email: str, password: str) -> None:
    """Makes `email` an admin with this password, whether or not the account was there."""
    values = {"role": "admin", "password_hash": Argon2Hasher(1).hash(password)}
    statement = insert(users).values(id=uuid.uuid4(), email=email.lower(), name="Admin", **values)
    database = Database(Environment({"DATABASE_URL": database_url}).database())
    with database.transaction() as tx:
        tx.execute(statement.on_conflict_do_update(index_elements=[users.c.email], set_=values))
    database.dispose()
