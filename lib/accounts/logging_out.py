"""Ends of logins. Access tokens of an ended login are refused at once wherever the login is asked for."""

import uuid

from lib.accounts import store
from lib.database.engine import Database
from lib.errors import NotFoundError


class Logouts:
    """Ends logins."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def end(self, user_id: uuid.UUID, session_id: uuid.UUID, *, address: str) -> None:
        """End one login of the user, and its streams.

        Raises:
            NotFoundError: there is no such open login of this user.
        """
        with self._database.transaction() as tx:
            if not store.revoke_sessions(tx, user_id, session_id):
                raise NotFoundError("There is no such login")
            store.record(tx, "logged_out", user_id, {"logins": 1}, address=address)

    def end_all(self, user_id: uuid.UUID, *, but: uuid.UUID | None, address: str) -> None:
        """End all logins of the user, or all but one, and their streams. That there is none is fine."""
        with self._database.transaction() as tx:
            ended = store.revoke_sessions(tx, user_id, None, but=but)
            store.record(tx, "logged_out", user_id, {"logins": ended}, address=address)
