"""What people change about their own account."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from lib.accounts import store
from lib.accounts.confirming import CurrentPassword, refuse_changed
from lib.accounts.passwords import refuse_weak
from lib.accounts.ports import Hasher
from lib.database.engine import Database
from lib.web.ports import Caller


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to change: only what is in `names` (the name may become None), and a password where there is one."""

    name: str | None
    renamed: bool
    password: str | None
    current_password: str | None


class Changes:
    """Changes name and password."""

    def __init__(self, database: Database, hasher: Hasher, current: CurrentPassword) -> None:
        self._database = database
        self._hasher = hasher
        self._current = current

    def apply(self, caller: Caller, wishes: Wishes, *, address: str) -> Row[Any]:
        """The user afterwards. A new password ends all other logins, and their streams.

        Raises:
            WrongPasswordError, TooManyAttemptsError: see CurrentPassword.
            WeakPasswordError: the new password is a common one, or their email or name.
        """
        confirmed = None
        if wishes.current_password is not None:
            confirmed = self._current.confirm(caller.user_id, wishes.current_password)
        password_hash = None
        if confirmed is not None and wishes.password is not None:
            name = wishes.name if wishes.renamed else confirmed.name
            refuse_weak(wishes.password, email=confirmed.email, name=name)
            # Outside of any transaction: hashing takes its time.
            password_hash = self._hasher.hash(wishes.password)
        with self._database.transaction() as tx:
            user = store.lock_person(tx, caller.user_id)
            if confirmed is not None:
                refuse_changed(confirmed, user)
                store.forgive_password(tx, user.id)
            values: dict[str, Any] = {"name": wishes.name} if wishes.renamed else {}
            if password_hash is not None:
                values["password_hash"] = password_hash
                ended = store.revoke_sessions(tx, user.id, None, but=caller.session_id)
                detail = {"logins_ended": ended}
                store.record(tx, "password_changed", user.id, detail, address=address)
            return store.change_user(tx, user.id, values) if values else user
