"""Verified addresses: whoever follows the link that was mailed there has it."""

import uuid
from typing import Any

from sqlalchemy import Connection, Row, func
from sqlalchemy.exc import DBAPIError

from lib.accounts import mail_store, store
from lib.accounts.mail_kinds import EMAIL_CHANGED, VERIFICATION
from lib.accounts.mail_throttle import MailThrottle
from lib.accounts.outbox import Outbox
from lib.database.engine import Database, is_duplicate
from lib.errors import InvalidLinkError


class Verification:
    """Uses links for verify-email, and sends them."""

    def __init__(self, database: Database, outbox: Outbox, throttle: MailThrottle) -> None:
        self._database = database
        self._outbox = outbox
        self._throttle = throttle

    def confirm(self, token: str, address: str) -> None:
        """The address is verified, or the new one becomes the account's.

        Raises:
            InvalidLinkError: also where somebody else has the new address meanwhile.
        """
        notice: uuid.UUID | None = None
        with self._database.transaction() as tx:
            link = mail_store.use_link(tx, mail_store.hash_of(token), "verify", "change")
            if link is None:
                raise InvalidLinkError
            if link.purpose == "change":
                notice = self._change(tx, link, address)
            elif mail_store.verify_email(tx, link.user_id):
                store.record(tx, "email_verified", link.user_id, {}, address=address)
        if notice:
            self._outbox.enqueue(notice)

    def _change(self, tx: Connection, link: Row[Any], address: str) -> uuid.UUID:
        user = mail_store.addressee(tx, user_id=link.user_id, email=None)
        if user is None:
            raise InvalidLinkError
        try:
            store.change_user(tx, user.id, {"email": link.email, "email_verified_at": func.now()})
        except DBAPIError as error:
            if is_duplicate(error):
                # The transaction ends with this: the link stays, and is as useless as before.
                raise InvalidLinkError from None
            raise
        mail_store.end_links(tx, link.user_id)
        store.record(tx, "email_changed", link.user_id, {}, address=address)
        return self._outbox.put(tx, EMAIL_CHANGED, user_id=link.user_id, email=user.email)

    def send_again(self, user_id: uuid.UUID, address: str) -> None:
        """Another mail, unless the address is verified.

        Raises:
            TooManyRequestsError: to this recipient, or from this network address.
        """
        mail_id: uuid.UUID | None = None
        with self._database.transaction() as tx:
            # Locked: else it could go before its mail is put.
            user = store.lock_person(tx, user_id)
            refusal = self._throttle.count(tx, email=user.email, address=address)
            if refusal is None and user.email_verified_at is None:
                mail_id = self._outbox.put(tx, VERIFICATION, user_id=user_id)
        if refusal:
            raise refusal
        if mail_id:
            self._outbox.enqueue(mail_id)
