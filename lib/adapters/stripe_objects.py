"""What several adapters read out of Stripe's objects."""

from datetime import UTC, datetime
from typing import Any

import stripe

from lib.billing.ports import PaidSubscription

# A period's bill is drawn up a moment after the period begins, and a trial begins with its subscription.
_SLACK_SECONDS = 3600
_BILLS_OF_PERIODS = ("subscription_create", "subscription_cycle")
# Why a subscription was ended from here is written on it, with the end itself.
ENDED_BECAUSE = {
    "duplicate": "Streamly: this account pays for another subscription already",
    "trial_used": "Streamly: a free trial was begun with this card before",
    "revoked": "Streamly: ended by an operator",
}


def id_of(reference: Any) -> str:
    """Stripe gives an id, or the object where it was expanded."""
    return str(reference if isinstance(reference, str) else reference.id)


def metadata_of(thing: Any) -> dict[str, str]:
    """What we wrote on it."""
    return dict(thing.metadata.to_dict()) if thing.metadata else {}


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
        ended_because=_ended_because(found),
        trial_card=_trial_card(found),
    )


def bill_of_period(found: stripe.Subscription, paid: list[stripe.Invoice]) -> stripe.Invoice | None:
    """The bill that paid the current period; failing that, the last period's.

    By what its lines cover, not by why it was made: a switch from monthly to yearly is billed as an
    update. The difference of an upgrade is no period's bill, also where it covers nearly all of one.
    """
    start, end = period_of(found)
    for bill in paid:
        for line in bill.lines.data:
            starts_by = line.period.start <= start + _SLACK_SECONDS
            lasts_to = line.period.end >= end - _SLACK_SECONDS
            if line.amount > 0 and starts_by and lasts_to and not _is_proration(line):
                return bill
    return next((bill for bill in paid if bill.billing_reason in _BILLS_OF_PERIODS), None)


def _is_proration(line: stripe.InvoiceLineItem) -> bool:
    parent = line.parent
    details = parent and (parent.subscription_item_details or parent.invoice_item_details)
    return bool(details and details.proration)


def period_of(found: stripe.Subscription) -> tuple[int, int]:
    item = found["items"].data[0]
    return item.current_period_start, item.current_period_end


def time_of(seconds: Any) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _time_or_none(seconds: Any) -> datetime | None:
    return time_of(seconds) if seconds is not None else None


def _ended_because(found: stripe.Subscription) -> str | None:
    details = found.cancellation_details
    if found.status != "canceled" or details is None:
        return None
    return next((why for why, comment in ENDED_BECAUSE.items() if comment == details.comment), None)


def _trial_card(found: stripe.Subscription) -> str | None:
    """Where a wallet without a card pays, Stripe knows no fingerprint.

    Free days that somebody gives later make Stripe say `trialing` too. They are no trial: that begins with the
    subscription.
    """
    card = getattr(found.default_payment_method, "card", None)
    if found.status != "trialing" or card is None or found.trial_start is None:
        return None
    return card.fingerprint if found.trial_start - found.created < _SLACK_SECONDS else None
