"""The demo admin of one machine."""

from lib.accounts.staff import Staff
from lib.adapters.argon2_hasher import Argon2Hasher
from lib.config import Environment
from lib.database.engine import Database


def ensure_admin(database_url: str, email: str, password: str) -> None:
    """Makes `email` an admin with this password, whether or not the account was there."""
    database = Database(Environment({"DATABASE_URL": database_url}).database())
    staff = Staff(database, Argon2Hasher(1))
    staff.add(email.lower(), password=password, name="Admin", actor="make run")
    database.dispose()
