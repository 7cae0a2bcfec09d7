"""stripe-webhook: keep the event, hand it on, answer. No SDK, no trust beyond the ids.

Both forms of event are read: snapshots (`object: event`) and thin ones (`v2.core.event`, whose type begins
with `v1.` where the thing is one of the API's first version).
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta

from lib.billing import inbox, store
from lib.billing.kinds import STRIPE_EVENT
from lib.billing.told import ToldEvent, told
from lib.database.engine import Database
from lib.errors import InvalidSignatureError, MalformedRequestError, NotFoundError, UnavailableError
from lib.web import log
from lib.web.operation import Answer, Call, Operation, Who
from lib.web.ports import Clock, Task, Tasks
from lib.web.signatures import verify

# A task that was not done in this time is taken to be lost.
LEFT_AFTER = timedelta(seconds=30)
LEFT_AT_ONCE = 500
REPLAYED_AT_ONCE = 100

STRIPE_WEBHOOK = Operation(
    function="stripe-webhook",
    method="POST",
    tag="Webhooks",
    summary="Events from Stripe",
    who=Who.ANYONE,
    raw="An event",
    signature="Stripe-Signature",
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
        event = _read(payload)
        with self._database.transaction() as tx:
            number = inbox.receive_event(tx, event)
        if number is not None:
            enqueue_event(self._tasks, event.id, number)
        return event.id


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


def _read(payload: bytes) -> ToldEvent:
    try:
        return told(json.loads(payload))
    except (ValueError, RecursionError):
        raise MalformedRequestError("The body is not an event") from None


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
