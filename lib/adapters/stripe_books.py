"""Stripe's lists as `Books`, a hundred entries a call."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import stripe
from stripe.params import (
    CustomerListParams,
    EventListParams,
    PriceListParams,
    SubscriptionListParams,
)

from lib.adapters.stripe_client import TIMEOUT_SECONDS, answered, connect
from lib.adapters.stripe_objects import id_of, paid_subscription, time_of
from lib.billing.ports import ListedCustomer, ListedEvent, ListedSubscription, Page, PageGoneError
from lib.billing.told import WANTED, told
from lib.config import Plan, StripeSettings

_PAGE = 100
# Stripe takes twenty types in one question. The one left out announces a change and makes none.
LISTED_TYPES = sorted(WANTED - {"customer.subscription.trial_will_end"})


class StripeBooks:
    """Reads the lists of one Stripe account.

    Args:
        seconds: how long each wait for an answer may take; it is asked for twice.
    """

    def __init__(self, settings: StripeSettings, seconds: float = TIMEOUT_SECONDS) -> None:
        self._v1 = connect(settings, seconds).v1

    def events(self, *, since: datetime, after: str | None) -> Page[ListedEvent]:
        wanted: EventListParams = {
            "types": LISTED_TYPES,
            "created": {"gte": int(since.timestamp())},
            "limit": _PAGE,
        }
        if after:
            wanted["starting_after"] = after
        with _paged():
            found = self._v1.events.list(wanted)
        entries = tuple(ListedEvent(told(item.to_dict()), time_of(item.created)) for item in found.data)
        return Page(entries, _after(found))

    def subscriptions(self, *, after: str | None) -> Page[ListedSubscription]:
        wanted: SubscriptionListParams = {"status": "all", "limit": _PAGE}
        if after:
            wanted["starting_after"] = after
        with _paged():
            found = self._v1.subscriptions.list(wanted)
        entries = tuple(
            ListedSubscription(
                id_of(item.customer), _user_id(item.metadata), paid_subscription(item, None, None)
            )
            for item in found.data
        )
        return Page(entries, _after(found))

    def customers(self, *, after: str | None) -> Page[ListedCustomer]:
        wanted: CustomerListParams = {"limit": _PAGE}
        if after:
            wanted["starting_after"] = after
        with _paged():
            found = self._v1.customers.list(wanted)
        entries = tuple(ListedCustomer(item.id, _user_id(item.metadata)) for item in found.data)
        return Page(entries, _after(found))

    def sold_prices(self, plans: Sequence[Plan]) -> dict[str, str]:
        sold: dict[str, str] = {}
        for plan in plans:
            with answered():
                current = self._v1.prices.list({"lookup_keys": [plan.lookup_key], "limit": 1}).data
                for price in current:
                    of_product: PriceListParams = {"product": id_of(price.product), "limit": _PAGE}
                    for former in self._v1.prices.list(of_product).auto_paging_iter():
                        # A product may have prices of several plans; each that has a key says so itself.
                        if former.lookup_key in (None, plan.lookup_key):
                            sold[former.id] = plan.code
        return sold


@contextmanager
def _paged() -> Iterator[None]:
    with answered():
        try:
            yield
        except stripe.InvalidRequestError as error:
            if error.param in ("starting_after", "ending_before"):
                raise PageGoneError from None
            raise


def _after(found: "stripe.ListObject[Any]") -> str | None:
    return found.data[-1].id if found.has_more and found.data else None


def _user_id(metadata: Any) -> uuid.UUID | None:
    """What we wrote there when it was made; anything else is not ours."""
    try:
        return uuid.UUID(metadata["user_id"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
