"""process-task's work for billing: one event, or one account, made true in one transaction each."""

import uuid
from typing import Any

from sqlalchemy import Connection, Row

from lib.billing import inbox, store
from lib.billing.ports import CustomerGoneError, Payments
from lib.billing.sync import Sync
from lib.database.engine import Database
from lib.errors import UnavailableError
from lib.web import log

# Failures of the event's own before it is dead. The queue's pauses stretch them over an hour (infra/gcp/tasks.tf):
# time to take a faulty release back before it has killed anything.
MOST_FAILURES = 20
# A release that starts kills what is under way, once; who kills its process does so each time.
MOST_UNFINISHED = 20

_OF_SUBSCRIPTIONS = ("customer.", "invoice.")
# What an operator has to deal with -> how the audit log calls it, what it is about, and what the log says.
_FOR_OPERATORS = {
    "radar.early_fraud_warning.created": (
        "fraud_warning",
        "warning",
        "early fraud warning: refund and end, or expect a dispute",
    ),
    "refund.failed": ("refund_failed", "refund", "a refund failed: its money is with us again"),
}
# Of an event's type -> the kind of thing it is about; the longer prefix first.
_KINDS = (
    ("customer.subscription.", "subscription"),
    ("checkout.session.", "checkout"),
    ("invoice.", "invoice"),
    ("charge.dispute.", "dispute"),
    ("charge.", "charge"),
    ("refund.", "refund"),
    ("radar.early_fraud_warning.", "early_fraud_warning"),
)


class StripeEvents:
    """Deals with events that were received."""

    def __init__(self, database: Database, payments: Payments, sync: Sync) -> None:
        self._database = database
        self._payments = payments
        self._sync = sync

    def process(self, body: dict[str, Any]) -> None:
        """One event, once: everything it changes and the mark that it was done are one commit.

        An event that has failed by itself `MOST_FAILURES` times, or was begun `MOST_UNFINISHED` times in a row and
        never heard of again, is dead. Nothing is raised then, so the queue
        lets it be; reconcile counts it until an operator replays it.

        Args:
            body: `{"event_id": …}`.

        Raises:
            Exception: whatever went wrong; noted in the row, and for the queue to try again.
        """
        event_id = str(body["event_id"])
        with self._database.transaction() as tx:
            killed = inbox.begin_event(tx, event_id, most=MOST_UNFINISHED)
        if killed:
            log.line("ERROR", "event given up", {"event_id": event_id, "error": "killed while it was tried"})
            return
        try:
            with self._database.transaction(slow=True) as tx:
                event = inbox.lock_event(tx, event_id)
                if event is None:
                    return
                customer_id = event.customer_id or self._customer_of(event)
                user_id = store.user_of_customer(tx, customer_id) if customer_id else None
                if user_id is None:
                    # Of somebody else's customer: another product may share the Stripe account.
                    inbox.settle_event(tx, event_id, "ignored")
                    return
                type_ = event.type.removeprefix("v1.")
                # A page or its money: it may be of a film, whatever our rows know of the page.
                films = not type_.startswith(_OF_SUBSCRIPTIONS)
                self._sync.account(tx, user_id, actor=f"event:{event_id}", films=films)
                if type_ in _FOR_OPERATORS:
                    self._tell_operators(tx, user_id, type_, event)
                inbox.settle_event(tx, event_id, "processed")
        except Exception as error:
            if not self._gave_up(event_id, error):
                raise

    @staticmethod
    def _tell_operators(tx: Connection, user_id: uuid.UUID, type_: str, event: Row[Any]) -> None:
        """Nothing is done about it here: they hear of it as of an error, and decide."""
        kind, about, says = _FOR_OPERATORS[type_]
        log.line("ERROR", says, {"user_id": str(user_id), about: event.object_id})
        store.record(tx, kind, user_id, f"event:{event.event_id}", {about: event.object_id})

    def _customer_of(self, event: Row[Any]) -> str | None:
        """Thin events name a thing, refunds and disputes a payment: whose it is has to be asked."""
        type_ = event.type.removeprefix("v1.")
        kind = next((kind for prefix, kind in _KINDS if type_.startswith(prefix)), None)
        if kind is None or event.object_id is None:
            return None
        return self._payments.customer_of(kind, event.object_id)

    def _gave_up(self, event_id: str, error: Exception) -> bool:
        """Notes why an event failed; whether that was once too often."""
        name = type(error).__name__
        with self._database.transaction() as tx:
            if _is_outage(error):
                inbox.note_outage(tx, event_id, name)
                return False
            dead = inbox.note_failure(tx, event_id, name, most=MOST_FAILURES)
        if dead:
            log.line("ERROR", "event given up", {"event_id": event_id, "error": log.places(error)})
        return dead


def _is_outage(error: Exception) -> bool:
    """Whether somebody else was out of reach, which tells nothing about the event, however long it lasts.

    A customer that Stripe does not know is refused in the same words, but is a fault of one account, or of a key:
    trying for ever would hide it.
    """
    return isinstance(error, UnavailableError) and not isinstance(error.__cause__, CustomerGoneError)
