"""Events that were kept and are not done: those whose task was lost, and those an operator enqueues again."""

from collections.abc import Iterator
from datetime import timedelta

from lib.billing import inbox, store
from lib.billing.receiving import enqueue_event
from lib.database.engine import Database
from lib.errors import NotFoundError, UnavailableError
from lib.web.ports import Tasks

# A task that was not done in this time is taken to be lost.
LEFT_AFTER = timedelta(seconds=30)
LEFT_AT_ONCE = 500
REPLAYED_AT_ONCE = 100


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
