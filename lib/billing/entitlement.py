"""What a person's subscriptions give them: a pure function of what the provider said.

The one place where a status becomes a yes or a no.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from lib.billing.ports import Customer, PaidSubscription
from lib.config import AccessSettings, Plan

_DENIED = {
    "canceled": "canceled",
    "unpaid": "payment_failed",
    "past_due": "payment_failed",
    "incomplete": "payment_failed",
    "incomplete_expired": "payment_failed",
    "paused": "paused",
}
KNOWN_STATUSES = frozenset({"active", "trialing", *_DENIED})
# Who has one of these would be charged twice by another subscription.
LIVE_STATUSES = frozenset({"active", "trialing", "past_due", "unpaid", "paused", "incomplete"})


@dataclass(frozen=True, slots=True)
class Entitlement:
    """Access to videos of `level` and below until `until`, on `streams` screens at once; or none, and why."""

    plan: str | None
    level: int
    streams: int
    reason: str
    until: datetime | None


def none(reason: str) -> Entitlement:
    return Entitlement(None, 0, 0, reason, None)


def plan_of(subscription: PaidSubscription, plans: Iterable[Plan]) -> Plan | None:
    """The plan that was bought, by its price's lookup key; None for a price we do not sell."""
    return next((plan for plan in plans if plan.lookup_key == subscription.lookup_key), None)


def of_subscription(
    subscription: PaidSubscription, plan: Plan | None, settings: AccessSettings, now: datetime
) -> Entitlement:
    """What one subscription gives at `now`. A status not known gives nothing."""
    status = subscription.status
    if status not in ("active", "trialing", "past_due"):
        return none(_DENIED.get(status, "none"))
    if subscription.paused:
        return none("paused")
    if subscription.taken_back is not None:
        return none(subscription.taken_back)
    if plan is None:
        return none("none")
    if status == "past_due":
        missed = subscription.payment_missed_at or subscription.created_at
        reason, until = "grace", missed + timedelta(days=settings.past_due_grace_days)
    else:
        reason = "trial" if status == "trialing" else "subscription"
        until = _end(subscription, settings)
    if until <= now:
        return none("payment_failed" if status == "past_due" else "canceled")
    return Entitlement(plan.code, plan.level, plan.streams, reason, until)


def _end(subscription: PaidSubscription, settings: AccessSettings) -> datetime:
    """A renewing subscription is trusted a little past its period, a cancelling one not a second."""
    period_end = subscription.current_period_end
    ends = [period_end] if subscription.cancel_at_period_end else []
    if subscription.cancel_at is not None:
        ends.append(subscription.cancel_at)
    renewed = period_end + timedelta(hours=settings.renewal_grace_hours)
    return min([renewed, *ends])


def of_customer(
    customer: Customer, plans: Mapping[str, Plan], settings: AccessSettings, now: datetime
) -> Entitlement:
    """The best of all subscriptions: highest level, then longest. None of them: why, from the newest.

    Args:
        plans: lookup key -> plan.
    """
    if customer.deleted:
        return none("canceled")
    found = [
        of_subscription(subscription, plan_of(subscription, plans.values()), settings, now)
        for subscription in customer.subscriptions
    ]
    given = [
        (entitlement.level, entitlement.until, entitlement) for entitlement in found if entitlement.until
    ]
    if given:
        return max(given, key=lambda item: item[:2])[2]
    return found[0] if found else none("none")
