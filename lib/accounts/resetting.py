"""A new password for who does not know the old one, by a link mailed to the account's address."""

import uuid

from lib.accounts import mail_store, store
from lib.accounts.mail_kinds import PASSWORD_CHANGED, RESET, seen_from
from lib.accounts.mail_throttle import MailThrottle
from lib.accounts.outbox import Outbox
from lib.accounts.passwords import refuse_weak
from lib.accounts.ports import Hasher
from lib.database.engine import Database
from lib.errors import InvalidLinkError


class Resets:
    """Sends links for reset-password, and uses them."""

    def __init__(self, database: Database, hasher: Hasher, outbox: Outbox, throttle: MailThrottle) -> None:
        self._database = database
        self._hasher = hasher
        self._outbox = outbox
        self._throttle = throttle

    def ask(self, email: str, address: str) -> None:
        """A mail to the account with this address, if there is one.

        Nobody looks for it here: the mail's task does. So there is nothing to be told from the answer, nor from how
        long it takes.

        Raises:
            TooManyRequestsError: to this recipient, or from this network address.
        """
        mail_id: uuid.UUID | None = None
        with self._database.transaction() as tx:
            refusal = self._throttle.count(tx, email=email, address=address)
            if refusal is None:
                mail_id = self._outbox.put(tx, RESET, email=email)
        if refusal:
            raise refusal
        if mail_id:
            self._outbox.enqueue(mail_id)

    def set(self, token: str, password: str, address: str) -> None:
        """The password is this from now on; all logins end, and so do all other links of the account.

        Whoever has the link reads the address's mail, which is what verifying it would show: it is verified.

        Raises:
            InvalidLinkError: nothing is hashed then.
            WeakPasswordError: it is a common one, or the account's address or name. The link goes on working.
        """
        token_hash = mail_store.hash_of(token)
        with self._database.transaction() as tx:
            user = mail_store.whose_link(tx, token_hash, "reset")
        if user is None:
            raise InvalidLinkError
        refuse_weak(password, email=user.email, name=user.name)
        password_hash = self._hasher.hash(password)
        with self._database.transaction() as tx:
            store.lock_streams(tx, user.id)
            there = mail_store.addressee(tx, user_id=user.id, email=None)
            if there is None or mail_store.use_link(tx, token_hash, "reset") is None:
                raise InvalidLinkError
            store.change_user(tx, user.id, {"password_hash": password_hash})
            mail_store.verify_email(tx, user.id)
            mail_store.end_links(tx, user.id)
            ended = store.revoke_sessions(tx, user.id, None)
            # Whoever kept the owner out by guessing does so no longer.
            store.forgive_account(tx, user.email, address)
            store.forgive_password(tx, user.id)
            store.record(tx, "password_reset", user.id, {"logins_ended": ended}, address=address)
            mail_id = self._outbox.put(tx, PASSWORD_CHANGED, user_id=user.id, facts=seen_from(address))
        self._outbox.enqueue(mail_id)
