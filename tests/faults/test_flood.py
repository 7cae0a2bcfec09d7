"""Hundreds of events for one account, thousands for a thousand: out of order, doubled, some lost, four workers.

PostgreSQL is real, and so is everything of ours; Stripe is the fake, whose accounts change while the events of earlier
changes are still on their way. Afterwards nothing differs from it, and nothing was done twice.
"""

import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text

from lib.billing.comparison import Comparison
from lib.billing.event_walk import EventWalk
from lib.billing.ports import Customer
from lib.billing.told import ToldEvent
from lib.config import Environment
from lib.database.engine import Database
from lib.database.schema import audit_log, grants, inbox, subscriptions
from lib.errors import UnavailableError
from tests.billing import BASIC, PREMIUM, Billing, event
from tests.fakes.books import FakeBooks
from tests.fakes.payments import FakePayments
from tests.integration.test_event_walk import MovedClock

WORKERS = 4
DOUBLED, LOST = 0.30, 0.05
BEGUN = datetime.now(UTC).replace(microsecond=0) - timedelta(days=10)
CHANGES: list[dict[str, Any]] = [
    {"status": "active", "payment_missed_at": None},
    {"status": "past_due", "payment_missed_at": BEGUN + timedelta(days=9)},
    {"paused": True},
    {"paused": False},
    {"cancel_at_period_end": True},
    {"cancel_at_period_end": False},
    {"price_id": "price_premium", "lookup_key": PREMIUM.lookup_key},
    {"price_id": "price_basic", "lookup_key": BASIC.lookup_key},
    {"current_period_end": BEGUN + timedelta(days=70)},
]


@pytest.fixture
def database(apart: str) -> Iterator[Database]:
    """With connections enough for every worker to have one and wait for Stripe."""
    opened = Database(Environment({"DATABASE_URL": apart, "DB_POOL_SIZE": str(WORKERS + 2)}).database())
    yield opened
    opened.dispose()


@dataclass(frozen=True)
class Flood:
    accounts: int
    events: int


class FarPayments(FakePayments):
    """What it says is a little old when it arrives: two that ask about one account at once may write it in the
    wrong order. `overlaps` are the accounts that were asked about by two at once."""

    def __init__(self) -> None:
        super().__init__()
        self.overlaps: set[str] = set()
        self._asked: set[str] = set()

    def customer(self, customer_id: str, *, films: bool = False) -> Customer:
        if customer_id in self._asked:
            self.overlaps.add(customer_id)
        self._asked.add(customer_id)
        found = super().customer(customer_id, films=films)
        time.sleep(0.005 * (len(self.calls) % 3))
        self._asked.discard(customer_id)
        return found


class Sea:
    """Accounts, the provider's side of them, and a plan of what happens and what arrives when."""

    def __init__(self, database: Database, flood: Flood, dice: random.Random) -> None:
        self.payments = FarPayments()
        self.billing = Billing(database, self.payments)
        self.books = FakeBooks(self.payments)
        self.people: list[tuple[uuid.UUID, str]] = []
        for _ in range(flood.accounts):
            user = self.billing.user()
            customer = self.billing.customer(user)
            self.payments.subscribe(customer, BASIC, created_at=BEGUN)
            self.people.append((user, customer))
        self.lost: set[str] = set()
        self._guard = threading.Lock()
        self.plan = self._plan(flood.events, dice)

    def _plan(self, events: int, dice: random.Random) -> deque[Callable[[], None]]:
        """What happens, in order; what arrives of it, out of order: each up to fifty happenings late."""
        moments: list[tuple[float, Callable[[], None]]] = []
        for number in range(events):
            _, customer = self.people[number % len(self.people)]
            told = ToldEvent(f"evt_{uuid.uuid4().hex}", "customer.subscription.updated", "sub_x", customer)
            change = dice.choice(CHANGES)
            moments.append((number, lambda told=told, change=change: self._happen(told, change)))  # type: ignore[misc]
            copies = 0 if dice.random() < LOST else 2 if dice.random() < DOUBLED else 1
            if not copies:
                self.lost.add(told.id)
            payload = event(customer, id=told.id)
            for _ in range(copies):
                late = number + 0.5 + dice.uniform(0, 50)
                moments.append((late, lambda payload=payload: self.billing.deliver(payload)))  # type: ignore[misc]
        return deque(do for _, do in sorted(moments, key=lambda moment: moment[0]))

    def _happen(self, told: ToldEvent, change: dict[str, Any]) -> None:
        with self._guard:
            assert told.customer_id is not None
            self.payments.change(told.customer_id, **change)
            self.books.tell(told.customer_id, told.type, event_id=told.id, at=datetime.now(UTC))

    def work(self) -> None:
        """One of the workers: takes what comes next, of the plan and of the queue, until there is no more."""
        queue = self.billing.fake_tasks.queued
        while True:
            try:
                self.plan.popleft()()
            except IndexError:
                if not queue:
                    return
            try:
                task = queue.pop()
            except IndexError:
                continue
            try:
                self.billing.do(task)
            except UnavailableError:
                # A lock was not had in time: as the queue does, later again.
                queue.insert(0, task)

    def settle(self) -> None:
        with ThreadPoolExecutor(WORKERS) as pool:
            for worker in [pool.submit(self.work) for _ in range(WORKERS)]:
                worker.result()


def deadlocks(database: Database) -> int:
    with database.transaction() as tx:
        tx.execute(text("SELECT pg_stat_force_next_flush()"))
        counted = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(tx.execute(counted).scalar_one())


def differing(sea: Sea) -> list[str]:
    """Where our rows, or what they come to, are not what Stripe says."""
    found = []
    with sea.billing.database.transaction() as tx:
        rows = {row.user_id: row for row in tx.execute(select(subscriptions))}
    for user, customer in sea.people:
        (truth,) = sea.payments.customer(customer).subscriptions
        row = rows.get(user)
        names = ("status", "price_id", "paused", "cancel_at_period_end", "current_period_end")
        if row is None or any(getattr(row, name) != getattr(truth, name) for name in names):
            found.append(f"{customer}: {row} is not {truth}")
        before = sea.billing.entitlement(user)
        with sea.billing.database.transaction() as tx:
            sea.billing.sync.account(tx, user, actor="test")
        if sea.billing.entitlement(user) != before:
            found.append(f"{customer}: {before}")
    return found


def count(database: Database, query: Any) -> int:
    with database.transaction() as tx:
        return int(tx.execute(query).scalar_one())


@pytest.mark.parametrize("many", [False, True], ids=["one account", "many accounts"])
def test_a_flood(
    database: Database,
    dice: random.Random,
    thorough: bool,
    many: bool,
) -> None:
    size = (
        (Flood(1000, 5000) if many else Flood(1, 500))
        if thorough
        else (Flood(20, 120) if many else Flood(1, 40))
    )
    sea = Sea(database, size, dice)
    sea.settle()

    clock = MovedClock()
    clock.ahead = timedelta(minutes=1)
    walk = EventWalk(database, sea.books, sea.billing.tasks, clock)
    comparison = Comparison(database, sea.books, sea.billing.tasks, clock)
    missed = 0
    while (found := walk.reconcile())["events_walked"]:
        missed += found["events_missed"]
        sea.settle()
        if not found["events_missed"]:
            break
    assert missed == len(sea.lost), "what was lost, and nothing else, is found in Stripe's list"

    drifted = 0
    while (found := comparison.reconcile())["subscriptions_compared"]:
        drifted += found["accounts_drifted"]
    assert drifted == 0, "the events alone made everything true"
    assert differing(sea) == []
    assert sea.payments.overlaps == set(), "the later to write is the later to ask"
    events = select(func.count()).select_from(inbox)
    assert count(database, events) == size.events
    assert count(database, events.where(inbox.c.state == "processed", inbox.c.attempts == 1)) == size.events
    assert count(database, select(func.count()).select_from(grants)) == size.accounts
    assert repeated_changes(database) == 0, "an effect twice"
    assert deadlocks(database) == 0


def repeated_changes(database: Database) -> int:
    """Lines of the audit log that say the same as the one before about the same account."""
    before = func.lag(audit_log.c.detail).over(partition_by=audit_log.c.user_id, order_by=audit_log.c.id)
    lines = (
        select(audit_log.c.detail, before.label("before"))
        .where(audit_log.c.kind == "entitlement_changed")
        .subquery()
    )
    return count(database, select(func.count()).select_from(lines).where(lines.c.detail == lines.c.before))
