"""All subscriptions compared with Stripe: what differs is found in both directions, and mended by a sync."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, update

from lib.billing import store
from lib.billing.comparison import Comparison
from lib.database.engine import Database
from lib.database.schema import audit_log, billing_accounts, checkouts, entitlements, subscriptions, videos
from lib.errors import UnavailableError
from tests.billing import BASIC, PREMIUM, Billing
from tests.fakes.books import FakeBooks
from tests.fakes.payments import FakePayments
from tests.integration.test_event_walk import MovedClock

BEGUN = datetime.now(UTC).replace(microsecond=0) - timedelta(days=10)


@pytest.fixture
def payments() -> FakePayments:
    return FakePayments()


@pytest.fixture
def billing(database_apart: Database, payments: FakePayments) -> Billing:
    return Billing(database_apart, payments)


@pytest.fixture
def books(payments: FakePayments) -> FakeBooks:
    return FakeBooks(payments, size=3)


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def comparison(billing: Billing, books: FakeBooks, clock: MovedClock) -> Comparison:
    return Comparison(billing.database, books, billing.tasks, clock)


def payer(billing: Billing, payments: FakePayments, **facts: Any) -> tuple[uuid.UUID, str]:
    """Somebody who pays, and whose rows are right; the customer."""
    user = billing.user()
    customer = billing.customer(user)
    payments.subscribe(customer, BASIC, **{"created_at": BEGUN} | facts)
    with billing.database.transaction() as tx:
        billing.sync.account(tx, user, actor="test")
    return user, customer


def drifted(comparison: Comparison, billing: Billing, clock: MovedClock) -> int:
    """A day later: how many accounts differ. They are synced."""
    clock.ahead += timedelta(hours=25)
    found = comparison.reconcile()
    billing.work()
    return found["accounts_drifted"]


def test_nothing_differs(
    billing: Billing, payments: FakePayments, comparison: Comparison, clock: MovedClock
) -> None:
    for number in range(7):
        payer(billing, payments, created_at=BEGUN + timedelta(seconds=number // 3))
    assert comparison.reconcile() == {
        "subscriptions_compared": 7,
        "accounts_drifted": 0,
        "customers_adopted": 0,
        "customers_unknown": 0,
    }
    assert billing.fake_tasks.queued == []
    assert comparison.reconcile()["subscriptions_compared"] == 0, "once a day"
    assert drifted(comparison, billing, clock) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"status": "canceled"},
        {"status": "past_due", "payment_missed_at": BEGUN},
        {"paused": True},
        {"cancel_at_period_end": True},
        {"cancel_at": BEGUN + timedelta(days=20)},
        {"current_period_end": BEGUN + timedelta(days=60)},
        {"trial_end": BEGUN + timedelta(days=30)},
        {"price_id": "price_premium", "lookup_key": PREMIUM.lookup_key},
    ],
    ids="-".join,
)
def test_news_that_was_lost(
    billing: Billing,
    payments: FakePayments,
    comparison: Comparison,
    clock: MovedClock,
    change: dict[str, Any],
) -> None:
    others = [payer(billing, payments) for _ in range(3)]
    _, customer = payer(billing, payments, created_at=BEGUN + timedelta(hours=1))
    payments.change(customer, **change)
    assert drifted(comparison, billing, clock) == 1
    assert drifted(comparison, billing, clock) == 0
    assert all(billing.entitlement(user)["plan"] == "basic" for user, _ in others)


def test_a_subscription_we_never_heard_of(
    billing: Billing, payments: FakePayments, comparison: Comparison
) -> None:
    user = billing.user()
    payments.subscribe(billing.customer(user), BASIC, created_at=BEGUN)
    assert comparison.reconcile()["accounts_drifted"] == 1
    billing.work()
    assert billing.entitlement(user)["plan"] == "basic"


@pytest.mark.parametrize("place", range(7))
def test_a_subscription_that_stripe_has_not(
    billing: Billing, payments: FakePayments, comparison: Comparison, clock: MovedClock, place: int
) -> None:
    """Wherever in the list it would stand: at the edges of pages too."""
    payers = [payer(billing, payments, created_at=BEGUN + timedelta(seconds=n)) for n in range(7)]
    user, customer = payers[place]
    payments.forget(customer)
    assert drifted(comparison, billing, clock) == 1
    assert billing.entitlement(user)["active"] is False
    assert drifted(comparison, billing, clock) == 0


def test_all_that_began_in_one_second(
    billing: Billing, payments: FakePayments, comparison: Comparison, clock: MovedClock
) -> None:
    """More than a page of them: what stands on the page before is not missing on this one."""
    for _ in range(8):
        payer(billing, payments)
    assert drifted(comparison, billing, clock) == 0


def test_an_entitlement_that_is_gone(
    billing: Billing, payments: FakePayments, comparison: Comparison, clock: MovedClock
) -> None:
    user, _ = payer(billing, payments)
    with billing.database.transaction() as tx:
        tx.execute(delete(entitlements).where(entitlements.c.user_id == user))
    assert drifted(comparison, billing, clock) == 1
    assert billing.entitlement(user)["plan"] == "basic"


def test_a_payer_without_a_row_of_ours_is_adopted(
    billing: Billing, payments: FakePayments, comparison: Comparison
) -> None:
    """As after a restore: the user is there, that they have a customer is not."""
    user, customer = payer(billing, payments)
    with billing.database.transaction() as tx:
        tx.execute(delete(billing_accounts).where(billing_accounts.c.user_id == user))
    found = comparison.reconcile()
    assert (found["customers_adopted"], found["accounts_drifted"]) == (1, 1)
    billing.work()
    assert billing.entitlement(user)["plan"] == "basic"
    with billing.database.transaction() as tx:
        assert store.customer_of(tx, user) == customer
        lines = select(audit_log.c.detail).where(
            audit_log.c.user_id == user, audit_log.c.kind == "customer_adopted"
        )
        assert tx.execute(lines).scalar_one() == {"customer": customer}


def test_payers_that_belong_to_nobody_are_told_of(
    billing: Billing, payments: FakePayments, comparison: Comparison, capsys: pytest.CaptureFixture[str]
) -> None:
    user, _ = payer(billing, payments)
    nobody = payments.create_customer(user_id=uuid.uuid4(), email="x@example.com", attempt="nobody")
    payments.subscribe(nobody, BASIC, created_at=BEGUN)
    # A second customer of somebody who has one: which is right, a human says.
    second = payments.create_customer(user_id=user, email="x@example.com", attempt="second")
    payments.subscribe(second, BASIC, created_at=BEGUN)
    capsys.readouterr()
    found = comparison.reconcile()
    assert (found["customers_unknown"], found["customers_adopted"]) == (2, 0)
    said = capsys.readouterr().out
    assert nobody in said
    assert second in said


def test_what_another_product_sells_is_none_of_our_business(
    billing: Billing, payments: FakePayments, comparison: Comparison
) -> None:
    payer(billing, payments)
    payments.subscribe("cus_of_another_product", BASIC, price_id="price_foreign", lookup_key=None)
    found = comparison.reconcile()
    assert (found["customers_unknown"], found["accounts_drifted"]) == (0, 0)


def test_an_outage_on_the_way(
    billing: Billing, payments: FakePayments, books: FakeBooks, comparison: Comparison, clock: MovedClock
) -> None:
    payers = [payer(billing, payments, created_at=BEGUN + timedelta(seconds=n)) for n in range(7)]
    for _, customer in payers:
        payments.change(customer, paused=True)
    clock.ahead = timedelta(hours=25)
    books.down_after = 2
    with pytest.raises(UnavailableError):
        comparison.reconcile()
    assert billing.work() == 6
    books.down_after = None
    assert comparison.reconcile()["accounts_drifted"] == 1, "it goes on where it was"
    assert billing.work() == 1


def test_the_queue_down_does_not_pass_a_page_over(
    billing: Billing, payments: FakePayments, comparison: Comparison, clock: MovedClock
) -> None:
    _, customer = payer(billing, payments)
    payments.change(customer, paused=True)
    clock.ahead = timedelta(hours=25)
    billing.fake_tasks.down = True
    assert comparison.reconcile()["accounts_drifted"] == 0
    billing.fake_tasks.down = False
    assert comparison.reconcile()["accounts_drifted"] == 1


def test_a_page_that_ended_unheard_is_closed(
    billing: Billing, payments: FakePayments, clock: MovedClock
) -> None:
    from lib.billing.syncs import OverdueCheckouts

    user = billing.user()
    page, _ = billing.checkouts.open(user, plan_code="basic", promotion_code=None)
    overdue = OverdueCheckouts(billing.database, billing.tasks, clock)
    assert overdue.reconcile() == {"overdue": 0}
    payments.expire_checkout(page.id)
    with billing.database.transaction() as tx:
        tx.execute(update(checkouts).values(expires_at=datetime.now(UTC) - timedelta(minutes=6)))
    assert overdue.reconcile() == {"overdue": 1}
    assert overdue.reconcile() == {"overdue": 1}
    assert billing.work() == 1, "asked about once an hour"
    with billing.database.transaction() as tx:
        assert tx.execute(select(checkouts.c.state)).scalar_one() == "expired"
    assert overdue.reconcile() == {"overdue": 0}


@pytest.mark.parametrize(
    "change",
    [
        {"published": False},
        {"deleted_at": func.now(), "purge_at": func.now()},
        {"available_until": func.now()},
        {"status": "removed"},
    ],
    ids=["unpublished", "deleted", "over", "removed"],
)
def test_the_page_for_a_film_that_was_withdrawn_is_closed(
    billing: Billing, payments: FakePayments, clock: MovedClock, change: dict[str, Any]
) -> None:
    from lib.billing.syncs import OverdueCheckouts

    film = uuid.uuid4()
    facts = {"status": "ready", "asset_id": "asset", "playback_id": "playback", "duration": 60.0}
    price = {"price_amount": 399, "price_currency": "usd", "rental_hours": 48}
    with billing.database.transaction() as tx:
        row = insert(videos).values(id=film, title="A film", level=1, published=True, provider="mux")
        tx.execute(row.values(**facts, **price))
    page, _ = billing.checkouts.open_film(billing.user(), video_id=film, promotion_code=None)
    overdue = OverdueCheckouts(billing.database, billing.tasks, clock)
    assert overdue.reconcile() == {"overdue": 0}
    with billing.database.transaction() as tx:
        tx.execute(update(videos).values(**change))
    assert overdue.reconcile() == {"overdue": 1}
    billing.work()
    assert payments.checkout(page.id).state == "expired"
    assert overdue.reconcile() == {"overdue": 0}


def test_a_sync_for_somebody_who_is_gone(billing: Billing) -> None:
    for user_id in (str(uuid.uuid4()), "no id at all"):
        billing.syncs.process({"user_id": user_id, "actor": "test"})
    with billing.database.transaction() as tx:
        assert tx.execute(select(billing_accounts)).first() is None
        assert tx.execute(select(subscriptions)).first() is None
