"""What people change about their own account."""

import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from lib.accounts import mail_store, store
from lib.accounts.confirming import CurrentPassword, refuse_changed
from lib.accounts.email_changes import EmailChanges
from lib.accounts.mail_kinds import PASSWORD_CHANGED, seen_from
from lib.accounts.mail_throttle import MailThrottle
from lib.accounts.outbox import Outbox
from lib.accounts.passwords import refuse_weak
from lib.accounts.ports import Hasher
from lib.database.engine import Database
from lib.web.ports import Caller


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to change; None for what is not. `renamed` tells a name that goes from one that stays."""

    name: str | None
    renamed: bool
    email: str | None
    password: str | None
    current_password: str | None


class Changes:
    """Changes name and password, and asks for a new email address."""

    def __init__(
        self,
        database: Database,
        hasher: Hasher,
        current: CurrentPassword,
        outbox: Outbox,
        email_changes: EmailChanges,
        throttle: MailThrottle,
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._current = current
        self._outbox = outbox
        self._email_changes = email_changes
        self._throttle = throttle

    def apply(self, caller: Caller, wishes: Wishes, *, address: str) -> Row[Any]:
        """The user afterwards, who has the old email until the new one is verified.

        A new password ends all other logins, and their streams.

        Args:
            wishes: with the current password if email or password are to change.

        Raises:
            WrongPasswordError, TooManyAttemptsError: see CurrentPassword.
            WeakPasswordError: the new password is a common one, or their email or name.
            TooManyRequestsError: so many mails were asked for, to this recipient or from this network.
        """
        if wishes.current_password is None:
            with self._database.transaction() as tx:
                return self._rename(tx, caller.user_id, wishes)
        confirmed = self._current.confirm(caller.user_id, wishes.current_password)
        password_hash = None
        if wishes.password is not None:
            name = wishes.name if wishes.renamed else confirmed.name
            for email in (confirmed.email, wishes.email or confirmed.email):
                refuse_weak(wishes.password, email=email, name=name)
            # Outside of any transaction: hashing takes its time.
            password_hash = self._hasher.hash(wishes.password)
        new_email = None if wishes.email == confirmed.email else wishes.email
        if new_email is not None:
            with self._database.transaction() as tx:
                refusal = self._throttle.count(tx, email=new_email, address=address)
            if refusal:
                raise refusal
        mail_ids = []
        with self._database.transaction() as tx:
            if password_hash is not None:
                store.lock_streams(tx, caller.user_id)
            refuse_changed(confirmed, store.lock_person(tx, caller.user_id))
            store.forgive_password(tx, caller.user_id)
            if password_hash is not None:
                mail_ids.append(self._change_password(tx, caller, password_hash, address))
            if new_email is not None:
                mail_ids.append(self._email_changes.ask(tx, caller.user_id, new_email))
                store.record(tx, "email_change_asked", caller.user_id, {}, address=address)
            user = self._rename(tx, caller.user_id, wishes)
        for mail_id in mail_ids:
            self._outbox.enqueue(mail_id)
        return user

    @staticmethod
    def _rename(tx: Connection, user_id: uuid.UUID, wishes: Wishes) -> Row[Any]:
        if wishes.renamed:
            return store.change_user(tx, user_id, {"name": wishes.name})
        return store.user_by_id(tx, user_id)

    def _change_password(self, tx: Connection, caller: Caller, password_hash: str, address: str) -> uuid.UUID:
        """The id of the mail that tells of it."""
        store.change_user(tx, caller.user_id, {"password_hash": password_hash})
        # Whoever could read the mail may have asked for a link, or somebody else for a new address.
        mail_store.end_links(tx, caller.user_id)
        ended = store.revoke_sessions(tx, caller.user_id, None, but=caller.session_id)
        store.record(tx, "password_changed", caller.user_id, {"logins_ended": ended}, address=address)
        return self._outbox.put(tx, PASSWORD_CHANGED, user_id=caller.user_id, facts=seen_from(address))
