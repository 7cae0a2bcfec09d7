"""What goes back when a subscription is ended: all that was paid for its period, once, over Stripe's clock."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import stripe

from lib.adapters.stripe_payments import StripePayments
from lib.adapters.stripe_shares import owed
from lib.config import StripeSettings
from tests.integration.sandbox.test_stripe_sandbox import KEY, Sandbox, box, port

__all__ = ["box", "port"]

THE_START = datetime.fromtimestamp(0, UTC)


class Shop:
    """One customer, and what was charged to and given back to their card."""

    def __init__(self, box: Sandbox) -> None:
        self.box = box
        self.payments = StripePayments(StripeSettings(KEY, box.base), "https://app.example.com")
        self.customer = box.v1.customers.create({"email": "ann@example.com"}).id
        self._ahead = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def after(self, **time: float) -> None:
        self._ahead += timedelta(**time)
        self.box.control(action="advance", to=self.now().isoformat())

    def subscribed(self, **more: Any) -> str:
        return self.box.subscribed(customer=self.customer, **more).id

    def change(self, subscription: str, key: str) -> None:
        (item,) = self.box.v1.subscriptions.retrieve(subscription)["items"].data
        self.box.v1.subscriptions.update(
            subscription,
            {
                "items": [{"id": item.id, "price": self.box.price(key)}],
                "proration_behavior": "always_invoice",
            },
        )

    def end(self, subscription: str, since: datetime = THE_START) -> int:
        return self.payments.end_subscription(subscription, "revoked", refund_from=since)

    def charges(self) -> list[stripe.Charge]:
        """Oldest first."""
        return self.box.v1.charges.list({"customer": self.customer, "limit": 100}).data[::-1]

    def paid(self) -> int:
        return sum(charge.amount_captured for charge in self.charges())

    def given_back(self) -> int:
        return sum(charge.amount_refunded for charge in self.charges())

    def balance(self) -> int:
        return self.box.v1.customers.retrieve(self.customer).balance or 0


@pytest.fixture
def shop(box: Sandbox) -> Shop:
    return Shop(box)


@pytest.mark.parametrize("days", [0, 10], ids=["in the period's first hour", "later"])
def test_a_change_of_plan_is_given_back_with_the_period(shop: Shop, days: int) -> None:
    subscription = shop.subscribed()
    if days:
        shop.after(days=days)
    shop.change(subscription, "premium_monthly")
    first, difference = shop.charges()
    assert first.amount == 799
    assert 0 < difference.amount <= 700
    assert shop.end(subscription) == shop.paid()
    assert [charge.refunded for charge in shop.charges()] == [True, True]


def test_of_every_bill_what_lies_after_goes_back(shop: Shop) -> None:
    subscription = shop.subscribed()
    (item,) = shop.box.v1.subscriptions.retrieve(subscription)["items"].data
    length = item.current_period_end - item.current_period_start
    shop.after(days=10)
    shop.change(subscription, "premium_monthly")
    shop.after(days=5)
    given_back = shop.end(subscription, since=shop.now())
    left = (item.current_period_end - shop.now().timestamp()) / length
    assert abs(given_back - 1499 * left) <= 2, "what the higher plan costs for the time that is left"
    assert shop.given_back() == given_back


def test_the_last_period_stays_paid_for(shop: Shop) -> None:
    subscription = shop.subscribed()
    shop.change(subscription, "premium_monthly")
    shop.after(days=32)
    shop.change(subscription, "basic_monthly")
    credit = -shop.balance()
    assert credit > 0, "a change to less fills the balance"
    before = shop.given_back()
    assert before == 0
    assert shop.end(subscription) == 1499 - credit, "what is on the balance was given back already"
    assert [charge.amount_refunded for charge in shop.charges()] == [0, 0, 1499 - credit]


def test_what_a_bill_took_from_the_balance_goes_back_there_once(shop: Shop) -> None:
    shop.box.v1.customers.update(shop.customer, {"balance": -500})
    subscription = shop.subscribed()
    assert [charge.amount for charge in shop.charges()] == [299]
    assert shop.balance() == 0
    for _ in range(2):
        assert shop.end(subscription) == 799
        assert (shop.given_back(), shop.balance()) == (299, -500)


def test_what_a_credit_note_gave_back_does_not_go_back_again(shop: Shop) -> None:
    subscription = shop.subscribed()
    bill = shop.box.v1.invoices.list({"subscription": subscription}).data[0].id
    shop.box.v1.credit_notes.create({"invoice": bill, "amount": 200, "credit_amount": 200})
    shop.box.v1.refunds.create({"charge": shop.charges()[0].id, "amount": 100})
    for _ in range(2):
        assert shop.end(subscription) == 599
        assert (shop.given_back(), shop.balance()) == (599, -200)


def test_a_trial_that_cost_nothing_gives_nothing_back(shop: Shop) -> None:
    subscription = shop.subscribed(subscription_data={"trial_period_days": 7})
    assert shop.end(subscription) == 0
    assert shop.charges() == []


def test_halfway_it_goes_on_from_there_with_a_key_for_each_payment(shop: Shop) -> None:
    subscription = shop.subscribed()
    shop.change(subscription, "premium_monthly")
    first, _ = shop.charges()
    # As it is after a crash between the two.
    shop.box.v1.refunds.create({"charge": first.id})
    for _ in range(2):
        shop.end(subscription)
        assert shop.given_back() == shop.paid()
    made = shop.box.v1.events.list({"type": "refund.created"}).data
    keys = {event.request.idempotency_key for event in made if event.request is not None}
    assert len(keys) == len(made) == 2


def test_a_difference_that_is_refunded_takes_no_access_and_the_period_s_bill_does(shop: Shop) -> None:
    subscription = shop.subscribed()
    shop.change(subscription, "premium_monthly")
    first, difference = shop.charges()

    def told() -> str | None:
        return shop.payments.customer(shop.customer).subscriptions[0].taken_back

    shop.box.v1.refunds.create({"charge": difference.id})
    assert told() is None
    shop.box.v1.refunds.create({"charge": first.id})
    assert told() == "refunded"


def downgraded(shop: Shop) -> str:
    """A subscription that changes to a lower plan with its period, as the portal does it: by a schedule."""
    subscription = shop.subscribed(line_items=[{"price": shop.box.price("premium_monthly"), "quantity": 1}])
    visit = shop.box.v1.billing_portal.sessions.create({"customer": shop.customer})
    change = {"subscription": subscription, "action": "change", "price": shop.box.price()}
    assert httpx.post(visit.url, data=change, timeout=15).status_code == 303
    assert shop.box.v1.subscriptions.retrieve(subscription).schedule
    return subscription


def test_what_is_under_a_schedule_is_ended_too(shop: Shop) -> None:
    subscription = downgraded(shop)
    schedule = str(shop.box.v1.subscriptions.retrieve(subscription).schedule)
    for _ in range(2):
        assert shop.end(subscription) == 1499
    ended = shop.box.v1.subscriptions.retrieve(subscription)
    assert (ended.status, ended.schedule) == ("canceled", None)
    assert shop.box.v1.subscription_schedules.retrieve(schedule).status == "released"
    assert shop.payments.customer(shop.customer).subscriptions[0].ended_because == "revoked"


def test_what_is_under_a_schedule_goes_with_its_customer(shop: Shop) -> None:
    subscription = downgraded(shop)
    shop.payments.delete_customer(shop.customer)
    assert shop.box.v1.subscriptions.retrieve(subscription).status == "canceled"


def test_every_subscription_of_a_customer_is_read(shop: Shop) -> None:
    first = shop.subscribed()
    kept = shop.box.state.get("stripe.subscription", first)
    assert kept is not None
    for number in range(100):
        ended = {"id": f"sub_{number}", "status": "canceled", "created": kept["created"] + 1}
        shop.box.state.put("stripe.subscription", f"sub_{number}", kept | ended)
    found = shop.payments.customer(shop.customer).subscriptions
    assert len(found) == 101
    assert (found[-1].id, found[-1].status) == (first, "active")


def test_an_interval_that_changed_counts_what_the_old_one_left(shop: Shop) -> None:
    """Monthly to yearly: the new bill is lower by what was left of the month, and that was paid by the old one."""
    day = 86400
    found = stripe.Subscription.construct_from(
        {"items": {"data": [{"current_period_start": 10 * day, "current_period_end": 375 * day}]}}, None
    )
    yearly = _bill(total=7000, lines=[(-533, 10 * day, 30 * day), (7533, 10 * day, 375 * day)], paid=7000)
    monthly = _bill(total=799, lines=[(799, 0, 30 * day)], paid=799)
    back = owed(found, [yearly, monthly], 0)
    assert [share.amount for share in back.shares] == [7000, 533]
    assert back.balance == 0


def _bill(*, total: int, lines: list[tuple[int, int, int]], paid: int) -> stripe.Invoice:
    data = [{"amount": amount, "period": {"start": start, "end": end}} for amount, start, end in lines]
    return stripe.Invoice.construct_from(
        {
            "total": total,
            "amount_paid": paid,
            "starting_balance": 0,
            "ending_balance": 0,
            "lines": {"object": "list", "data": data, "has_more": False},
        },
        None,
    )
