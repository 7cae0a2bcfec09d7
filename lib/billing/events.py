"""stripe-webhook: keep the event, hand it on, answer. No SDK, no trust beyond the ids.

Both forms of event are read: snapshots (`object: event`) and thin ones (`v2.core.event`, whose type begins
with `v1.` where the thing is one of the API's first version).
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from lib.billing import inbox, store
from lib.database.engine import Database
from lib.errors import InvalidSignatureError, MalformedRequestError, NotFoundError, UnavailableError
from lib.web import log
from lib.web.operation import Answer, Call, Operation, Who
from lib.web.ports import Clock, Task, Tasks
from lib.web.signatures import verify

STRIPE_EVENT = "stripe-event"
# A task that was not done in this time is taken to be lost.
LEFT_AFTER = timedelta(seconds=30)
LEFT_AT_ONCE = 500
REPLAYED_AT_ONCE = 100

# What can change who may watch. Others are kept and acknowledged.
WANTED = frozenset(
    {
        "checkout.session.completed",
        "checkout.session.async_payment_succeeded",
        "checkout.session.async_payment_failed",
        "checkout.session.expired",
        "customer.deleted",
        "customer.subscription.created",
        "customer.subscription.updated",
        "customer.subscription.deleted",
        "customer.subscription.paused",
        "customer.subscription.resumed",
        "customer.subscription.trial_will_end",
        "invoice.paid",
        "invoice.payment_failed",
        "invoice.payment_action_required",
        "charge.dispute.created",
        "charge.dispute.closed",
        "charge.refunded",
        "radar.early_fraud_warning.created",
        "refund.created",
        "refund.updated",
        "refund.failed",
    }
)

STRIPE_WEBHOOK = Operation(
    function="stripe-webhook",
    method="POST",
    tag="Webhooks",
    summary="Events from Stripe",
    who=Who.ANYONE,
    raw="An event, with the header Stripe-Signature",
    answers={200: "lib.web.answers:ReceivedAnswer"},
    refusals=(InvalidSignatureError,),
)


class StripeInbox:
    """Receives events.

    Args:
        secrets: any of them may have signed.
    """

    def __init__(self, database: Database, tasks: Tasks, clock: Clock, secrets: tuple[str, ...]) -> None:
        self._database = database
        self._tasks = tasks
        self._clock = clock
        self._secrets = secrets

    def receive(self, payload: bytes, signature: str) -> str:
        """Keep an event and enqueue its task; the event's id.

        Once this returns the event is safe. If the queue is out of reach, reconcile finds the row.

        Raises:
            InvalidSignatureError: nobody with a secret sent this, or not now.
            MalformedRequestError: signed, but no event.
        """
        verify(payload, signature, self._secrets, self._clock.now())
        event_id, type_, object_id, customer_id = _ids(payload)
        with self._database.transaction() as tx:
            number = inbox.receive_event(
                tx,
                event_id=event_id,
                type_=type_,
                object_id=object_id,
                customer_id=customer_id,
                wanted=type_.removeprefix("v1.") in WANTED,
            )
        if number is not None:
            enqueue_event(self._tasks, event_id, number)
        return event_id


def enqueue_event(tasks: Tasks, event_id: str, number: int) -> bool:
    """A task for the event; False where the queue was out of reach, which is logged.

    The name's hash spreads tasks over the queue (sequential names slow it); the number makes it new,
    since the queue remembers the names it has seen.
    """
    digest = hashlib.sha256(event_id.encode()).hexdigest()[:32]
    try:
        tasks.enqueue(Task(f"{digest}-{number}", STRIPE_EVENT, {"event_id": event_id}))
    except UnavailableError as error:
        log.line("ERROR", "event left for reconcile", {"event_id": event_id, "error": log.places(error)})
        return False
    return True


def _ids(payload: bytes) -> tuple[str, str, str | None, str | None]:
    """event id, type, object id, customer id."""
    try:
        event = json.loads(payload)
        event_id, type_ = event["id"], event["type"]
        if not (isinstance(event_id, str) and isinstance(type_, str) and 0 < len(event_id) <= 255):
            raise TypeError
        concerned = (event.get("data") or {}).get("object") or {}
        related = event.get("related_object") or {}
        object_id = concerned.get("id") or related.get("id")
        is_customer = (concerned.get("object") or related.get("type")) == "customer"
        customer = object_id if is_customer else concerned.get("customer")
        if isinstance(customer, dict):
            customer = customer.get("id")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise MalformedRequestError("The body is not an event") from None
    return event_id, type_[:255], _text(object_id), _text(customer)


def _text(value: Any) -> str | None:
    return value[:255] if isinstance(value, str) and "\x00" not in value else None


def stripe_webhook(receiver: StripeInbox, call: Call) -> Answer:
    call.notes["event_id"] = receiver.receive(call.raw, call.headers.get("Stripe-Signature", ""))
    return Answer(200, {"received": True})


class LeftEvents:
    """Finds events whose task was lost, and enqueues them again: reconcile's work for billing."""

    def __init__(self, database: Database, tasks: Tasks) -> None:
        self._database = database
        self._tasks = tasks

    def reconcile(self) -> dict[str, int]:
        """How many were left, how many of them the queue took, and how many were given up and wait for us."""
        with self._database.transaction() as tx:
            left = inbox.take_left_events(tx, older=LEFT_AFTER, limit=LEFT_AT_ONCE)
            dead = inbox.dead_events(tx)
        taken = 0
        for event_id, number in left:
            if not enqueue_event(self._tasks, event_id, number):
                # The queue is out of reach: the others would only wait for it in turn.
                break
            taken += 1
        return {"events_left": len(left), "events_enqueued": taken, "events_dead": dead}


class Replays:
    """Events enqueued again by an operator's hand: at once, and whatever became of them."""

    def __init__(self, database: Database, tasks: Tasks) -> None:
        self._database = database
        self._tasks = tasks

    def one(self, event_id: str, *, actor: str) -> None:
        """This event, also one that was processed or ignored.

        Raises:
            NotFoundError: it never came.
            UnavailableError: the queue is out of reach; reconcile finds the event.
        """
        with self._database.transaction() as tx:
            number = inbox.reopen_event(tx, event_id)
            if number is None:
                raise NotFoundError("There is no such event")
            store.record(tx, "event_replayed", None, actor, {"event_id": event_id})
        self._enqueue(event_id, number)

    def waiting(self) -> int:
        """How many there are that `all_waiting` would take."""
        with self._database.transaction() as tx:
            return inbox.waiting_events(tx)[0]

    def dead(self) -> int:
        """How many there are that `all_dead` would take."""
        with self._database.transaction() as tx:
            return inbox.dead_events(tx)

    def all_dead(self, *, actor: str) -> Iterator[str]:
        """Every event that was given up, in batches, as if it had come just now; as `all_waiting`."""
        number = self.dead()
        if number:
            with self._database.transaction() as tx:
                store.record(tx, "events_replayed", None, actor, {"dead": number})
        while True:
            with self._database.transaction() as tx:
                taken = inbox.take_dead_events(tx, limit=REPLAYED_AT_ONCE)
            if not taken:
                return
            for event_id, enqueues in taken:
                self._enqueue(event_id, enqueues)
                yield event_id

    def all_waiting(self, *, actor: str) -> Iterator[str]:
        """Every event that waits now, in batches; yields the id of each that the queue has taken.

        Raises:
            UnavailableError: the queue is out of reach; reconcile finds those that remain.
        """
        with self._database.transaction() as tx:
            number, began = inbox.waiting_events(tx)
            if number:
                store.record(tx, "events_replayed", None, actor, {"waiting": number})
        while True:
            with self._database.transaction() as tx:
                taken = inbox.take_waiting_events(tx, before=began, limit=REPLAYED_AT_ONCE)
            if not taken:
                return
            for event_id, enqueues in taken:
                self._enqueue(event_id, enqueues)
                yield event_id

    def _enqueue(self, event_id: str, number: int) -> None:
        if not enqueue_event(self._tasks, event_id, number):
            raise UnavailableError("The task queue is out of reach; reconcile goes on from here")
