"""Sends the mails of the outbox: process-task's work for accounts.

At most once. A mail is claimed, and that is committed, before the server hears of it. What is known not to have been
taken goes back; what may have been taken never does. See docs/decisions/0012-mail-at-most-once.md.

The token of a link is made here and exists in the mail alone: the database gets its SHA-256.
"""

import secrets
import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from lib.accounts import mail_store
from lib.accounts.mail_kinds import (
    ALREADY_REGISTERED,
    EMAIL_CHANGE,
    EMAIL_CHANGED,
    RESET,
    VERIFICATION,
    seen_from,
)
from lib.accounts.outbox import AGAIN_AFTER
from lib.accounts.ports import (
    Letter,
    Mail,
    MailDelayedError,
    MailError,
    MailInDoubtError,
    MailRefusedError,
    Templates,
)
from lib.database.engine import Database
from lib.errors import UnavailableError
from lib.web import log
from lib.web.operation import as_uuid

VERIFY_LINK_LIVES = timedelta(hours=24)
CHANGE_LINK_LIVES = timedelta(hours=1)
RESET_LINK_LIVES = timedelta(hours=1)

MAILS_AT_ONCE = 3
SLOT_WAIT_SECONDS = 2


@dataclass(frozen=True, slots=True)
class _Link:
    """What a kind's link is for, the page it leads to, and how long it works."""

    purpose: str
    page: str
    lives: timedelta
    said: str


_VERIFY = _Link("verify", "verify-email", VERIFY_LINK_LIVES, "24 hours")
_CHANGE = _Link("change", "verify-email", CHANGE_LINK_LIVES, "an hour")
_RESET = _Link("reset", "reset-password", RESET_LINK_LIVES, "an hour")
_LINKS = {VERIFICATION: _VERIFY, EMAIL_CHANGE: _CHANGE, RESET: _RESET, ALREADY_REGISTERED: _RESET}


@dataclass(frozen=True, slots=True)
class _Addressed:
    """A mail of which is known whom it reaches and what it says."""

    kind: str
    user_id: uuid.UUID
    to: str


class Mailing:
    """Sends.

    Args:
        app_url: the client application, to which the links lead.
        slots: mails at once in this process. A mail server that hangs holds these, and leaves the other threads to
            tasks that are about money.
    """

    def __init__(
        self, database: Database, mail: Mail, templates: Templates, app_url: str, slots: int = MAILS_AT_ONCE
    ) -> None:
        self._database = database
        self._slots = threading.BoundedSemaphore(slots)
        self._mail = mail
        self._templates = templates
        self._app_url = app_url

    def send(self, task: dict[str, Any]) -> None:
        """Send the mail that the task names, unless that is done, needless or somebody else's already.

        Raises:
            UnavailableError: it was not taken, or too many are being sent; the queue is to try again.
        """
        mail_id = as_uuid(task.get("mail_id", ""))
        if mail_id is None:
            return
        if not self._slots.acquire(timeout=SLOT_WAIT_SECONDS):
            raise UnavailableError("Too many mails at once", retry_after=5)
        try:
            self._send(mail_id)
        finally:
            self._slots.release()

    def _send(self, mail_id: uuid.UUID) -> None:
        with self._database.transaction() as tx:
            waiting = mail_store.waiting_mail(tx, mail_id)
            if waiting is None:
                return
            # The account first, as does whoever ends what is on its way there.
            user = mail_store.addressee(tx, user_id=waiting.user_id, email=waiting.email)
            row = mail_store.claim_mail(tx, mail_id)
            if row is None:
                return
            addressed = user and _addressed(tx, row, user)
            if addressed is None:
                mail_store.settle_mail(tx, mail_id, "needless")
                return
            # Written before the commit: a template that fails leaves the mail where it was.
            letter, token_hash = self._letter(tx, row, addressed)
        try:
            self._mail.send(letter)
        except MailInDoubtError as error:
            self._settle(row, "unknown", error)
        except MailRefusedError as error:
            self._settle(row, "failed", error, token_hash)
        except MailDelayedError as error:
            self._put_back(row, error, token_hash)
        else:
            with self._database.transaction() as tx:
                mail_store.settle_mail(tx, mail_id, "sent")

    def _letter(self, tx: Connection, row: Row[Any], addressed: _Addressed) -> tuple[Letter, bytes | None]:
        facts = (
            seen_from("")
            | row.facts
            | {"at": row.created_at.astimezone(UTC).strftime("%-d %B %Y at %H:%M UTC")}
        )
        made = _LINKS.get(addressed.kind)
        if made is None:
            return Letter(row.id, addressed.to, self._templates.write(addressed.kind, facts, None)), None
        token = secrets.token_urlsafe(32)
        token_hash = mail_store.hash_of(token)
        mail_store.add_link(
            tx,
            token_hash,
            user_id=addressed.user_id,
            purpose=made.purpose,
            email=addressed.to if made is _CHANGE else None,
            lives=made.lives,
        )
        link = f"{self._app_url}/{made.page}?token={token}"
        words = self._templates.write(addressed.kind, facts | {"lives": made.said}, link)
        return Letter(row.id, addressed.to, words), token_hash

    def _settle(self, row: Row[Any], state: str, error: MailError, token_hash: bytes | None = None) -> None:
        with self._database.transaction() as tx:
            mail_store.settle_mail(tx, row.id, state, error.code)
            if token_hash:
                mail_store.drop_link(tx, token_hash)
        log.line("ERROR", f"mail {state}", {"mail_id": str(row.id), "kind": row.kind, "code": error.code})

    def _put_back(self, row: Row[Any], error: MailDelayedError, token_hash: bytes | None) -> None:
        with self._database.transaction() as tx:
            mail_store.put_mail_back(tx, row.id, error=error.code, due_in=AGAIN_AFTER)
            if token_hash:
                mail_store.drop_link(tx, token_hash)
        raise UnavailableError("The mail server did not take it") from error


def _addressed(tx: Connection, row: Row[Any], user: Row[Any]) -> _Addressed | None:
    """Whom the mail reaches. None: nobody needs it (any more).

    Args:
        user: the account it was put for, locked.
    """
    if row.kind == VERIFICATION:
        return None if user.email_verified_at else _Addressed(row.kind, user.id, user.email)
    if row.kind == EMAIL_CHANGED:
        return _Addressed(row.kind, user.id, row.email)
    if row.kind == EMAIL_CHANGE:
        if row.email == user.email:
            return None
        holder = mail_store.addressee(tx, user_id=None, email=row.email)
        if holder is None:
            return _Addressed(row.kind, user.id, row.email)
        return _already_registered(tx, holder)
    if row.kind == ALREADY_REGISTERED:
        return _already_registered(tx, user)
    return _Addressed(row.kind, user.id, user.email)


def _already_registered(tx: Connection, user: Row[Any]) -> _Addressed:
    """Whoever registered the address first need not own it: the link mailed to verify it for them is dead now, and
    the owner chooses the password."""
    mail_store.end_links(tx, user.id, "verify")
    return _Addressed(ALREADY_REGISTERED, user.id, user.email)
