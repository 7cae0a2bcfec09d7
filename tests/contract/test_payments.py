"""`Payments`: what holds for Stripe (its SDK, over HTTP, against the sandbox) holds for the fake."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import httpx
import pytest
import stripe

from infra.local.processes import free_port
from infra.local.supervisor import Stack
from lib.adapters.stripe_objects import paid_subscription
from lib.adapters.stripe_payments import StripePayments
from lib.billing.ports import CheckoutSession, CustomerGoneError, Film, PaidSubscription, Payments
from lib.config import CheckoutSettings, Environment, Plan, StripeSettings
from lib.errors import InvalidPromotionCodeError, UnavailableError
from tests.billing import BASIC, PREMIUM
from tests.fakes.payments import FakePayments

APP = "https://app.example.com"
CARD, ANOTHER_CARD = "4242424242424242", "5555555555554444"


class Provider(Protocol):
    """An implementation, and what customers and banks do to it."""

    payments: Payments

    def pay(self, session: CheckoutSession, card: str = CARD) -> None: ...

    def fail_payment(self, customer: str) -> None: ...

    def recover(self, customer: str) -> None: ...

    def end_with_period(self, customer: str) -> None: ...

    def cancel(self, customer: str) -> None: ...

    def pause(self, customer: str, *, paused: bool) -> None: ...

    def renew(self, customer: str) -> None: ...

    def delete(self, customer: str) -> None: ...

    def refund(self, customer: str) -> str:
        """The refund's id."""

    def lose_dispute(self, customer: str) -> str:
        """The dispute's id."""

    def reprice(self, plan: Plan) -> None:
        """The plan's lookup key is that of another price from now on."""

    def refund_film(self, session: CheckoutSession, amount: int | None) -> None: ...

    def lose_film_dispute(self, session: CheckoutSession) -> None: ...

    def warn_of_fraud(self, customer: str) -> str:
        """The warning's id."""

    def given_back(self, subscription: PaidSubscription) -> bool:
        """Whether what was paid for a subscription was given back, all of it."""


class Sandbox:
    def __init__(self, stack: Stack, environment: dict[str, str]) -> None:
        settings = Environment(environment).stripe()
        self.payments: Payments = StripePayments(settings, APP)
        self._base = f"{stack.base_url}/sandbox/stripe"
        self._key = settings.secret_key

    def pay(self, session: CheckoutSession, card: str = CARD) -> None:
        assert session.url is not None
        paid = httpx.post(session.url, data={"card": card}, timeout=30)
        assert paid.status_code == 303, paid.text

    def fail_payment(self, customer: str) -> None:
        self._control(customer, "fail_payment")

    def recover(self, customer: str) -> None:
        self._control(customer, "recover")

    def end_with_period(self, customer: str) -> None:
        self._control(customer, "cancel_at_period_end")

    def cancel(self, customer: str) -> None:
        self._control(customer, "cancel")

    def pause(self, customer: str, *, paused: bool) -> None:
        self._control(customer, "pause" if paused else "resume")

    def renew(self, customer: str) -> None:
        self._control(customer, "renew")

    def delete(self, customer: str) -> None:
        self.call("DELETE", f"customers/{customer}")

    def refund(self, customer: str) -> str:
        self._control(customer, "refund")
        return self._newest("refunds", customer)

    def lose_dispute(self, customer: str) -> str:
        self._control(customer, "dispute_lost")
        return self._newest("disputes", customer)

    def reprice(self, plan: Plan) -> None:
        price = {
            "currency": plan.currency,
            "unit_amount": plan.amount,
            "recurring[interval]": plan.interval,
            "product_data[name]": plan.name,
        }
        self.call("POST", "prices", lookup_key=plan.lookup_key, transfer_lookup_key="true", **price)

    def refund_film(self, session: CheckoutSession, amount: int | None) -> None:
        self._tell(session=session.id, action="refund", **({"amount": amount} if amount else {}))

    def lose_film_dispute(self, session: CheckoutSession) -> None:
        self._tell(session=session.id, action="dispute_lost")

    def warn_of_fraud(self, customer: str) -> str:
        self._control(customer, "early_fraud_warning")
        return self._newest("radar/early_fraud_warnings", customer)

    def given_back(self, subscription: PaidSubscription) -> bool:
        customer = self.call("GET", f"subscriptions/{subscription.id}")["customer"]
        return all(charge["refunded"] for charge in self.call("GET", "charges", customer=customer)["data"])

    def call(self, method: str, path: str, **form: Any) -> dict[str, Any]:
        sent: dict[str, Any] = {"params" if method == "GET" else "data": form}
        response = httpx.request(
            method, f"{self._base}/v1/{path}", headers={"Authorization": f"Bearer {self._key}"}, **sent
        )
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def _newest(self, what: str, customer: str) -> str:
        charge = self.call("GET", "charges", customer=customer)["data"][0]["id"]
        return str(self.call("GET", what, charge=charge)["data"][0]["id"])

    def _control(self, customer: str, action: str) -> None:
        self._tell(customer=customer, action=action)

    def _tell(self, **order: Any) -> None:
        done = httpx.post(f"{self._base}/control", json=order)
        assert done.status_code == 200, done.text


class Fake:
    def __init__(self) -> None:
        self._fake = FakePayments()
        self.payments: Payments = self._fake

    def pay(self, session: CheckoutSession, card: str = CARD) -> None:
        if self._fake.sells_film(session.id):
            self._fake.pay_film(session.id)
        else:
            self._fake.pay(session.id, card)

    def fail_payment(self, customer: str) -> None:
        self._fake.change(customer, status="past_due", payment_missed_at=now())

    def recover(self, customer: str) -> None:
        self._fake.change(customer, status="active", payment_missed_at=None)

    def end_with_period(self, customer: str) -> None:
        end = self.payments.customer(customer).subscriptions[0].current_period_end
        self._fake.change(customer, cancel_at_period_end=True, cancel_at=end)

    def cancel(self, customer: str) -> None:
        self._fake.change(customer, status="canceled")

    def pause(self, customer: str, *, paused: bool) -> None:
        self._fake.change(customer, paused=paused)

    def renew(self, customer: str) -> None:
        end = self.payments.customer(customer).subscriptions[0].current_period_end
        self._fake.change(customer, current_period_end=end + timedelta(days=30), taken_back=None)

    def delete(self, customer: str) -> None:
        self._fake.delete(customer)

    def refund(self, customer: str) -> str:
        return self._fake.take_back(customer, "refunded")

    def lose_dispute(self, customer: str) -> str:
        return self._fake.take_back(customer, "disputed")

    def reprice(self, plan: Plan) -> None:
        self._fake.prices[plan.lookup_key] = f"price_{uuid.uuid4().hex}"

    def refund_film(self, session: CheckoutSession, amount: int | None) -> None:
        # In part it changes nothing that is told.
        if amount is None:
            self._fake.take_back_film(session.id, "refunded")

    def lose_film_dispute(self, session: CheckoutSession) -> None:
        self._fake.take_back_film(session.id, "disputed")

    def warn_of_fraud(self, customer: str) -> str:
        return self._fake.warn_of_fraud(customer)

    def given_back(self, subscription: PaidSubscription) -> bool:
        since = self._fake.refunded.get(subscription.id)
        return since is not None and since <= subscription.created_at


@pytest.fixture
def sandbox(stack: Stack, environment: dict[str, str]) -> Sandbox:
    return Sandbox(stack, environment)


@pytest.fixture(params=["stripe", "fake"])
def provider(request: pytest.FixtureRequest) -> Provider:
    found: Provider = Fake() if request.param == "fake" else request.getfixturevalue("sandbox")
    return found


def now() -> datetime:
    return datetime.now(UTC)


def customer(provider: Provider) -> str:
    return provider.payments.create_customer(
        user_id=uuid.uuid4(), email="somebody@example.com", attempt=uuid.uuid4().hex
    )


def open_page(provider: Provider, customer_id: str, plan: Plan = BASIC, **facts: Any) -> CheckoutSession:
    wanted = {"trial_days": 0, "promotion_code": None, "attempt": uuid.uuid4().hex} | facts
    user_id = wanted.pop("user_id", uuid.uuid4())
    return provider.payments.open_checkout(customer_id=customer_id, user_id=user_id, plan=plan, **wanted)


def subscribed(provider: Provider, **facts: Any) -> str:
    """Somebody who paid; the customer."""
    customer_id = customer(provider)
    provider.pay(open_page(provider, customer_id, **facts))
    return customer_id


def newest(provider: Provider, customer_id: str) -> PaidSubscription:
    return provider.payments.customer(customer_id).subscriptions[0]


def is_about(moment: datetime | None, expected: datetime) -> bool:
    return moment is not None and abs(moment - expected) < timedelta(minutes=2)


def film(**facts: Any) -> Film:
    wanted: dict[str, Any] = {
        "id": uuid.uuid4(),
        "title": "A film",
        "amount": 399,
        "currency": "usd",
        "rental_hours": 48,
    }
    return Film(**(wanted | facts))


def film_page(provider: Provider, customer_id: str, wanted: Film, **facts: Any) -> CheckoutSession:
    given = {"promotion_code": None, "attempt": uuid.uuid4().hex, "user_id": uuid.uuid4()} | facts
    return provider.payments.open_film_checkout(customer_id=customer_id, film=wanted, **given)


# -- both: films ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [48, None], ids=["rented", "bought"])
def test_a_film_that_was_paid_for_is_told_where_it_is_asked_for(
    provider: Provider, hours: int | None
) -> None:
    customer_id, wanted = customer(provider), film(rental_hours=hours)
    page = film_page(provider, customer_id, wanted)
    assert provider.payments.customer(customer_id, films=True).films == ()
    provider.pay(page)
    assert provider.payments.checkout(page.id).state == "complete"
    found = provider.payments.customer(customer_id, films=True)
    (bought,) = found.films
    assert (bought.id, bought.video_id, bought.window_hours) == (page.id, wanted.id, hours)
    assert is_about(bought.paid_at, now())
    assert bought.taken_back is None
    assert found.subscriptions == ()
    assert provider.payments.customer(customer_id).films == ()


def test_films_come_newest_first_and_plans_are_no_films(provider: Provider) -> None:
    customer_id = subscribed(provider)
    pages = [film_page(provider, customer_id, film()) for _ in range(2)]
    for page in pages:
        provider.pay(page)
    found = provider.payments.customer(customer_id, films=True)
    assert [bought.id for bought in found.films] == [page.id for page in reversed(pages)]
    assert len(found.subscriptions) == 1


def test_the_same_attempt_is_the_same_page_of_a_film(provider: Provider) -> None:
    customer_id, wanted = customer(provider), film()
    facts = {"attempt": uuid.uuid4().hex, "user_id": uuid.uuid4()}
    pages = {film_page(provider, customer_id, wanted, **facts).id for _ in range(2)}
    assert len(pages) == 1


def test_the_money_for_a_film_taken_back(provider: Provider) -> None:
    customer_id = customer(provider)
    pages = [film_page(provider, customer_id, film()) for _ in range(3)]
    for page in pages:
        provider.pay(page)
    provider.refund_film(pages[0], None)
    provider.lose_film_dispute(pages[1])
    provider.refund_film(pages[2], 100)
    found = provider.payments.customer(customer_id, films=True).films
    assert {bought.id: bought.taken_back for bought in found} == {
        pages[0].id: "refunded",
        pages[1].id: "disputed",
        pages[2].id: None,
    }


def test_a_film_for_nobody_and_with_no_code(provider: Provider) -> None:
    with pytest.raises(CustomerGoneError):
        film_page(provider, "cus_nobody", film())
    with pytest.raises(InvalidPromotionCodeError):
        film_page(provider, customer(provider), film(), promotion_code="NOSUCHCODE")


# -- both: what is ended from here ------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["duplicate", "trial_used", "revoked"])
def test_an_ended_subscription_says_why(provider: Provider, why: str) -> None:
    customer_id = subscribed(provider)
    before = newest(provider, customer_id)
    assert before.ended_because is None
    provider.payments.end_subscription(before.id, why, refund_from=None)
    after = newest(provider, customer_id)
    assert (after.status, after.ended_because) == ("canceled", why)
    assert not provider.given_back(after)
    provider.payments.end_subscription(before.id, "revoked", refund_from=None)
    assert newest(provider, customer_id).ended_because == why, "the first reason stays"


def test_the_money_is_given_back_once(provider: Provider) -> None:
    customer_id = subscribed(provider)
    before = newest(provider, customer_id)
    for _ in range(2):
        provider.payments.end_subscription(before.id, "duplicate", refund_from=before.created_at)
    after = newest(provider, customer_id)
    assert after.ended_because == "duplicate"
    assert provider.given_back(after)


def test_what_somebody_else_ended_has_no_reason_of_ours(provider: Provider) -> None:
    customer_id = subscribed(provider)
    provider.cancel(customer_id)
    assert newest(provider, customer_id).ended_because is None


def test_a_trial_tells_its_card(provider: Provider) -> None:
    told = []
    for card in (CARD, CARD, ANOTHER_CARD):
        customer_id = customer(provider)
        provider.pay(open_page(provider, customer_id, trial_days=7), card)
        told.append(newest(provider, customer_id).trial_card)
    assert None not in told
    assert told[0] == told[1] != told[2]
    assert newest(provider, subscribed(provider)).trial_card is None, "no trial, no card"


@pytest.mark.parametrize("later", [0, 30 * 86400], ids=["a trial", "days given later"])
def test_free_days_that_are_given_later_are_no_trial(later: int) -> None:
    """Whoever bought with a card that once had a trial would lose what they pay for."""
    began = 1_800_000_000
    price = {"id": "price_1", "lookup_key": "basic_monthly"}
    found = stripe.Subscription.construct_from(
        {
            "id": "sub_1",
            "object": "subscription",
            "status": "trialing",
            "created": began,
            "trial_start": began + later,
            "trial_end": began + later + 7 * 86400,
            "cancel_at": None,
            "cancel_at_period_end": False,
            "cancellation_details": None,
            "pause_collection": None,
            "default_payment_method": {"id": "pm_1", "card": {"fingerprint": "of a card"}},
            "items": {"object": "list", "data": [{"price": price, "current_period_end": began + 86400}]},
        },
        "sk_test",
    )
    assert (paid_subscription(found, None, None).trial_card is None) == bool(later)


def test_money_that_is_in_dispute_is_not_told_as_given_back(sandbox: Sandbox) -> None:
    customer_id = subscribed(sandbox)
    sandbox.lose_dispute(customer_id)
    found = newest(sandbox, customer_id)
    told = sandbox.payments.end_subscription(found.id, "revoked", refund_from=found.created_at)
    assert (told, sandbox.given_back(found)) == (0, False)


def test_a_warning_of_fraud_is_somebody_s(provider: Provider) -> None:
    customer_id = subscribed(provider)
    warning = provider.warn_of_fraud(customer_id)
    assert provider.payments.customer_of("early_fraud_warning", warning) == customer_id
    assert newest(provider, customer_id).taken_back is None, "a warning takes nothing back"


# -- both: customers and pages ----------------------------------------------------------------------------


def test_the_same_attempt_is_the_same_customer(provider: Provider) -> None:
    user_id, attempt = uuid.uuid4(), uuid.uuid4().hex

    def made(attempt: str) -> str:
        return provider.payments.create_customer(user_id=user_id, email="a@example.com", attempt=attempt)

    first = made(attempt)
    assert made(attempt) == first
    assert made(uuid.uuid4().hex) != first


def test_a_customer_whose_answer_was_lost_is_found(provider: Provider) -> None:
    user_id, began = uuid.uuid4(), now()
    customer(provider)
    assert provider.payments.find_customers(user_id, begun_at=began) == ()
    made = [
        provider.payments.create_customer(user_id=user_id, email="a@example.com", attempt=uuid.uuid4().hex)
        for _ in range(2)
    ]
    assert set(provider.payments.find_customers(user_id, begun_at=began)) == set(made)
    assert provider.payments.find_customers(user_id, begun_at=began - timedelta(hours=1)) == ()
    provider.payments.delete_customer(made[0])
    assert provider.payments.find_customers(user_id, begun_at=began) == (made[1],)


def test_a_page_is_open_until_it_is_paid(provider: Provider) -> None:
    page = open_page(provider, customer(provider))
    assert page.state == "open"
    assert page.url is not None
    assert timedelta(minutes=30) <= page.expires_at - now() <= timedelta(hours=24, minutes=1)
    assert provider.payments.checkout(page.id) == page
    provider.pay(page)
    paid = provider.payments.checkout(page.id)
    assert (paid.id, paid.state, paid.url) == (page.id, "complete", None)


def test_the_same_attempt_is_the_same_page(provider: Provider) -> None:
    customer_id, attempt, user_id = customer(provider), uuid.uuid4().hex, uuid.uuid4()
    first = open_page(provider, customer_id, attempt=attempt, user_id=user_id)
    assert open_page(provider, customer_id, attempt=attempt, user_id=user_id) == first
    assert open_page(provider, customer_id).id != first.id


def test_an_attempt_again_is_no_page_that_has_ended(provider: Provider) -> None:
    """As after a restore, which takes back what the attempts are counted by."""
    customer_id = customer(provider)
    facts: dict[str, Any] = {"attempt": uuid.uuid4().hex, "user_id": uuid.uuid4()}
    seen = []
    for _ in range(3):
        page = open_page(provider, customer_id, **facts)
        assert provider.payments.checkout(page.id) == page
        assert page.state == "open"
        seen.append(page.id)
        provider.payments.expire_checkout(page.id)
    assert len(set(seen)) == 3


def test_an_attempt_again_is_no_customer_that_was_deleted(provider: Provider) -> None:
    facts: dict[str, Any] = {"user_id": uuid.uuid4(), "email": "a@b.example", "attempt": uuid.uuid4().hex}
    first = provider.payments.create_customer(**facts)
    provider.payments.delete_customer(first)
    second = provider.payments.create_customer(**facts)
    assert not provider.payments.customer(second).deleted
    assert provider.payments.create_customer(**facts) == second


def test_a_page_tells_what_it_sells(provider: Provider) -> None:
    plan = Plan("own", "Own", 1, f"own_{uuid.uuid4().hex}", 0, 1, 500, "usd", "month")
    provider.reprice(plan)
    page = open_page(provider, customer(provider), plan)
    assert page.offer == provider.payments.offer(plan)
    provider.reprice(plan)
    assert provider.payments.checkout(page.id).offer == page.offer != provider.payments.offer(plan)


@pytest.mark.parametrize(
    "change", [{"amount": 499}, {"rental_hours": 24}, {"rental_hours": None}], ids=["price", "hours", "sale"]
)
def test_a_page_tells_which_offer_of_a_film_it_sells(provider: Provider, change: dict[str, Any]) -> None:
    wanted = film()
    page = film_page(provider, customer(provider), wanted)
    told = provider.payments.checkout(page.id).offer
    assert page.offer == told == provider.payments.offer(wanted)
    assert told != provider.payments.offer(film(id=wanted.id, **change))


def test_a_promotion_code(provider: Provider) -> None:
    assert open_page(provider, customer(provider), promotion_code="WELCOME10").state == "open"


def test_an_unknown_promotion_code(provider: Provider) -> None:
    customer_id = customer(provider)
    with pytest.raises(InvalidPromotionCodeError):
        open_page(provider, customer_id, promotion_code="WELCOME11")


def test_an_open_page_is_expired(provider: Provider) -> None:
    page = open_page(provider, customer(provider))
    for expired in (provider.payments.expire_checkout(page.id), provider.payments.checkout(page.id)):
        assert (expired.id, expired.state, expired.url) == (page.id, "expired", None)
    assert provider.payments.expire_checkout(page.id).state == "expired"


def test_a_paid_page_is_not_expired(provider: Provider) -> None:
    page = open_page(provider, customer(provider))
    provider.pay(page)
    assert provider.payments.expire_checkout(page.id).state == "complete"


# -- both: what a customer has ----------------------------------------------------------------------------


def test_nothing_bought(provider: Provider) -> None:
    found = provider.payments.customer(customer(provider))
    assert (found.deleted, found.subscriptions) == (False, ())


def test_bought(provider: Provider) -> None:
    found = newest(provider, subscribed(provider))
    assert (found.status, found.lookup_key) == ("active", "basic_monthly")
    assert timedelta(days=27) < found.current_period_end - now() < timedelta(days=32)
    assert is_about(found.created_at, now())
    assert (found.cancel_at_period_end, found.paused) == (False, False)
    assert (found.cancel_at, found.trial_end, found.payment_missed_at, found.taken_back) == (None,) * 4


def test_a_trial(provider: Provider) -> None:
    found = newest(provider, subscribed(provider, trial_days=7))
    assert found.status == "trialing"
    assert is_about(found.trial_end, now() + timedelta(days=7))
    assert found.current_period_end == found.trial_end


def test_a_missed_payment_and_its_recovery(provider: Provider) -> None:
    customer_id = subscribed(provider)
    provider.fail_payment(customer_id)
    found = newest(provider, customer_id)
    assert found.status == "past_due"
    assert is_about(found.payment_missed_at, now())
    provider.recover(customer_id)
    found = newest(provider, customer_id)
    assert (found.status, found.payment_missed_at) == ("active", None)


def test_to_end_with_its_period(provider: Provider) -> None:
    customer_id = subscribed(provider)
    provider.end_with_period(customer_id)
    found = newest(provider, customer_id)
    assert (found.status, found.cancel_at_period_end) == ("active", True)
    assert found.cancel_at == found.current_period_end


def test_ended(provider: Provider) -> None:
    customer_id = subscribed(provider)
    provider.cancel(customer_id)
    found = provider.payments.customer(customer_id)
    assert [item.status for item in found.subscriptions] == ["canceled"]
    assert found.deleted is False


def test_paused_and_resumed(provider: Provider) -> None:
    customer_id = subscribed(provider)
    for paused in (True, False):
        provider.pause(customer_id, paused=paused)
        assert (newest(provider, customer_id).status, newest(provider, customer_id).paused) == (
            "active",
            paused,
        )


def test_renewed(provider: Provider) -> None:
    customer_id = subscribed(provider)
    before = newest(provider, customer_id).current_period_end
    provider.renew(customer_id)
    assert newest(provider, customer_id).current_period_end > before + timedelta(days=27)


@pytest.mark.parametrize("how", ["refunded", "disputed"])
def test_money_taken_back(provider: Provider, how: str) -> None:
    customer_id = subscribed(provider)
    if how == "refunded":
        payer = provider.payments.customer_of("refund", provider.refund(customer_id))
    else:
        payer = provider.payments.customer_of("dispute", provider.lose_dispute(customer_id))
    assert payer == customer_id
    found = newest(provider, customer_id)
    assert (found.status, found.taken_back) == ("active", how)
    # The next period is paid for anew.
    provider.renew(customer_id)
    assert newest(provider, customer_id).taken_back is None


def test_whose_things_are(provider: Provider) -> None:
    """As thin events need it: they name the thing alone."""
    customer_id = customer(provider)
    page = open_page(provider, customer_id)
    provider.pay(page)
    assert provider.payments.customer_of("checkout", page.id) == customer_id
    assert provider.payments.customer_of("subscription", newest(provider, customer_id).id) == customer_id


@pytest.mark.parametrize("kind", ["subscription", "invoice", "checkout", "charge", "refund", "dispute"])
def test_things_of_nobody(provider: Provider, kind: str) -> None:
    assert provider.payments.customer_of(kind, "thing_nowhere") is None


def test_a_deleted_customer(provider: Provider) -> None:
    customer_id = subscribed(provider)
    provider.delete(customer_id)
    found = provider.payments.customer(customer_id)
    assert (found.deleted, found.subscriptions) == (True, ())
    with pytest.raises(CustomerGoneError):
        open_page(provider, customer_id)
    with pytest.raises(CustomerGoneError):
        provider.payments.open_portal(customer_id)


def test_a_customer_is_deleted_and_what_it_pays_for_ends(provider: Provider) -> None:
    customer_id = subscribed(provider)
    for _ in range(2):
        provider.payments.delete_customer(customer_id)
        assert provider.payments.customer(customer_id).deleted


def test_a_customer_nobody_knows_is_not_deleted(provider: Provider) -> None:
    with pytest.raises(CustomerGoneError):
        provider.payments.delete_customer("cus_nobody")


def test_pages_that_can_still_be_paid_on(provider: Provider) -> None:
    customer_id = customer(provider)
    assert provider.payments.open_checkouts(customer_id) == ()
    paid, left, open_ = (open_page(provider, customer_id) for _ in range(3))
    provider.pay(paid)
    provider.payments.expire_checkout(left.id)
    open_page(provider, customer(provider))
    assert provider.payments.open_checkouts(customer_id) == (open_.id,)
    assert provider.payments.open_checkouts("cus_nobody") == ()


def test_a_page_expires_after_its_customer_is_gone_too(provider: Provider) -> None:
    customer_id = customer(provider)
    page = open_page(provider, customer_id)
    provider.payments.delete_customer(customer_id)
    assert provider.payments.open_checkouts(customer_id) in ((), (page.id,))
    assert provider.payments.expire_checkout(page.id).state == "expired"


def test_the_newest_comes_first(provider: Provider) -> None:
    customer_id = subscribed(provider)
    provider.cancel(customer_id)
    provider.pay(open_page(provider, customer_id, PREMIUM))
    found = provider.payments.customer(customer_id).subscriptions
    assert [(item.status, item.lookup_key) for item in found] == [
        ("active", "premium_monthly"),
        ("canceled", "basic_monthly"),
    ]


# -- Stripe alone -----------------------------------------------------------------------------------------


def test_what_stripe_is_told(sandbox: Sandbox) -> None:
    user_id = uuid.uuid4()
    page = open_page(sandbox, customer(sandbox), user_id=user_id, promotion_code="WELCOME10")
    told = sandbox.call("GET", f"checkout/sessions/{page.id}")
    assert told["client_reference_id"] == str(user_id)
    assert told["metadata"] == {"user_id": str(user_id), "plan": "basic"}
    assert told["success_url"] == f"{APP}/checkout/success?session_id={{CHECKOUT_SESSION_ID}}"
    assert told["amount_total"] == told["amount_subtotal"] - 80, "ten per cent of 7.99"
    sandbox.pay(page)
    paid = sandbox.call("GET", f"checkout/sessions/{page.id}")
    subscription = sandbox.call("GET", f"subscriptions/{paid['subscription']}")
    assert subscription["metadata"] == told["metadata"]


def test_a_partial_refund_takes_nothing_away(sandbox: Sandbox) -> None:
    customer_id = subscribed(sandbox)
    charge = sandbox.call("GET", "charges", customer=customer_id)["data"][0]["id"]
    sandbox.call("POST", "refunds", charge=charge, amount=100)
    assert newest(sandbox, customer_id).taken_back is None
    sandbox.call("POST", "refunds", charge=charge)
    assert newest(sandbox, customer_id).taken_back == "refunded"


def test_no_price_for_the_plan(sandbox: Sandbox) -> None:
    plan = Plan("gold", "Gold", 3, "gold_monthly", 0, 2, 1, "usd", "month")
    customer_id = customer(sandbox)
    with pytest.raises(UnavailableError, match="gold_monthly"):
        open_page(sandbox, customer_id, plan)


def test_a_customer_nobody_knows_tells_nothing_about_access(provider: Provider) -> None:
    """With another account's key every customer is unknown; nobody may lose access by that."""
    with pytest.raises(CustomerGoneError):
        provider.payments.customer("cus_of_another_account")


def test_a_page_nobody_knows_has_expired(provider: Provider) -> None:
    assert provider.payments.checkout("cs_test_nowhere").state == "expired"


def test_an_attempt_again_with_other_wishes_is_another_page(sandbox: Sandbox) -> None:
    customer_id, attempt, user_id = customer(sandbox), uuid.uuid4().hex, uuid.uuid4()
    first = open_page(sandbox, customer_id, attempt=attempt, user_id=user_id)
    assert open_page(sandbox, customer_id, PREMIUM, attempt=attempt, user_id=user_id).id != first.id
    assert open_page(sandbox, customer_id, attempt=attempt, user_id=user_id).id == first.id


def test_a_key_that_is_not_taken_says_nothing_about_customers(environment: dict[str, str]) -> None:
    wrong = Environment(environment | {"STRIPE_SECRET_KEY": "sk_test_wrong"}).stripe()
    with pytest.raises(UnavailableError, match="key"):
        StripePayments(wrong, APP).customer("cus_1")


# -- Stripe out of reach ----------------------------------------------------------------------------------

CALLS: dict[str, Callable[[Payments], object]] = {
    "create_customer": lambda p: p.create_customer(user_id=uuid.uuid4(), email="a@example.com", attempt="1"),
    "find_customers": lambda p: p.find_customers(uuid.uuid4(), begun_at=now()),
    "open_checkout": lambda p: p.open_checkout(
        customer_id="cus_1", user_id=uuid.uuid4(), plan=BASIC, trial_days=0, promotion_code=None, attempt="1"
    ),
    "open_film_checkout": lambda p: p.open_film_checkout(
        customer_id="cus_1", user_id=uuid.uuid4(), film=film(), promotion_code=None, attempt="1"
    ),
    "offer": lambda p: p.offer(BASIC),
    "end_subscription": lambda p: p.end_subscription("sub_1", "duplicate", refund_from=now()),
    "checkout": lambda p: p.checkout("cs_1"),
    "expire_checkout": lambda p: p.expire_checkout("cs_1"),
    "customer": lambda p: p.customer("cus_1"),
    "open_portal": lambda p: p.open_portal("cus_1"),
    "open_checkouts": lambda p: p.open_checkouts("cus_1"),
    "delete_customer": lambda p: p.delete_customer("cus_1"),
    "customer_of": lambda p: p.customer_of("refund", "re_1"),
}


class Trouble:
    """A server that answers everything alike: a status and a body, or nothing at all."""

    def __init__(self) -> None:
        self.status = 500
        self.body = b""
        self.asked: list[str] = []
        self.hang = threading.Event()
        self.hang.set()
        trouble = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                trouble.asked.append(self.headers.get("Idempotency-Key") or "")
                trouble.hang.wait(20)
                self.send_response(trouble.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(trouble.body)))
                self.end_headers()
                self.wfile.write(trouble.body)

            def do_GET(self) -> None:
                self._answer()

            def do_DELETE(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self._answer()

            def handle(self) -> None:
                with suppress(ConnectionError):  # the client waited no longer
                    super().handle()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)


@pytest.fixture
def trouble() -> Iterator[Trouble]:
    made = Trouble()
    made.thread.start()
    yield made
    made.hang.set()
    made.server.shutdown()
    made.thread.join(10)
    made.server.server_close()


def at(port: int) -> StripePayments:
    return StripePayments(StripeSettings("sk_test_x", f"http://127.0.0.1:{port}"), APP, seconds=0.5)


def error(type_: str) -> bytes:
    return json.dumps({"error": {"type": type_, "message": "As the test wishes."}}).encode()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_nobody_there(call: Callable[[Payments], object]) -> None:
    assert seconds_until_unavailable(at(free_port()), call) < 4


@pytest.mark.parametrize("name", ["create_customer", "open_checkout", "customer"])
def test_slow(trouble: Trouble, name: str) -> None:
    trouble.hang.clear()
    assert seconds_until_unavailable(at(trouble.server.server_port), CALLS[name]) < 5
    assert len(trouble.asked) == 2, "asked once more"
    assert trouble.asked[0] == trouble.asked[1], "under the same idempotency key"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, error("api_error")),
        (503, b"<html>"),
        (429, error("invalid_request_error")),
        (409, error("idempotency_error")),  # the first request with this key is still running
        (200, b"<html>"),
    ],
    ids=["500", "503", "429", "409", "no JSON"],
)
def test_trouble(trouble: Trouble, status: int, body: bytes) -> None:
    trouble.status, trouble.body = status, body
    for name in ("create_customer", "expire_checkout"):
        assert seconds_until_unavailable(at(trouble.server.server_port), CALLS[name]) < 5


def seconds_until_unavailable(payments: Payments, call: Callable[[Payments], object]) -> float:
    started = time.monotonic()
    with pytest.raises(UnavailableError) as refused:
        call(payments)
    assert int(refused.value.headers["Retry-After"]) >= 1
    return time.monotonic() - started


# -- Stripe: what pages ask for ---------------------------------------------------------------------------


def test_pages_ask_for_tax_terms_and_codes_as_they_are_set(
    sandbox: Sandbox, environment: dict[str, str]
) -> None:
    settings = CheckoutSettings(automatic_tax=True, terms=True, promotion_codes=False)
    asking = StripePayments(Environment(environment).stripe(), APP, checkout=settings)
    customer_id = customer(sandbox)
    sandbox.payments = asking
    for page in (open_page(sandbox, customer_id), film_page(sandbox, customer_id, film())):
        session = sandbox.call("GET", f"checkout/sessions/{page.id}")
        assert session["automatic_tax"]["enabled"] is True
        assert session["consent_collection"] == {"terms_of_service": "required"}
        assert session["allow_promotion_codes"] is None
        assert page.url is not None
        assert httpx.post(page.url, data={"card": CARD}).status_code == 400, "not without agreeing"
        assert httpx.post(page.url, data={"card": CARD, "terms": "accepted"}).status_code == 303
        assert (
            sandbox.call("GET", f"checkout/sessions/{page.id}")["consent"]["terms_of_service"] == "accepted"
        )


def test_a_code_that_is_given_leaves_no_field_for_another(sandbox: Sandbox) -> None:
    customer_id = customer(sandbox)
    with_field = open_page(sandbox, customer_id)
    without = open_page(sandbox, customer_id, promotion_code="WELCOME10")
    found = [sandbox.call("GET", f"checkout/sessions/{page.id}") for page in (with_field, without)]
    assert [session["allow_promotion_codes"] for session in found] == [True, None]
    assert [bool(session["discounts"]) for session in found] == [False, True]
