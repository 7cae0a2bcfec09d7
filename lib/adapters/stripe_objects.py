"""What several adapters read out of Stripe's objects."""

from datetime import UTC, datetime
from typing import Any

import stripe

from lib.billing.ports import PaidSubscription


def id_of(reference: Any) -> str:
    """Stripe gives an id, or the object where it was expanded."""
    return str(reference if isinstance(reference, str) else reference.id)


def paid_subscription(
    found: stripe.Subscription, missed: int | None, taken_back: str | None
) -> PaidSubscription:
    # Periods live on the items since 2025-03-31; with several the last one to end counts.
    items = found["items"].data
    # Plans are sold by lookup key; what is added to one by hand has none.
    price = next((item.price for item in items if item.price.lookup_key), items[0].price)
    return PaidSubscription(
        id=found.id,
        status=found.status,
        price_id=price.id,
        lookup_key=price.lookup_key,
        current_period_end=time_of(max(item.current_period_end for item in items)),
        cancel_at_period_end=bool(found.cancel_at_period_end),
        cancel_at=_time_or_none(found.cancel_at),
        trial_end=_time_or_none(found.trial_end),
        paused=found.pause_collection is not None,
        payment_missed_at=_time_or_none(missed),
        created_at=time_of(found.created),
        taken_back=taken_back,
    )


def time_of(seconds: Any) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _time_or_none(seconds: Any) -> datetime | None:
    return time_of(seconds) if seconds is not None else None
