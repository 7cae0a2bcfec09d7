"""stripe-webhook: keep the event, hand it on, answer. No SDK, no trust beyond the ids, no SQLAlchemy.

Both forms of event are read: snapshots (`object: event`) and thin ones (`v2.core.event`, whose type begins
with `v1.` where the thing is one of the API's first version).
"""

import hashlib
import json
from collections.abc import Iterable

from lib.billing.kinds import STRIPE_EVENT
from lib.billing.told import ToldEvent, told
from lib.database.reads import Reads
from lib.errors import InvalidSignatureError, MalformedRequestError, UnavailableError
from lib.web import log
from lib.web.operation import Answer, Call, Operation, Who
from lib.web.ports import Clock, Task, Tasks
from lib.web.signatures import verify

# One statement each, in autocommit: on renewal day this is all that Stripe waits for. Either bears being run twice,
# as its connection may be lost before its answer comes: then the event has come before, and waits.
_KEEP = """
    INSERT INTO inbox (event_id, type, object_id, customer_id, state, enqueues, processed_at)
    VALUES (:event_id, :type, :object_id, :customer_id,
            CASE WHEN CAST(:wanted AS boolean) THEN 'received' ELSE 'ignored' END,
            CASE WHEN CAST(:wanted AS boolean) THEN 1 ELSE 0 END,
            CASE WHEN CAST(:wanted AS boolean) THEN NULL ELSE now() END)
    ON CONFLICT DO NOTHING
    RETURNING enqueues
"""
# A row that is locked is being worked on, for as long as the provider takes: no webhook waits for that.
_AGAIN = """
    UPDATE inbox SET enqueues = enqueues + 1, enqueued_at = now()
    WHERE event_id = (
        SELECT event_id FROM inbox WHERE event_id = :event_id AND state = 'received' FOR UPDATE SKIP LOCKED)
    RETURNING enqueues
"""

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

    def __init__(self, database: Reads, tasks: Tasks, clock: Clock, secrets: Iterable[str]) -> None:
        self._database = database
        self._tasks = tasks
        self._clock = clock
        self._secrets = tuple(secrets)

    def receive(self, payload: bytes, signature: str) -> str:
        """Keep an event and enqueue its task; the event's id.

        Once this returns the event is safe. If the queue is out of reach, reconcile finds the row.

        Raises:
            InvalidSignatureError: nobody with a secret sent this, or not now.
            MalformedRequestError: signed, but no event.
        """
        verify(payload, signature, self._secrets, self._clock.now())
        event = _read(payload)
        number = self._keep(event)
        if number is not None:
            enqueue_event(self._tasks, event.id, number)
        return event.id

    def _keep(self, event: ToldEvent) -> int | None:
        """The enqueue number for its task, also when the event came before but is not processed yet; None where
        there is nothing to do: it was processed, or is being processed just now."""
        kept = self._database.read(
            _KEEP,
            event_id=event.id,
            type=event.type,
            object_id=event.object_id,
            customer_id=event.customer_id,
            wanted=event.wanted,
        )
        if kept is None:
            kept = self._database.read(_AGAIN, event_id=event.id)
        return int(kept["enqueues"]) or None if kept else None


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
