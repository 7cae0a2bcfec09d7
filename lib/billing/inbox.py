"""Queries over the inbox: the provider's events, and what became of each."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from lib.billing.told import ToldEvent
from lib.database.schema import inbox


def add_missed_events(tx: Connection, events: Sequence[ToldEvent]) -> list[tuple[str, int]]:
    """Keeps those that never came, each with its enqueue number; what is known already stays as it is."""
    if not events:
        return []
    statement = upsert(inbox).values([_row(event) for event in events]).on_conflict_do_nothing()
    rows = tx.execute(statement.returning(inbox.c.event_id, inbox.c.enqueues))
    return [(row.event_id, row.enqueues) for row in rows]


def _row(event: ToldEvent) -> dict[str, Any]:
    return {
        "event_id": event.id,
        "type": event.type,
        "object_id": event.object_id,
        "customer_id": event.customer_id,
        "state": "received" if event.wanted else "ignored",
        "enqueues": 1 if event.wanted else 0,
        "processed_at": None if event.wanted else func.now(),
    }


def begin_event(tx: Connection, event_id: str, *, most: int) -> bool:
    """Counts that a try begins, in a commit of its own: should it be killed, the count stays.

    Returns:
        True if as many as `most` in a row came to no end: the event is dead now.
    """
    # Somebody who works on it just now is not waited for here.
    mine = select(inbox.c.event_id).where(inbox.c.event_id == event_id, inbox.c.state == "received")
    begun = (
        update(inbox)
        .where(inbox.c.event_id.in_(mine.with_for_update(skip_locked=True).scalar_subquery()))
        .values(
            unfinished=inbox.c.unfinished + 1,
            state=case((inbox.c.unfinished >= most, "dead"), else_="received"),
            last_error=case((inbox.c.unfinished >= most, "killed"), else_=inbox.c.last_error),
        )
    )
    return bool(tx.scalar(begun.returning(inbox.c.state)) == "dead")


def lock_event(tx: Connection, event_id: str) -> Row[Any] | None:
    """The event's row if it still waits, locked; None if it was dealt with."""
    return tx.execute(
        select(inbox).where(inbox.c.event_id == event_id, inbox.c.state == "received").with_for_update()
    ).first()


def settle_event(tx: Connection, event_id: str, state: str) -> None:
    tx.execute(
        update(inbox)
        .where(inbox.c.event_id == event_id)
        .values(
            state=state,
            processed_at=func.now(),
            attempts=inbox.c.attempts + 1,
            last_error=None,
            unfinished=0,
        )
    )


def note_outage(tx: Connection, event_id: str, error: str) -> None:
    """It could not be tried to its end: somebody else was out of reach."""
    tx.execute(
        update(inbox)
        .where(inbox.c.event_id == event_id, inbox.c.state == "received")
        .values(last_error=error[:500], unfinished=0)
    )


def note_failure(tx: Connection, event_id: str, error: str, *, most: int) -> bool:
    """The event itself failed; True if that was its last time, at the count of `most`: it is dead now."""
    attempts = inbox.c.attempts + 1
    failed = (
        update(inbox)
        .where(inbox.c.event_id == event_id, inbox.c.state == "received")
        .values(
            attempts=attempts,
            unfinished=0,
            last_error=error[:500],
            state=case((attempts >= most, "dead"), else_="received"),
        )
    )
    return bool(tx.scalar(failed.returning(inbox.c.state)) == "dead")


def take_left_events(tx: Connection, *, older: timedelta, limit: int) -> list[tuple[str, int]]:
    """Events whose task seems lost, oldest first, each with its next enqueue number.

    `older` doubles with each task that was made, up to 64 times: while the provider is out of reach the
    queue tries the tasks it has, and more of them would only be a crowd.

    Rows another reconcile or a running task holds are left to it.
    """
    return _take(
        tx,
        inbox.c.enqueued_at < func.now() - older * func.power(2, func.least(inbox.c.enqueues - 1, 6)),
        limit,
    )


def take_waiting_events(tx: Connection, *, before: datetime, limit: int) -> list[tuple[str, int]]:
    """As `take_left_events`, but all whose last task was made before this moment."""
    return _take(tx, inbox.c.enqueued_at < before, limit)


def _take(tx: Connection, chosen: ColumnElement[bool], limit: int) -> list[tuple[str, int]]:
    left = (
        select(inbox.c.event_id)
        .where(inbox.c.state == "received", chosen)
        .order_by(inbox.c.enqueued_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return _enqueued(tx, inbox.c.event_id.in_(left.scalar_subquery()))


def take_dead_events(tx: Connection, *, limit: int) -> list[tuple[str, int]]:
    """Dead events wait again, with all their tries before them; the oldest first."""
    dead = (
        select(inbox.c.event_id)
        .where(inbox.c.state == "dead")
        .order_by(inbox.c.received_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return _enqueued(
        tx, inbox.c.event_id.in_(dead.scalar_subquery()), state="received", attempts=0, unfinished=0
    )


def _enqueued(tx: Connection, chosen: ColumnElement[bool], **values: Any) -> list[tuple[str, int]]:
    rows = tx.execute(
        update(inbox)
        .where(chosen)
        .values(enqueues=inbox.c.enqueues + 1, enqueued_at=func.now(), **values)
        .returning(inbox.c.event_id, inbox.c.enqueues)
    )
    return [(row.event_id, row.enqueues) for row in rows]


def waiting_events(tx: Connection) -> tuple[int, datetime]:
    """How many events wait for their task to be done, and the time."""
    waiting = select(func.count()).select_from(inbox).where(inbox.c.state == "received")
    number, now = tx.execute(select(waiting.scalar_subquery(), func.clock_timestamp())).one()
    return number, now


def dead_events(tx: Connection) -> int:
    """How many events were given up, until an operator replays them."""
    return tx.execute(select(func.count()).select_from(inbox).where(inbox.c.state == "dead")).scalar_one()


def events(tx: Connection, *, state: str | None, limit: int) -> list[Row[Any]]:
    """Of this state, or of any; newest first."""
    found = select(inbox) if state is None else select(inbox).where(inbox.c.state == state)
    newest = (inbox.c.received_at.desc(), inbox.c.event_id)
    return list(tx.execute(found.order_by(*newest).limit(limit)))


def find_event(tx: Connection, event_id: str) -> Row[Any] | None:
    return tx.execute(select(inbox).where(inbox.c.event_id == event_id)).first()


def reopen_event(tx: Connection, event_id: str) -> int | None:
    """The event waits again, whatever became of it; its next enqueue number. None where there is no such."""
    reopened = (
        update(inbox)
        .where(inbox.c.event_id == event_id)
        .values(
            state="received",
            processed_at=None,
            attempts=0,
            unfinished=0,
            enqueues=inbox.c.enqueues + 1,
            enqueued_at=func.now(),
        )
    )
    row = tx.execute(reopened.returning(inbox.c.enqueues)).first()
    return row.enqueues if row else None
