"""What an event says that we keep: ids. Read from a webhook's payload and from the provider's list alike."""

from dataclasses import dataclass
from typing import Any

from lib.database.texts import can_be_kept
from lib.errors import MalformedRequestError

# What can change who may watch. Others are kept and acknowledged.
WANTED = frozenset(
    {
        "checkout.session.completed",
        "checkout.session.async_payment_succeeded",
        "checkout.session.async_payment_failed",
        "checkout.session.expired",
        "customer.deleted",
        "customer.subscription.created",
        "customer.subscription.updated",
        "customer.subscription.deleted",
        "customer.subscription.paused",
        "customer.subscription.resumed",
        "customer.subscription.trial_will_end",
        "invoice.paid",
        "invoice.payment_failed",
        "invoice.payment_action_required",
        "charge.dispute.created",
        "charge.dispute.closed",
        "charge.refunded",
        "radar.early_fraud_warning.created",
        "refund.created",
        "refund.updated",
        "refund.failed",
    }
)


@dataclass(frozen=True, slots=True)
class ToldEvent:
    """Something happened to `object_id`, which belongs to `customer_id` where the event says so."""

    id: str
    type: str
    object_id: str | None
    customer_id: str | None

    @property
    def wanted(self) -> bool:
        return self.type.removeprefix("v1.") in WANTED


def told(event: Any) -> ToldEvent:
    """The ids of an event, a snapshot (`object: event`) or a thin one (`v2.core.event`).

    A thin event may name the snapshot that tells of the same; both are then one event to us.

    Raises:
        MalformedRequestError: it is no event.
    """
    try:
        event_id, type_ = event.get("snapshot_event") or event["id"], event["type"]
        if _text(event_id) != event_id or not event_id or _text(type_) is None:
            raise TypeError
        concerned = (event.get("data") or {}).get("object") or {}
        related = event.get("related_object") or {}
        object_id = concerned.get("id") or related.get("id")
        is_customer = (concerned.get("object") or related.get("type")) == "customer"
        customer = object_id if is_customer else concerned.get("customer")
        if isinstance(customer, dict):
            customer = customer.get("id")
    except (KeyError, TypeError, AttributeError):
        raise MalformedRequestError("The body is not an event") from None
    return ToldEvent(event_id, type_[:255], _text(object_id), _text(customer))


def _text(value: Any) -> str | None:
    return value[:255] if isinstance(value, str) and can_be_kept(value) else None
