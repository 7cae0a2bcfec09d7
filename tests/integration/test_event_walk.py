"""What no webhook told is found in the provider's list, once, and however long the list is."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from lib.billing import event_walk
from lib.billing.event_walk import EventWalk
from lib.database.engine import Database
from lib.database.schema import inbox
from lib.errors import UnavailableError
from lib.web.ports import Clock
from tests.billing import BASIC, Billing, event
from tests.fakes.books import FakeBooks
from tests.fakes.payments import FakePayments

UPDATED = "customer.subscription.updated"


@pytest.fixture
def payments() -> FakePayments:
    return FakePayments()


@pytest.fixture
def billing(database_apart: Database, payments: FakePayments) -> Billing:
    return Billing(database_apart, payments)


@pytest.fixture
def books(payments: FakePayments) -> FakeBooks:
    return FakeBooks(payments, size=3)


class MovedClock:
    """The machine's clock, set forward at a word."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def walk(billing: Billing, books: FakeBooks, clock: Clock) -> EventWalk:
    return EventWalk(billing.database, books, billing.tasks, clock)


def ago(**time: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(**time)


def kept(billing: Billing) -> int:
    with billing.database.transaction() as tx:
        return tx.execute(select(func.count()).select_from(inbox)).scalar_one()


def test_a_lost_webhook_is_made_up_for(
    billing: Billing, payments: FakePayments, books: FakeBooks, walk: EventWalk
) -> None:
    user = billing.user()
    customer = billing.customer(user)
    payments.subscribe(customer, BASIC)
    books.tell(customer, UPDATED, at=ago(minutes=5))
    assert walk.reconcile() == {"events_walked": 1, "events_missed": 1}
    assert billing.work() == 1
    assert billing.entitlement(user)["active"] is True
    assert walk.reconcile()["events_missed"] == 0
    assert billing.work() == 0


def test_what_came_by_webhook_is_not_missed(billing: Billing, books: FakeBooks, walk: EventWalk) -> None:
    customer = billing.customer(billing.user())
    told = books.tell(customer, UPDATED, at=ago(minutes=5))
    billing.deliver(event(customer, id=told.id))
    billing.work()
    assert walk.reconcile() == {"events_walked": 1, "events_missed": 0}
    assert billing.work() == 0


def test_what_is_on_its_way_is_left_to_the_webhook_for_a_moment(
    billing: Billing, books: FakeBooks, walk: EventWalk, clock: MovedClock
) -> None:
    books.tell(billing.customer(billing.user()), UPDATED)
    assert walk.reconcile()["events_missed"] == 0
    clock.ahead = timedelta(minutes=1)
    assert walk.reconcile()["events_missed"] == 1


def test_a_long_list_is_read_over_several_calls(billing: Billing, books: FakeBooks, walk: EventWalk) -> None:
    customer = billing.customer(billing.user())
    number = 3 * event_walk.PAGES + 7
    for second in range(number):
        books.tell(customer, UPDATED, at=ago(minutes=50) + timedelta(seconds=second))
    first = walk.reconcile()
    assert first["events_missed"] == 3 * event_walk.PAGES
    # Something new meanwhile belongs to the next window.
    books.tell(customer, UPDATED, at=ago(minutes=1))
    assert walk.reconcile()["events_missed"] == 7
    assert walk.reconcile()["events_missed"] == 1
    assert kept(billing) == number + 1


def test_an_outage_on_the_way_loses_nothing(billing: Billing, books: FakeBooks, walk: EventWalk) -> None:
    customer = billing.customer(billing.user())
    for second in range(8):
        books.tell(customer, UPDATED, at=ago(minutes=5) + timedelta(seconds=second))
    books.down_after = 2
    with pytest.raises(UnavailableError):
        walk.reconcile()
    assert kept(billing) == 6
    books.down_after = None
    walk.reconcile()
    assert kept(billing) == 8


def test_two_calls_at_once_do_each_page_once(
    billing: Billing, payments: FakePayments, books: FakeBooks, walk: EventWalk, clock: Clock
) -> None:
    customer = billing.customer(billing.user())
    for second in range(5):
        books.tell(customer, UPDATED, at=ago(minutes=5) + timedelta(seconds=second))

    class Interrupted(FakeBooks):
        """Another call comes in between question and answer."""

        def events(self, **asked: object) -> object:  # type: ignore[override]
            page = super().events(**asked)  # type: ignore[arg-type]
            walk.reconcile()
            return page

    slow = Interrupted(payments, size=3)
    slow.told = books.told
    found = EventWalk(billing.database, slow, billing.tasks, clock).reconcile()  # type: ignore[arg-type]
    assert found == {"events_walked": 0, "events_missed": 0}
    assert (kept(billing), len(billing.fake_tasks.queued)) == (5, 5)


def test_a_place_that_is_gone_begins_the_window_anew(
    billing: Billing, books: FakeBooks, walk: EventWalk
) -> None:
    customer = billing.customer(billing.user())
    for second in range(9):
        books.tell(customer, UPDATED, at=ago(minutes=5) + timedelta(seconds=second))
    books.down_after = 1
    with pytest.raises(UnavailableError):
        walk.reconcile()
    books.down_after = None
    del books.told[6:]  # with them the place where the first page ended
    walk.reconcile()
    assert kept(billing) == 9


def test_an_event_that_appears_late_is_found(billing: Billing, books: FakeBooks, walk: EventWalk) -> None:
    customer = billing.customer(billing.user())
    books.tell(customer, UPDATED, at=ago(seconds=60))
    walk.reconcile()
    books.tell(customer, UPDATED, at=ago(seconds=90))
    assert walk.reconcile()["events_missed"] == 1


def test_the_queue_down_leaves_them_in_the_inbox(billing: Billing, books: FakeBooks, walk: EventWalk) -> None:
    books.tell(billing.customer(billing.user()), UPDATED, at=ago(minutes=5))
    billing.fake_tasks.down = True
    assert walk.reconcile()["events_missed"] == 1
    assert kept(billing) == 1
