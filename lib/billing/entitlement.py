"""What a person's subscriptions give them: a pure function of what the provider said.

The one place where a status becomes a yes or a no.
"""

from collections.abc import Callable
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


def of_subscription(
    subscription: PaidSubscription, plan: Plan | None, settings: AccessSettings
) -> Entitlement:
    """What one subscription gives, and until when. A status not known gives nothing."""
    status = subscription.status
    if status not in ("active", "trialing", "past_due"):
        return none(_DENIED.get(status, "none"))
    if subscription.paused:
        return none("paused")
    if subscription.taken_back is not None:
        return none(subscription.taken_back)
    if plan is None:
        return none("none")
    # An end that has passed is kept too: whoever reads it then knows that it expired, and why.
    if status == "past_due":
        missed = subscription.payment_missed_at or subscription.created_at
        until = min([missed + timedelta(days=settings.past_due_grace_days), *_ends(subscription)])
        return Entitlement(plan.code, plan.level, plan.streams, "grace", until)
    reason = "trial" if status == "trialing" else "subscription"
    # A renewing subscription is trusted a little past its period, a cancelling one not a second.
    renewed = subscription.current_period_end + timedelta(hours=settings.renewal_grace_hours)
    until = min([renewed, *_ends(subscription)])
    return Entitlement(plan.code, plan.level, plan.streams, reason, until)


def _ends(subscription: PaidSubscription) -> list[datetime]:
    """When it was told to end."""
    ends = [subscription.current_period_end] if subscription.cancel_at_period_end else []
    return ends if subscription.cancel_at is None else [*ends, subscription.cancel_at]


def of_customer(
    customer: Customer,
    plan_of: Callable[[PaidSubscription], Plan | None],
    settings: AccessSettings,
    now: datetime,
) -> Entitlement:
    """The best of all subscriptions: what holds at `now`, highest level, then longest.

    None of them: why, from the newest.

    Args:
        plan_of: which plan a subscription's price sells; None for a price that opens nothing.
    """
    if customer.deleted:
        return none("canceled")
    found = [
        of_subscription(subscription, plan_of(subscription), settings)
        for subscription in customer.subscriptions
    ]
    given = [
        (entitlement.until > now, entitlement.level, entitlement.until, entitlement)
        for entitlement in found
        if entitlement.until
    ]
    if given:
        return max(given, key=lambda item: item[:3])[3]
    return found[0] if found else none("none")
