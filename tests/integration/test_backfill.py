"""An emptied database rebuilt from Stripe equals the old one in every entitlement."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import insert, select

from infra.local.supervisor import Stack
from lib.adapters.stripe_books import StripeBooks
from lib.adapters.stripe_payments import StripePayments
from lib.billing import store
from lib.billing.backfill import Backfill
from lib.billing.ports import ListedCustomer, Page
from lib.config import Environment
from lib.database.engine import Database
from lib.database.schema import (
    billing_accounts,
    entitlements,
    grants,
    inbox,
    sold_prices,
    subscriptions,
    videos,
)
from tests.billing import BASIC, PLANS, PREMIUM, Billing
from tests.contract.test_payments import Sandbox, film, film_page, open_page
from tests.fakes.books import FakeBooks
from tests.fakes.payments import FakePayments

# -- against the sandbox ----------------------------------------------------------------------------------


class Shop:
    """People who buy at the sandbox's Stripe; what we know of them is in a database of the test's own."""

    def __init__(self, database: Database, stack: Stack, environment: dict[str, str]) -> None:
        self.sandbox = Sandbox(stack, environment)
        self.billing = Billing(database, self.sandbox.payments)
        settings = Environment(environment).stripe()
        payments = StripePayments(settings, "https://app.example.com")
        self.backfill = Backfill(database, StripeBooks(settings), payments, self.billing.sync, PLANS)

    def customer(self) -> tuple[uuid.UUID, str]:
        user = self.billing.user()
        with self.billing.database.transaction() as tx:
            store.lock_account(tx, user)
            customer = self.sandbox.payments.create_customer(
                user_id=user, email="somebody@example.com", attempt=uuid.uuid4().hex
            )
            store.keep_customer(tx, user, customer)
        return user, customer

    def subscriber(self, **facts: Any) -> tuple[uuid.UUID, str]:
        user, customer = self.customer()
        self.sandbox.pay(open_page(self.sandbox, customer, user_id=user, **facts))
        return user, customer

    def sync(self, user: uuid.UUID) -> None:
        with self.billing.database.transaction() as tx:
            self.billing.sync.account(tx, user, actor="test")

    def rows(self) -> dict[str, Any]:
        """What people may watch, and why."""
        given = (entitlements.c.user_id, entitlements.c.plan, entitlements.c.level, entitlements.c.streams)
        given = (*given, entitlements.c.reason, entitlements.c.until)  # type: ignore[assignment]
        behind = (grants.c.user_id, grants.c.source, grants.c.source_id, grants.c.plan, grants.c.level)
        behind = (*behind, grants.c.reason, grants.c.ends_at, grants.c.withheld)  # type: ignore[assignment]
        paid = (
            subscriptions.c.stripe_id,
            subscriptions.c.user_id,
            subscriptions.c.plan,
            subscriptions.c.status,
        )
        with self.billing.database.transaction() as tx:
            return {
                "entitlements": sorted(map(str, tx.execute(select(*given)))),
                "grants": sorted(map(str, tx.execute(select(*behind)))),
                "subscriptions": sorted(map(str, tx.execute(select(*paid)))),
                "customers": sorted(
                    map(
                        str,
                        tx.execute(select(billing_accounts.c.user_id, billing_accounts.c.stripe_customer_id)),
                    )
                ),
            }

    def empty(self) -> None:
        with self.billing.database.transaction() as tx:
            for table in (billing_accounts, sold_prices, inbox):
                tx.execute(table.delete())

    def has_a_dearer_price(self) -> str:
        """Basic gets a new price, which takes the lookup key over; who pays the old one keeps the plan. The old one."""
        old = self.sandbox.call("GET", "prices", **{"lookup_keys[]": BASIC.lookup_key})["data"][0]
        self.sandbox.call(
            "POST",
            "prices",
            product=old["product"],
            currency=old["currency"],
            unit_amount=old["unit_amount"] + 100,
            lookup_key=BASIC.lookup_key,
            transfer_lookup_key="true",
            **{"recurring[interval]": "month"},
        )
        return str(old["id"])

    def has_the_price_again(self, price_id: str) -> None:
        key = {"lookup_key": BASIC.lookup_key, "transfer_lookup_key": "true"}
        self.sandbox.call("POST", f"prices/{price_id}", **key)


@pytest.fixture
def shop(database_apart: Database, stack: Stack, environment: dict[str, str]) -> Shop:
    return Shop(database_apart, stack, environment)


@pytest.fixture
def dearer(shop: Shop) -> Iterator[Callable[[], None]]:
    """Makes Basic dearer; the sandbox is everybody's, so it costs afterwards what it did."""
    former = list[str]()
    yield lambda: former.append(shop.has_a_dearer_price())
    for price_id in former:
        shop.has_the_price_again(price_id)


def test_an_emptied_database_is_rebuilt(shop: Shop, dearer: Callable[[], None]) -> None:
    happens: list[Callable[[str], object]] = [
        lambda _customer: None,
        shop.sandbox.fail_payment,
        shop.sandbox.end_with_period,
        shop.sandbox.cancel,
        lambda customer: shop.sandbox.pause(customer, paused=True),
        shop.sandbox.refund,
        shop.sandbox.lose_dispute,
        shop.sandbox.renew,
    ]
    people = [shop.subscriber(plan=plan) for plan in (BASIC, PREMIUM) for _ in happens]
    for (_, customer), what in zip(people, happens * 2, strict=True):
        what(customer)
    people += [shop.subscriber(trial_days=7), shop.customer()]
    for user, _ in people:
        shop.sync(user)
    dearer()
    people.append(shop.subscriber())
    for user, _ in people:
        shop.sync(user)
    before = shop.rows()
    assert len(before["entitlements"]) == len(people)

    shop.empty()
    assert shop.rows()["entitlements"] == []
    tried = list(shop.backfill.run(actor="operator:test", dry_run=True))
    assert shop.rows()["entitlements"] == []
    filled = list(shop.backfill.run(actor="operator:test"))

    mine = {user for user, _ in people}
    assert {each.outcome for each in filled if each.user_id in mine} == {"linked"}
    assert [each.outcome for each in tried] == [each.outcome for each in filled]
    assert shop.rows() == before
    # Once more does nothing more.
    again = list(shop.backfill.run(actor="operator:test"))
    assert {each.outcome for each in again if each.user_id in mine} == {"synced"}
    assert shop.rows() == before


def test_a_page_that_no_row_knows_is_closed(shop: Shop) -> None:
    user, customer = shop.customer()
    page = open_page(shop.sandbox, customer, user_id=user)
    shop.empty()
    list(shop.backfill.run(actor="operator:test"))
    assert shop.sandbox.payments.checkout(page.id).state == "expired"


def test_a_film_bought_since_a_backup_was_made_is_found(shop: Shop) -> None:
    user, customer = shop.subscriber()
    shop.sync(user)
    sold = film()
    with shop.billing.database.transaction() as tx:
        tx.execute(insert(videos).values(id=sold.id, title="A film", level=1, published=True, provider="mux"))
    # Restored, the database knows the account and not the page.
    shop.sandbox.pay(film_page(shop.sandbox, customer, sold))
    list(shop.backfill.run(actor="operator:test"))
    bought = select(grants.c.video_id).where(grants.c.user_id == user, grants.c.source == "purchase")
    with shop.billing.database.transaction() as tx:
        assert list(tx.scalars(bought)) == [sold.id]


# -- what may be wrong ------------------------------------------------------------------------------------


def test_whose_it_is_and_whose_not(database_apart: Database) -> None:
    payments = FakePayments()
    books = FakeBooks(payments, size=2)
    billing = Billing(database_apart, payments)
    backfill = Backfill(database_apart, books, payments, billing.sync, PLANS)
    user = billing.user()
    billing.customer(user)
    stranger = payments.create_customer(user_id=uuid.uuid4(), email="x@example.com", attempt="stranger")
    second = payments.create_customer(user_id=user, email="x@example.com", attempt="second")
    broken = billing.user()
    gone = billing.customer(broken)
    del payments.customers[str(broken)]

    found = {each.customer_id: each.outcome for each in backfill.run(actor="operator:test")}

    assert found == {stranger: "nobody", second: "second", gone: "failed"}


def test_of_two_customers_the_one_that_pays_is_the_user_s(database_apart: Database) -> None:
    payments = FakePayments()
    billing = Billing(database_apart, payments)
    backfill = Backfill(database_apart, TwoCustomers(payments), payments, billing.sync, PLANS)
    user = billing.user()
    older = payments.create_customer(user_id=user, email="x@example.com", attempt="older")
    newer = payments.create_customer(user_id=user, email="x@example.com", attempt="newer")
    payments.subscribe(older, BASIC)

    def outcomes() -> dict[str, str]:
        return {each.customer_id: each.outcome for each in backfill.run(actor="operator:test")}

    assert outcomes() == {newer: "linked", older: "linked"}
    assert billing.entitlement(user)["plan"] == "basic"
    assert outcomes() == {newer: "second", older: "synced"}
    payments.subscribe(newer, PREMIUM)
    assert outcomes() == {newer: "second_paying", older: "synced"}, "told by name, and nobody loses anything"
    assert billing.entitlement(user)["plan"] == "basic"


class TwoCustomers(FakeBooks):
    """Lists every customer, also several of one user."""

    def customers(self, *, after: str | None) -> Page[ListedCustomer]:
        found = [ListedCustomer(id_, owner) for id_, (owner, _) in self._payments._made.items()]
        return self._page(found[::-1], lambda entry: entry.id, after)


def test_a_customer_that_is_deleted_meanwhile_stops_nothing(database_apart: Database) -> None:
    payments = FakePayments()
    billing = Billing(database_apart, payments)
    people = [billing.user() for _ in range(4)]
    customers = {billing.customer(user): user for user in people}
    backfill = Backfill(database_apart, FakeBooks(payments, size=1), payments, billing.sync, PLANS)
    filled = []
    for each in backfill.run(actor="operator:test"):
        filled.append(each.customer_id)
        if len(filled) == 2:
            # Where the list would go on from.
            payments.delete(each.customer_id)
            del payments.owners[customers[each.customer_id]]
    assert sorted(filled) == sorted(customers)


# -- the command ------------------------------------------------------------------------------------------


def test_the_command(stack: Stack, shop: Shop, apart: str, environment: dict[str, str]) -> None:
    from click.testing import CliRunner

    from infra.cli.program import program

    user, _ = shop.subscriber()
    shop.sync(user)
    shop.empty()
    settings = environment | {"DATABASE_URL": apart}
    runner = CliRunner()
    tried = runner.invoke(program, ["backfill", "--dry-run", "--json"], env=settings)
    assert json.loads(tried.stdout)["linked"] == 1, tried.output
    assert shop.rows()["entitlements"] == []
    done = runner.invoke(program, ["backfill", "--json"], env=settings)
    found = json.loads(done.stdout)
    assert (found["linked"], found["failed"], found["dry_run"]) == (1, 0, False)
    assert "Customers" in done.stderr
    assert shop.billing.entitlement(user)["plan"] == "basic"
