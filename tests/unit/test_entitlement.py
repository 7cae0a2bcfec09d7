"""Which subscription gives what, at which moment: the contract's paragraph on access, line by line."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lib.billing.entitlement import Entitlement, Grant, of_grants, of_subscription
from lib.billing.ports import PaidSubscription
from lib.config import AccessSettings, Plan

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PERIOD_END = NOW + timedelta(days=10)
BASIC = Plan("basic", "Basic", 1, "basic_monthly", 0, 2, 799, "usd", "month")
PREMIUM = Plan("premium", "Premium", 2, "premium_monthly", 0, 4, 1499, "usd", "month")
PLANS = {plan.lookup_key: plan for plan in (BASIC, PREMIUM)}
SETTINGS = AccessSettings(past_due_grace_days=3, renewal_grace_hours=24)

SUBSCRIPTION = PaidSubscription(
    id="sub_1",
    status="active",
    price_id="price_1",
    lookup_key="basic_monthly",
    current_period_end=PERIOD_END,
    cancel_at_period_end=False,
    cancel_at=None,
    trial_end=None,
    paused=False,
    payment_missed_at=None,
    created_at=NOW - timedelta(days=20),
)


def grant_of(found: PaidSubscription, now: datetime = NOW) -> Grant:
    return of_subscription(found, PLANS.get(found.lookup_key or ""), SETTINGS, now)


def given(*subscriptions: PaidSubscription, now: datetime = NOW) -> Entitlement:
    return of_grants([grant_of(found, now) for found in subscriptions], now)


def subscription(**facts: object) -> PaidSubscription:
    return replace(SUBSCRIPTION, **facts)  # type: ignore[arg-type]


def test_renewing_lasts_a_little_longer_than_its_period() -> None:
    assert given(SUBSCRIPTION) == Entitlement("basic", 1, 2, "subscription", PERIOD_END + timedelta(hours=24))


def test_cancelling_lasts_exactly_its_period() -> None:
    assert given(subscription(cancel_at_period_end=True)).until == PERIOD_END


def test_cancel_at_a_date_ends_there() -> None:
    ends = NOW + timedelta(days=2)
    assert given(subscription(cancel_at=ends)).until == ends


def test_cancel_at_a_date_after_the_period_waits_for_the_renewal() -> None:
    ends = PERIOD_END + timedelta(days=100)
    assert given(subscription(cancel_at=ends)).until == PERIOD_END + timedelta(hours=24)


@pytest.mark.parametrize("how", ["refunded", "disputed"])
@pytest.mark.parametrize("status", ["active", "past_due"])
def test_money_taken_back_ends_access(how: str, status: str) -> None:
    missed = NOW if status == "past_due" else None
    taken = subscription(status=status, payment_missed_at=missed, taken_back=how)
    assert given(taken) == Entitlement(None, 0, 0, how, None)
    assert given(taken, subscription(id="sub_2")).plan == "basic", "another one still counts"


def test_trial() -> None:
    found = given(subscription(status="trialing", trial_end=PERIOD_END))
    assert (found.reason, found.until) == ("trial", PERIOD_END + timedelta(hours=24))


def test_past_due_is_forgiven_from_the_missed_payment_on() -> None:
    missed = NOW - timedelta(days=1)
    found = given(subscription(status="past_due", payment_missed_at=missed))
    assert (found.level, found.reason, found.until) == (1, "grace", missed + timedelta(days=3))


def test_past_due_beyond_grace_has_ended() -> None:
    """Kept with its end, so that whoever reads it says that a payment failed."""
    missed = NOW - timedelta(days=3)
    found = given(subscription(status="past_due", payment_missed_at=missed))
    assert (found.reason, found.until) == ("grace", NOW)


def test_grace_does_not_outlast_the_order_to_cancel() -> None:
    ends = NOW + timedelta(hours=1)
    facts = {"status": "past_due", "payment_missed_at": NOW}
    assert given(subscription(cancel_at=ends, **facts)).until == ends
    at_period_end = subscription(cancel_at_period_end=True, current_period_end=ends, **facts)
    assert given(at_period_end).until == ends


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("canceled", "canceled"),
        ("unpaid", "payment_failed"),
        ("incomplete", "payment_failed"),
        ("incomplete_expired", "payment_failed"),
        ("paused", "paused"),
        ("a status of next year", "none"),
        ("", "none"),
    ],
)
def test_every_other_status_is_no(status: str, reason: str) -> None:
    assert given(subscription(status=status)) == Entitlement(None, 0, 0, reason, None)


@pytest.mark.parametrize("status", ["active", "trialing", "past_due"])
def test_paused_collection_is_no(status: str) -> None:
    missed = NOW if status == "past_due" else None
    found = given(subscription(status=status, paused=True, payment_missed_at=missed))
    assert (found.level, found.reason) == (0, "paused")


def test_a_price_that_is_not_ours_is_no() -> None:
    assert given(subscription(lookup_key="another product")).level == 0
    assert given(subscription(lookup_key=None)).level == 0


def test_nothing_bought() -> None:
    assert given() == Entitlement(None, 0, 0, "none", None)


def test_highest_level_wins_whatever_the_order() -> None:
    premium = subscription(
        id="sub_2", lookup_key="premium_monthly", current_period_end=NOW + timedelta(days=1)
    )
    assert given(SUBSCRIPTION, premium).plan == given(premium, SUBSCRIPTION).plan == "premium"


def test_of_one_level_the_longer_wins() -> None:
    longer = subscription(id="sub_2", current_period_end=PERIOD_END + timedelta(days=5))
    assert given(SUBSCRIPTION, longer).until == given(longer, SUBSCRIPTION).until
    assert given(SUBSCRIPTION, longer).until == longer.current_period_end + timedelta(hours=24)


def test_an_old_canceled_one_takes_nothing_away() -> None:
    assert given(SUBSCRIPTION, subscription(id="sub_0", status="canceled")).level == 1


def test_without_access_the_newest_says_why() -> None:
    unpaid = subscription(id="sub_2", status="unpaid", created_at=NOW - timedelta(days=1))
    canceled = subscription(status="canceled")
    assert given(unpaid, canceled).reason == given(canceled, unpaid).reason == "payment_failed"


def test_a_period_long_over_has_ended() -> None:
    """Kept with its end, so that whoever reads it says that it expired."""
    ends = PERIOD_END + timedelta(hours=24)
    assert given(SUBSCRIPTION, now=ends).until == ends


def test_what_holds_wins_over_what_has_ended_at_a_higher_level() -> None:
    ended = subscription(id="sub_2", lookup_key="premium_monthly", current_period_end=NOW - timedelta(days=2))
    assert given(SUBSCRIPTION, ended).plan == given(ended, SUBSCRIPTION).plan == "basic"
