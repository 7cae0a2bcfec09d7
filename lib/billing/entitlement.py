"""Who may watch, as pure functions: what a thing that was bought or given grants, and what all grants come to.

The one place where a status becomes a yes or a no. `open_playback` asks the grants the same way where one
film is concerned (lib/database/migrations/sql); a test compares the two.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lib.billing.ports import FilmPurchase, PaidSubscription
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
_NEVER = datetime.max.replace(tzinfo=UTC)
# What clients are told, where we know more: these are ends that were decided here.
_TOLD = {"duplicate": "canceled", "trial_used": "canceled", "revoked": "canceled"}


@dataclass(frozen=True, slots=True)
class Grant:
    """One thing that gives access: what, from when until when, and what is in its way.

    Either a plan's `level` with its `streams`, or, with `video_id`, one film. `source` and `source_id`
    together name the thing. `withheld` says why it gives nothing although its time has not passed.
    """

    source: str  # subscription | purchase | gift | staff
    source_id: str
    plan: str | None
    level: int
    streams: int
    reason: str
    starts_at: datetime
    ends_at: datetime | None
    withheld: str | None = None
    video_id: uuid.UUID | None = None
    window_hours: int | None = None
    first_played_at: datetime | None = None

    def holds(self, now: datetime) -> bool:
        return (
            self.withheld is None and self.starts_at <= now and (self.ends_at is None or self.ends_at > now)
        )


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
    subscription: PaidSubscription, plan: Plan | None, settings: AccessSettings, now: datetime
) -> Grant:
    """What one subscription gives, and until when. A status not known gives nothing."""
    reason, ends_at = "subscription", subscription.current_period_end
    withheld = _withheld(subscription, plan)
    # An end that has passed is kept too: whoever reads it then knows that it expired, and why.
    if subscription.status == "past_due":
        missed = subscription.payment_missed_at or subscription.created_at
        ends_at = min([missed + timedelta(days=settings.past_due_grace_days), *_ends(subscription)])
        reason = "grace"
    elif subscription.status in ("active", "trialing"):
        # A renewing subscription is trusted a little past its period, a cancelling one not a second.
        renewed = subscription.current_period_end + timedelta(hours=settings.renewal_grace_hours)
        ends_at = min([renewed, *_ends(subscription)])
        reason = "trial" if subscription.status == "trialing" else "subscription"
    return Grant(
        source="subscription",
        source_id=subscription.id,
        plan=plan.code if plan else None,
        level=plan.level if plan else 0,
        streams=plan.streams if plan else 0,
        reason=reason,
        # The provider's clock may be ahead of ours; what it tells of has begun.
        starts_at=min(subscription.created_at, now),
        ends_at=ends_at,
        withheld=withheld,
    )


def _withheld(subscription: PaidSubscription, plan: Plan | None) -> str | None:
    if subscription.ended_because is not None:
        return subscription.ended_because
    if subscription.status not in ("active", "trialing", "past_due"):
        return _DENIED.get(subscription.status, "none")
    if subscription.paused:
        return "paused"
    if subscription.taken_back is not None:
        return subscription.taken_back
    return "none" if plan is None else None


def _ends(subscription: PaidSubscription) -> list[datetime]:
    """When it was told to end."""
    ends = [subscription.current_period_end] if subscription.cancel_at_period_end else []
    return ends if subscription.cancel_at is None else [*ends, subscription.cancel_at]


def of_purchase(purchase: FilmPurchase, settings: AccessSettings, now: datetime) -> Grant:
    """What the payment for one film gives: the film for good, or for some hours from the first play on."""
    rented = purchase.window_hours is not None
    begin_by = purchase.paid_at + timedelta(days=settings.rental_start_days)
    return Grant(
        source="purchase",
        source_id=purchase.id,
        plan=None,
        level=0,
        streams=1,
        reason="rental" if rented else "purchase",
        starts_at=min(purchase.paid_at, now),
        ends_at=begin_by if rented else None,
        withheld=purchase.taken_back,
        video_id=purchase.video_id,
        window_hours=purchase.window_hours,
    )


def of_grants(grants: Iterable[Grant], now: datetime) -> Entitlement:
    """The best of all: what holds at `now`, highest level, then longest. Films are apart from it.

    Of the same plan what begins before the best one's end goes on from there. None that holds: what the
    newest was, so that its end or what withholds it says why. The order in which they are given means nothing.
    """
    plans = [grant for grant in grants if grant.video_id is None]
    begun = [grant for grant in plans if grant.starts_at <= now]
    holding = [grant for grant in begun if grant.holds(now)]
    if holding:
        best = max(holding, key=lambda grant: (grant.level, _end(grant), grant.streams, grant.source_id))
        return _given(best, _end_of_chain(best, plans))
    if not begun:
        return none("none")
    newest = max(begun, key=lambda grant: (grant.starts_at, grant.source, grant.source_id))
    if newest.withheld is not None:
        return none(_TOLD.get(newest.withheld, newest.withheld))
    return _given(newest, _end(newest))


def opening(grants: Iterable[Grant], *, video_id: uuid.UUID, level: int, now: datetime) -> Grant | None:
    """The grant that opens this film, as `open_playback` chooses it: a plan's before the film's own."""
    fit = [
        grant
        for grant in grants
        if grant.holds(now)
        and (grant.video_id == video_id or (grant.video_id is None and grant.level >= level))
    ]
    return max(fit, key=_rank_for_film, default=None)


def _rank_for_film(grant: Grant) -> tuple[bool, int, datetime, bool, int, str]:
    begun = grant.first_played_at is not None
    return grant.video_id is None, grant.level, _end(grant), begun, grant.streams, grant.source_id


def _given(grant: Grant, until: datetime) -> Entitlement:
    return Entitlement(grant.plan, grant.level, grant.streams, grant.reason, until)


def _end_of_chain(best: Grant, plans: Iterable[Grant]) -> datetime:
    until, same = _end(best), (best.plan, best.level, best.streams)
    following = (
        grant
        for grant in sorted(plans, key=lambda grant: grant.starts_at)
        if grant.withheld is None and (grant.plan, grant.level, grant.streams) == same
    )
    for grant in following:
        if grant.starts_at <= until:
            until = max(until, _end(grant))
    return until


def _end(grant: Grant) -> datetime:
    """Only a film is given for good; the tables see to it."""
    return grant.ends_at or _NEVER
