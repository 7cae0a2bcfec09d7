"""Admins: made and unmade by whoever operates the place, never through the API."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from lib.accounts import mail_store, store
from lib.accounts.ports import Hasher
from lib.database.engine import Database
from lib.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Appointment:
    """What making somebody an admin changed."""

    user: Row[Any]
    created: bool
    promoted: bool
    password_set: bool


class Staff:
    """Gives and takes the role. What it changes stands in the audit log."""

    def __init__(self, database: Database, hasher: Hasher) -> None:
        self._database = database
        self._hasher = hasher

    def add(self, email: str, *, password: str | None, actor: str, name: str | None = None) -> Appointment:
        """Makes the account an admin's, and the account itself if there is none.

        A password that is not the account's becomes it, and ends the account's logins and links: whoever
        registered this address before need not be its owner. It counts as verified: the operator knows whose it is.

        Args:
            email: normalised.
            password: None leaves it as it is.

        Raises:
            NotFoundError: there is no such account, and no password to make one with.
        """
        with self._database.transaction() as tx:
            known = store.user_by_email(tx, email)
        fits = password is None or (known is not None and self._hasher.verify(known.password_hash, password))
        password_hash = None if fits or password is None else self._hasher.hash(password)
        with self._database.transaction() as tx:
            if known is not None and password_hash is not None:
                store.lock_streams(tx, known.id)
            made = password_hash and store.add_user(tx, email=email, name=name, password_hash=password_hash)
            user = store.lock_user(tx, email)
            if user is None:
                raise NotFoundError("There is no such account")
            promoted = store.give_role(tx, user.id, "admin")
            changed = password_hash is not None and not made
            if changed and password_hash:
                store.replace_password_hash(tx, user.id, old=user.password_hash, new=password_hash)
                store.revoke_sessions(tx, user.id, None)
                mail_store.end_links(tx, user.id)
            if password_hash is not None:
                mail_store.verify_email(tx, user.id)
            if promoted or changed:
                detail = {"created": bool(made), "password_set": changed}
                store.record(tx, "admin_added", user.id, detail, actor=actor)
            return Appointment(user, bool(made), promoted and not made, changed)

    def remove(self, email: str, *, actor: str) -> Row[Any]:
        """A viewer again, from the next request on; the account.

        Raises:
            NotFoundError: there is no such account.
        """
        with self._database.transaction() as tx:
            user = store.lock_user(tx, email)
            if user is None:
                raise NotFoundError("There is no such account")
            if store.give_role(tx, user.id, "viewer"):
                store.record(tx, "admin_removed", user.id, {}, actor=actor)
            return user
