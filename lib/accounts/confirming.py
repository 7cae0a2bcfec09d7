"""The current password, asked for once more before something that cannot be taken back."""

import uuid
from typing import Any

from sqlalchemy import Row

from lib.accounts import limits, store
from lib.accounts.ports import Hasher
from lib.database.engine import Database
from lib.errors import UnavailableError, WrongPasswordError
from lib.web.attempts import count_attempt


class CurrentPassword:
    """Confirms that whoever holds an access token knows the password too.

    Counted as logins are, so that a stolen token is no place to guess; but apart from them, so that strangers
    who fail to log in keep nobody from changing the password.
    """

    def __init__(self, database: Database, hasher: Hasher) -> None:
        self._database = database
        self._hasher = hasher

    def confirm(self, user_id: uuid.UUID, password: str) -> Row[Any]:
        """The user, as they were when the password fitted.

        Raises:
            TooManyAttemptsError: nothing is hashed then.
            WrongPasswordError: it does not fit.
        """
        with self._database.transaction() as tx:
            refusal = count_attempt(tx, limits.confirmations(user_id))
            user = store.user_by_id(tx, user_id)
        # Raised after the commit, so that refused attempts count.
        if refusal:
            raise refusal
        if not self._hasher.verify(user.password_hash, password):
            raise WrongPasswordError
        return user


def refuse_changed(confirmed: Row[Any], now: Row[Any]) -> None:
    """Raises UnavailableError where the password was changed since it was confirmed: try again with the new one."""
    if now.password_hash != confirmed.password_hash:
        raise UnavailableError("The account is being changed elsewhere", retry_after=1)
