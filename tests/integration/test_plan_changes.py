"""PLANS changed: accounts follow without an event, and without Stripe telling of a difference."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lib.billing.gifts import Gifts
from lib.billing.plan_changes import PlanChanges
from lib.billing.sync import Sync
from lib.billing.syncs import AccountSyncs
from lib.config import Plan
from lib.database.engine import Database
from lib.web.ports import SystemClock
from tests.billing import ACCESS, BASIC, PLANS, PREMIUM, Billing, event
from tests.fakes.payments import FakePayments

# Basic opens more than it did, on fewer screens.
DEARER = Plan("basic", "Basic", 3, "basic_monthly", 0, 1, 799, "usd", "month")


class Later(SystemClock):
    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


class Shop:
    def __init__(self, database: Database) -> None:
        self.payments = FakePayments()
        self.billing = Billing(database, self.payments)
        self.clock = Later()
        self.deploy(PLANS)

    def deploy(self, plans: tuple[Plan, ...]) -> None:
        """Process-task and reconcile have these from now on."""
        billing = self.billing
        sync = Sync(self.payments, plans, ACCESS, SystemClock())
        billing.syncs = AccountSyncs(billing.database, sync)
        billing._kinds["sync-account"] = billing.syncs.process
        self.changes = PlanChanges(billing.database, billing.fake_tasks, plans, self.clock, at_once=3)

    def subscriber(self, plan: Plan = BASIC) -> uuid.UUID:
        user = self.billing.user()
        customer = self.billing.customer(user)
        self.payments.subscribe(customer, plan)
        self.billing.deliver(event(customer))
        self.billing.work()
        return user

    def given(self) -> uuid.UUID:
        """Somebody who never bought anything."""
        user = self.billing.user()
        until = datetime.now(UTC) + timedelta(days=30)
        with self.billing.database.transaction() as tx:
            gifts = Gifts(self.billing.database, PLANS, SystemClock())
            gifts.give(tx, user, "basic", until=until, actor="operator:ann")
        return user

    def found(self) -> int:
        found = self.changes.reconcile()["plans_changed"]
        self.billing.work()
        return found

    def entitlement(self, user: uuid.UUID) -> Any:
        from lib.billing import store

        with self.billing.database.transaction() as tx:
            return store.entitlement_of(tx, user)


@pytest.fixture
def shop(database_apart: Database) -> Shop:
    return Shop(database_apart)


def test_a_plan_that_gives_something_else_is_followed_by_who_has_it(shop: Shop) -> None:
    paying, given, other = shop.subscriber(), shop.given(), shop.subscriber(PREMIUM)
    assert shop.found() == 0
    shop.deploy((DEARER, PREMIUM))
    assert shop.found() == 2
    for user in (paying, given):
        assert (shop.entitlement(user).level, shop.entitlement(user).streams) == (3, 1)
    assert shop.entitlement(other).level == PREMIUM.level
    assert shop.found() == 0


def test_a_plan_s_new_code_is_followed(shop: Shop) -> None:
    user = shop.subscriber()
    shop.deploy((Plan("standard", "Standard", 1, "basic_monthly", 0, 2, 799, "usd", "month"), PREMIUM))
    assert shop.found() == 1
    assert shop.entitlement(user).plan == "standard"


def test_a_plan_that_is_there_again_gives_again(shop: Shop) -> None:
    user = shop.subscriber()
    shop.deploy((PREMIUM,))
    assert shop.found() == 1
    assert shop.entitlement(user).level == 0
    shop.deploy(PLANS)
    assert shop.found() == 1
    assert shop.entitlement(user).level == 1


def test_what_was_given_of_a_plan_that_is_gone_stays(shop: Shop) -> None:
    user = shop.given()
    shop.deploy((PREMIUM,))
    assert shop.found() == 0
    assert shop.entitlement(user).level == 1


def test_who_was_synced_by_a_function_with_the_former_plans_is_found_an_hour_later(shop: Shop) -> None:
    user = shop.subscriber()
    former = shop.billing.syncs.process
    shop.deploy((DEARER, PREMIUM))
    shop.billing._kinds["sync-account"] = former
    assert shop.found() == 1
    assert shop.entitlement(user).level == 1
    shop.deploy((DEARER, PREMIUM))
    assert shop.found() == 0
    shop.clock.ahead = timedelta(hours=1)
    assert shop.found() == 1
    assert shop.entitlement(user).level == 3


def test_many_are_found_over_several_calls(shop: Shop) -> None:
    users = [shop.subscriber() for _ in range(4)]
    shop.deploy((DEARER, PREMIUM))
    # Nothing that was found is mended before the next call.
    assert [shop.changes.reconcile()["plans_changed"] for _ in range(3)] == [3, 1, 0]
    shop.billing.work()
    assert [shop.entitlement(user).level for user in users] == [3] * 4


def test_while_the_queue_is_away_nobody_is_passed_over(shop: Shop) -> None:
    user = shop.subscriber()
    shop.deploy((DEARER, PREMIUM))
    shop.billing.fake_tasks.down = True
    assert shop.changes.reconcile() == {"plans_changed": 0}
    shop.billing.fake_tasks.down = False
    assert shop.found() == 1
    assert shop.entitlement(user).level == 3
