"""What a sync puts right at the provider: nobody pays twice, and a card has one trial."""

import uuid
from datetime import timedelta
from itertools import permutations
from typing import Any

import httpx
import pytest
from sqlalchemy import Row, select

from lib.billing.backfill import Backfill
from lib.billing.ports import Customer
from lib.database.engine import Database
from lib.database.schema import audit_log, grants, trial_cards
from tests.billing import BASIC, PLANS, PREMIUM, Billing, event
from tests.factories import Factory, Person, wait_for
from tests.fakes.books import FakeBooks
from tests.fakes.payments import FakePayments


def subscribed(person: Person, make: Factory, lookup_key: str) -> None:
    """A subscription past our create-checkout, as by somebody's hand in Stripe's dashboard."""
    price = make.stripe("GET", "prices", **{"lookup_keys[]": lookup_key, "active": "true"})["data"][0]
    session = make.stripe(
        "POST",
        "checkout/sessions",
        mode="subscription",
        customer=make.customer(person),
        success_url="https://app.example.com",
        **{"line_items[0][price]": price["id"], "line_items[0][quantity]": 1},
    )
    assert httpx.post(session["url"], data={"card": "4242424242424242"}, timeout=30).status_code == 303


def charges(person: Person, make: Factory) -> list[tuple[int, int]]:
    """Amount and what of it was refunded, oldest first."""
    found = make.stripe("GET", "charges", customer=make.customer(person))["data"]
    return [(charge["amount"], charge["amount_refunded"]) for charge in reversed(found)]


def living(person: Person, make: Factory) -> list[str]:
    found = make.stripe("GET", "subscriptions", customer=make.customer(person))["data"]
    return [each["items"]["data"][0]["price"]["lookup_key"] for each in found]


def test_a_second_subscription_of_the_same_plan_is_ended_and_refunded_in_full(make: Factory) -> None:
    person = make.subscriber("basic")
    subscribed(person, make, "basic_monthly")
    # Which of two that began in the same second is kept does not matter.
    wait_for(lambda: sorted(charges(person, make)) == [(799, 0), (799, 799)])
    wait_for(lambda: living(person, make) == ["basic_monthly"])
    account = person.api.get("account").json()
    assert (account["entitlement"]["active"], account["subscription"]["status"]) == (True, "active")
    wait_for(lambda: ended(make.database, person.id) == ["duplicate"])


def test_a_higher_one_replaces_the_lower_and_the_rest_of_its_period_comes_back(make: Factory) -> None:
    person = make.subscriber("basic")
    subscribed(person, make, "premium_monthly")
    wait_for(lambda: living(person, make) == ["premium_monthly"])
    wait_for(lambda: person.api.get("account").json()["entitlement"]["plan"] == "premium")
    (basic, refunded), premium = charges(person, make)
    assert premium == (1499, 0)
    assert basic == 799
    assert 795 <= refunded <= 799, "all but the seconds it ran alone"
    assert len(ended(make.database, person.id)) == 1


def ended(database: Database, user_id: uuid.UUID) -> list[str]:
    """Reasons in the audit log, one for each subscription that was ended from here."""
    with database.transaction() as tx:
        found = select(audit_log.c.detail).where(
            audit_log.c.user_id == user_id, audit_log.c.kind == "subscription_ended"
        )
        return [detail["because"] for detail in tx.scalars(found.order_by(audit_log.c.id))]


def grants_of(database: Database, user_id: uuid.UUID) -> dict[str, Row[Any]]:
    with database.transaction() as tx:
        found = tx.execute(select(grants).where(grants.c.user_id == user_id))
        return {row.source_id: row for row in found}


@pytest.fixture
def payments() -> FakePayments:
    return FakePayments()


@pytest.fixture
def billing(database_apart: Database, payments: FakePayments) -> Billing:
    return Billing(database_apart, payments)


def sync(billing: Billing, customer: str) -> None:
    billing.deliver(event(customer))
    billing.work()


def test_the_highest_stays_whatever_the_order(billing: Billing, payments: FakePayments) -> None:
    for order in permutations((BASIC, PREMIUM, PREMIUM)):
        user = billing.user()
        customer = billing.customer(user)
        bought = [payments.subscribe(customer, plan) for plan in order]
        sync(billing, customer)
        kept = next(item for item in bought if item.lookup_key == PREMIUM.lookup_key)
        statuses = {item.id: item.status for item in payments.customer(customer).subscriptions}
        assert [id_ for id_, status in statuses.items() if status == "active"] == [kept.id]
        assert billing.entitlement(user)["plan"] == "premium"
        assert ended(billing.database, user) == ["duplicate"] * 2
        sync(billing, customer)
        assert ended(billing.database, user) == ["duplicate"] * 2, "once is enough"


@pytest.mark.parametrize(
    "facts",
    [
        {"cancel_at_period_end": True},
        {"status": "canceled"},
        {"status": "unpaid"},
        {"paused": True},
        {"lookup_key": "another product's", "price_id": "price_x"},
    ],
    ids=["ending", "canceled", "unpaid", "paused", "not ours"],
)
def test_what_will_not_be_charged_again_is_left_alone(
    billing: Billing, payments: FakePayments, facts: dict[str, Any]
) -> None:
    customer = billing.customer(billing.user())
    payments.subscribe(customer, BASIC, **facts)
    payments.subscribe(customer, BASIC)
    sync(billing, customer)
    assert "end_subscription" not in payments.calls


def test_none_that_is_paid_for_none_is_ended(billing: Billing, payments: FakePayments) -> None:
    """Two that both failed: which one recovers is not known yet."""
    customer = billing.customer(billing.user())
    first = payments.subscribe(customer, BASIC)
    overdue = first.created_at - timedelta(days=30)
    payments.change(customer, status="past_due", payment_missed_at=overdue)
    payments.subscribe(customer, BASIC, status="past_due", payment_missed_at=overdue)
    sync(billing, customer)
    assert "end_subscription" not in payments.calls


def test_what_is_overdue_replaces_nothing_that_is_paid_for(billing: Billing, payments: FakePayments) -> None:
    """It gives access for a while, so it would be the one bought first."""
    customer = billing.customer(billing.user())
    overdue = payments.subscribe(customer, BASIC)
    payments.change(customer, status="past_due", payment_missed_at=overdue.created_at)
    paid = payments.subscribe(customer, BASIC)
    sync(billing, customer)
    statuses = {item.id: item.status for item in payments.customer(customer).subscriptions}
    assert statuses == {overdue.id: "canceled", paid.id: "active"}


def test_a_better_one_that_is_overdue_may_recover(billing: Billing, payments: FakePayments) -> None:
    user = billing.user()
    customer = billing.customer(user)
    paid = payments.subscribe(customer, BASIC)
    overdue = payments.subscribe(customer, PREMIUM)
    payments.change(customer, status="past_due", payment_missed_at=overdue.created_at)
    sync(billing, customer)
    assert "end_subscription" not in payments.calls
    assert billing.entitlement(user)["plan"] == "premium"
    payments.change(customer, status="active", payment_missed_at=None)
    sync(billing, customer)
    statuses = {item.id: item.status for item in payments.customer(customer).subscriptions}
    assert statuses == {overdue.id: "active", paid.id: "canceled"}


def test_a_rehearsal_ends_and_refunds_nothing(billing: Billing, payments: FakePayments) -> None:
    card = uuid.uuid4().hex
    _, customer = trying(billing, payments, card)
    sync(billing, customer)
    again, _ = trying(billing, payments, card)
    twice = billing.user()
    customer = billing.customer(twice)
    payments.subscribe(customer, BASIC)
    payments.subscribe(customer, PREMIUM)
    for user, reason in ((again, "canceled"), (twice, "subscription")):
        with billing.database.transaction() as tx:
            billing.sync.account(tx, user, actor="operator:test", dry_run=True)
            told = billing.membership.of(tx, user, "viewer")[1]
            tx.rollback()
        assert told["reason"] == reason, "as it would be"
        assert billing.entitlement(user)["reason"] == "none"
    books = FakeBooks(payments)
    backfill = Backfill(billing.database, books, payments, billing.sync, PLANS)
    list(backfill.run(actor="operator:test", dry_run=True))
    assert "end_subscription" not in payments.calls
    list(backfill.run(actor="operator:test"))
    assert payments.calls.count("end_subscription") == 2


class DyingAfterEnding(FakePayments):
    """Out of reach in the moment after it ended something: the rows are not written."""

    def __init__(self) -> None:
        super().__init__()
        self.dies = True

    def customer(self, customer_id: str, *, films: bool = False) -> Customer:
        if self.dies and "end_subscription" in self.calls:
            self.dies = False
            raise KeyboardInterrupt
        return super().customer(customer_id, films=films)


def test_a_death_between_the_end_and_the_rows_loses_nothing(database_apart: Database) -> None:
    payments = DyingAfterEnding()
    billing = Billing(database_apart, payments)
    user = billing.user()
    customer = billing.customer(user)
    payments.subscribe(customer, BASIC)
    second = payments.subscribe(customer, BASIC)
    billing.deliver(event(customer))
    with pytest.raises(KeyboardInterrupt):
        billing.work()
    assert ended(database_apart, user) == []
    sync(billing, customer)
    assert ended(database_apart, user) == ["duplicate"]
    assert grants_of(database_apart, user)[second.id].withheld == "duplicate"
    assert payments.calls.count("end_subscription") == 1
    assert billing.entitlement(user)["active"]


def trying(billing: Billing, payments: FakePayments, card: str | None) -> tuple[uuid.UUID, str]:
    user = billing.user()
    customer = billing.customer(user)
    payments.subscribe(customer, BASIC, status="trialing", trial_card=card)
    return user, customer


def test_a_card_has_one_trial(billing: Billing, payments: FakePayments) -> None:
    card = uuid.uuid4().hex
    first, customer_of_first = trying(billing, payments, card)
    second, customer = trying(billing, payments, card)
    sync(billing, customer_of_first)
    sync(billing, customer)
    sync(billing, customer_of_first)
    assert billing.entitlement(first)["reason"] == "trial"
    told = billing.entitlement(second)
    assert (told["active"], told["reason"]) == (False, "canceled")
    assert payments.refunded == {}, "nobody was charged, so nobody gets anything back"
    assert ended(billing.database, second) == ["trial_used"]
    (found,) = grants_of(billing.database, second).values()
    assert found.withheld == "trial_used"


def test_without_a_trial_the_card_is_welcome(billing: Billing, payments: FakePayments) -> None:
    card = uuid.uuid4().hex
    _, customer = trying(billing, payments, card)
    sync(billing, customer)
    second, customer = trying(billing, payments, card)
    sync(billing, customer)
    session, _ = billing.checkouts.open(second, plan_code="basic", promotion_code=None)
    payments.pay(session.id)
    sync(billing, customer)
    assert billing.entitlement(second)["reason"] == "subscription"


def test_a_card_that_nobody_knows_has_its_trial(billing: Billing, payments: FakePayments) -> None:
    for _ in range(2):
        user, customer = trying(billing, payments, None)
        sync(billing, customer)
        assert billing.entitlement(user)["reason"] == "trial"


def test_the_card_itself_is_not_kept(billing: Billing, payments: FakePayments) -> None:
    card = uuid.uuid4().hex
    _, customer = trying(billing, payments, card)
    sync(billing, customer)
    with billing.database.transaction() as tx:
        (row,) = tx.execute(select(trial_cards)).all()
    assert set(row._mapping) == {"card_hash", "subscription_id", "created_at"}
    assert card.encode() not in row.card_hash


def test_a_warning_of_fraud_is_told_to_operators_and_takes_nothing(make: Factory) -> None:
    person = make.subscriber()
    make.control(email=person.email, action="early_fraud_warning")
    warned = select(audit_log).where(audit_log.c.user_id == person.id, audit_log.c.kind == "fraud_warning")

    def told() -> Row[Any] | None:
        with make.database.transaction() as tx:
            return tx.execute(warned).first()

    line = wait_for(told)
    assert line.actor.startswith("event:evt_")
    assert line.detail["warning"].startswith("issfr_")
    assert person.api.get("account").json()["entitlement"]["active"]
