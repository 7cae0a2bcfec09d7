"""Mails: a row in the transaction of what causes them, a task after its commit.

    with database.transaction() as tx:
        …
        mail_id = outbox.put(tx, PASSWORD_CHANGED, user_id=user.id, facts=seen_from(address))
    outbox.enqueue(mail_id)

What falls between the two is found by reconcile. The row says whom and what about, never a token: tokens are
made when the mail is sent (lib/accounts/mailing.py), so neither the database nor the queue ever holds one.
"""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection

from lib.accounts import mail_store
from lib.accounts.mail_tasks import LEFT_AFTER, enqueue_mail
from lib.database.engine import Database
from lib.web import log
from lib.web.ports import Tasks

LEFT_AT_ONCE = 500
# Longer than the queue's longest pause between two attempts: it comes first.
AGAIN_AFTER = timedelta(minutes=10)
# Nobody waits for it any more.
GIVEN_UP_AFTER = timedelta(hours=24)
# Longer than process-task may run.
DEAD_AFTER = timedelta(minutes=5)


class Outbox:
    """Takes mails.

    Args:
        tasks: None where nobody waits for the mail: reconcile makes its task, within a minute. Such a function
            needs no queue, and no right to use one.
    """

    def __init__(self, tasks: Tasks | None) -> None:
        self._tasks = tasks

    def put(
        self,
        tx: Connection,
        kind: str,
        *,
        user_id: uuid.UUID | None = None,
        email: str | None = None,
        facts: Mapping[str, Any] = MappingProxyType({}),
    ) -> uuid.UUID:
        """The mail's row; commit it, then call `enqueue`.

        Args:
            user_id: to this account, at the address it has when the mail is sent.
            email: to this address; alone, to whatever account has it.
            facts: what the template shows; no secrets.
        """
        due_in = timedelta(0) if self._tasks is None else LEFT_AFTER
        return mail_store.add_mail(tx, kind, user_id=user_id, email=email, facts=facts, due_in=due_in)

    def enqueue(self, mail_id: uuid.UUID) -> None:
        """A task for a mail whose row is committed. A queue out of reach is logged; reconcile finds the row."""
        if self._tasks is not None:
            enqueue_mail(self._tasks, mail_id)


class LeftMails:
    """Finds mails whose task was lost or never made, and those whose sender died: reconcile's work for mail."""

    def __init__(self, database: Database, tasks: Tasks) -> None:
        self._database = database
        self._tasks = tasks

    def reconcile(self) -> dict[str, int]:
        """How many were left, taken by the queue, given up, and left in doubt. The last two are logged as errors."""
        with self._database.transaction() as tx:
            given_up = mail_store.give_up_mails(tx, older=GIVEN_UP_AFTER)
            doubted = mail_store.doubt_mails(tx, older=DEAD_AFTER)
            left = mail_store.take_due_mails(tx, due_in=AGAIN_AFTER, limit=LEFT_AT_ONCE)
        for message, rows in (("mail given up", given_up), ("mail in doubt", doubted)):
            for row in rows:
                found = {"mail_id": str(row.id), "kind": row.kind, "code": row.last_error}
                log.line("ERROR", message, found)
        taken = 0
        for mail_id, number in left:
            if not enqueue_mail(self._tasks, mail_id, number):
                # The queue is out of reach: the others would only wait for it in turn.
                break
            taken += 1
        return {
            "mails_left": len(left),
            "mails_enqueued": taken,
            "mails_given_up": len(given_up),
            "mails_in_doubt": len(doubted),
        }
