"""What Stripe says has happened, compared with what its webhooks brought."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from lib.billing import inbox, walk_store
from lib.billing.ports import Books, PageGoneError
from lib.billing.receiving import enqueue_event
from lib.database.engine import Database
from lib.web.ports import Clock, Tasks

NAME = "stripe-events"
# Pages of one call: two thousand events, more than process-task works off in a minute.
PAGES = 20
# What slow answers may take up of reconcile's five minutes.
SECONDS = 60
# The first time: what is older, the comparison of all subscriptions finds.
FIRST_BACK = timedelta(hours=1)
# An event may appear in the list later than one that happened after it.
OVERLAP = timedelta(minutes=2)
# Younger ones are still on their way by webhook.
ON_ITS_WAY = timedelta(seconds=15)


class EventWalk:
    """Puts into the inbox what no webhook brought: reconcile's work, every minute.

    A window is read from its newest event down to its beginning, over several calls if it is long; the next one
    begins where it ended, a little earlier. What is met twice is in the inbox once.
    """

    def __init__(self, database: Database, books: Books, tasks: Tasks, clock: Clock) -> None:
        self._database = database
        self._books = books
        self._tasks = tasks
        self._clock = clock

    def reconcile(self) -> dict[str, int]:
        """How many events were looked at, and how many of them had been missed.

        Raises:
            UnavailableError: Stripe or the database is out of reach; the next call goes on from here.
        """
        found = {"events_walked": 0, "events_missed": 0}
        ends = time.monotonic() + SECONDS
        for _ in range(PAGES):
            if not self._page(found) or time.monotonic() > ends:
                break
        return found

    def _page(self, found: dict[str, int]) -> bool:
        """One page; whether there are more."""
        first = {"since": _seconds(self._clock.now() - FIRST_BACK), "newest": None, "after": None}
        with self._database.transaction() as tx:
            before = walk_store.position(tx, NAME, first)
        since = datetime.fromtimestamp(before["since"], UTC)
        try:
            page = self._books.events(since=since, after=before["after"])
        except PageGoneError:
            return self._advance(before, before | {"newest": None, "after": None}) is not None
        newest = before["newest"]
        if newest is None and page.entries:
            newest = _seconds(page.entries[0].created_at)
        if page.after is not None:
            then = before | {"newest": newest, "after": page.after}
        else:
            latest = max(before["since"], (newest or 0) - int(OVERLAP.total_seconds()))
            then = {"since": latest, "newest": None, "after": None}
        now = self._clock.now()
        arrived = [entry.event for entry in page.entries if abs(now - entry.created_at) > ON_ITS_WAY]
        missed = self._advance(before, then, arrived)
        if missed is None:
            return False
        found["events_walked"] += len(arrived)
        found["events_missed"] += len(missed)
        for event_id, number in missed:
            if number and not enqueue_event(self._tasks, event_id, number):
                # They are in the inbox: what is left there is found.
                break
        return page.after is not None

    def _advance(
        self, before: dict[str, Any], then: dict[str, Any], arrived: list[Any] | None = None
    ) -> list[tuple[str, int]] | None:
        """Keeps a page's events and the new position in one commit; None where another call was quicker."""
        with self._database.transaction() as tx:
            if not walk_store.advance(tx, NAME, before=before, then=then):
                return None
            return inbox.add_missed_events(tx, arrived or [])


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
