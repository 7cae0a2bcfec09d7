"""`Books`: what holds for Stripe's lists (its SDK, over HTTP, against the sandbox) holds for the fake's."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

import pytest

from infra.local.supervisor import Stack
from lib.adapters.stripe_books import LISTED_TYPES, StripeBooks
from lib.billing.ports import Books, Page, PageGoneError, PaidSubscription, Payments
from lib.billing.told import WANTED
from lib.config import Environment, StripeSettings
from lib.errors import UnavailableError
from tests.billing import BASIC, PREMIUM
from tests.contract.test_payments import Sandbox, is_about, open_page
from tests.factories import wait_for
from tests.fakes.books import FakeBooks
from tests.fakes.payments import FakePayments

T = TypeVar("T")


class Shop(Protocol):
    """A provider with its lists."""

    books: Books
    payments: Payments

    def buy(self, user_id: uuid.UUID) -> str:
        """A customer who subscribed to basic."""

    def cancel(self, customer: str) -> None: ...


class StripeShop:
    def __init__(self, stack: Stack, environment: dict[str, str]) -> None:
        self._sandbox = Sandbox(stack, environment)
        self.payments = self._sandbox.payments
        self.books: Books = StripeBooks(Environment(environment).stripe())

    def buy(self, user_id: uuid.UUID) -> str:
        customer = self.payments.create_customer(
            user_id=user_id, email="somebody@example.com", attempt=uuid.uuid4().hex
        )
        self._sandbox.pay(open_page(self._sandbox, customer, user_id=user_id))
        return customer

    def cancel(self, customer: str) -> None:
        self._sandbox.cancel(customer)


class FakeShop:
    def __init__(self) -> None:
        self._fake = FakePayments()
        self._books = FakeBooks(self._fake)
        self.payments: Payments = self._fake
        self.books: Books = self._books

    def buy(self, user_id: uuid.UUID) -> str:
        customer = self.payments.create_customer(
            user_id=user_id, email="somebody@example.com", attempt=uuid.uuid4().hex
        )
        self._fake.subscribe(customer, BASIC)
        self._books.tell(customer, "customer.subscription.created")
        return customer

    def cancel(self, customer: str) -> None:
        self._fake.change(customer, status="canceled")
        self._books.tell(customer, "customer.subscription.deleted")


@pytest.fixture(params=["stripe", "fake"])
def shop(request: pytest.FixtureRequest) -> Shop:
    if request.param == "fake":
        return FakeShop()
    return StripeShop(request.getfixturevalue("stack"), request.getfixturevalue("environment"))


def everything(page_after: Callable[[str | None], Page[T]]) -> list[T]:
    found: list[T] = []
    after: str | None = None
    while True:
        page = page_after(after)
        found += page.entries
        after = page.after
        if after is None:
            return found


def test_customers_say_whose_they_are(shop: Shop) -> None:
    users = [uuid.uuid4() for _ in range(3)]
    customers = [shop.buy(user) for user in users]
    listed = everything(lambda after: shop.books.customers(after=after))
    mine = [(entry.id, entry.user_id) for entry in listed if entry.id in customers]
    assert mine == list(zip(customers, users, strict=True))[::-1], "newest first"


def test_subscriptions_are_those_that_are_fetched_one_by_one(shop: Shop) -> None:
    user = uuid.uuid4()
    customer = shop.buy(user)
    shop.cancel(ended := shop.buy(uuid.uuid4()))
    listed = {
        entry.customer_id: entry for entry in everything(lambda after: shop.books.subscriptions(after=after))
    }
    assert listed[customer].user_id == user
    (fetched,) = shop.payments.customer(customer).subscriptions
    assert listed[customer].subscription == fetched
    assert listed[ended].subscription.status == "canceled"


def test_subscriptions_come_newest_first(shop: Shop) -> None:
    for _ in range(3):
        shop.buy(uuid.uuid4())
    listed: list[PaidSubscription] = [
        entry.subscription for entry in everything(lambda after: shop.books.subscriptions(after=after))
    ]
    begun = [found.created_at for found in listed]
    assert begun == sorted(begun, reverse=True)


def test_events_name_the_customer(shop: Shop) -> None:
    since = datetime.now(UTC) - timedelta(minutes=1)
    customer = shop.buy(uuid.uuid4())
    shop.cancel(customer)
    listed = everything(lambda after: shop.books.events(since=since, after=after))
    mine = [entry for entry in listed if entry.event.customer_id == customer]
    types = [entry.event.type for entry in mine]
    assert types.index("customer.subscription.deleted") < types.index("customer.subscription.created")
    assert all(entry.event.wanted and is_about(entry.created_at, datetime.now(UTC)) for entry in mine)
    later = datetime.now(UTC) + timedelta(days=400)
    assert shop.books.events(since=later, after=None) == Page((), None)


def test_a_place_that_is_not_there(shop: Shop) -> None:
    asked: list[Callable[[], Any]] = [
        lambda: shop.books.customers(after="cus_gone"),
        lambda: shop.books.subscriptions(after="sub_gone"),
        lambda: shop.books.events(since=datetime.now(UTC), after="evt_gone"),
    ]
    for ask in asked:
        with pytest.raises(PageGoneError):
            ask()


def test_prices_of_the_plans(shop: Shop) -> None:
    sold = shop.books.sold_prices((BASIC, PREMIUM))
    assert sorted(set(sold.values())) == ["basic", "premium"]
    (bought,) = shop.payments.customer(shop.buy(uuid.uuid4())).subscriptions
    assert sold[bought.price_id] == "basic"


# -- Stripe alone -----------------------------------------------------------------------------------------


def test_a_list_of_several_pages(stack: Stack, environment: dict[str, str]) -> None:
    shop = StripeShop(stack, environment)
    made = {
        shop.payments.create_customer(user_id=uuid.uuid4(), email="x@example.com", attempt=uuid.uuid4().hex)
        for _ in range(120)
    }
    first = shop.books.customers(after=None)
    assert len(first.entries) == 100
    assert first.after == first.entries[-1].id
    listed = [entry.id for entry in everything(lambda after: shop.books.customers(after=after))]
    assert made <= set(listed)
    assert len(listed) == len(set(listed))


def test_a_webhook_and_the_list_tell_of_one_event_by_one_id(
    stack: Stack, environment: dict[str, str]
) -> None:
    import httpx

    shop = StripeShop(stack, environment)
    customer = shop.buy(uuid.uuid4())
    listed = everything(
        lambda after: shop.books.events(since=datetime.now(UTC) - timedelta(minutes=1), after=after)
    )
    told = {entry.event.id for entry in listed if entry.event.customer_id == customer}

    def delivered() -> bool:
        sent = httpx.get(f"{stack.base_url}/sandbox/stripe/deliveries").json()["deliveries"]
        return told <= {delivery["event_id"] for delivery in sent}

    wait_for(delivered)


def test_stripe_takes_twenty_types_in_one_question() -> None:
    assert len(LISTED_TYPES) <= 20
    assert set(LISTED_TYPES) | {"customer.subscription.trial_will_end"} == WANTED


def test_nobody_there() -> None:
    books = StripeBooks(StripeSettings("sk_test_x", "http://127.0.0.1:1"), seconds=0.5)
    with pytest.raises(UnavailableError):
        books.customers(after=None)
    with pytest.raises(UnavailableError):
        books.sold_prices((BASIC,))
