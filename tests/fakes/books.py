"""The lists of a payment provider in memory, as `Books`."""

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from lib.billing.ports import ListedCustomer, ListedEvent, ListedSubscription, Page, PageGoneError
from lib.billing.told import ToldEvent
from lib.config import Plan
from lib.errors import UnavailableError
from tests.fakes.payments import FakePayments

T = TypeVar("T")


class FakeBooks:
    """What `payments` holds, in pages of `size`; `told` are the events, oldest first.

    `down_after` makes every call fail once so many have been answered.
    """

    def __init__(self, payments: FakePayments, size: int = 100) -> None:
        self._payments = payments
        self._size = size
        self.told: list[ListedEvent] = []
        self.calls = 0
        self.down_after: int | None = None
        self.former_prices: dict[str, str] = {}

    def tell(
        self, customer_id: str, type_: str, *, at: datetime | None = None, event_id: str | None = None
    ) -> ToldEvent:
        """Something happens to a customer's subscription; no webhook is sent."""
        event = ToldEvent(event_id or f"evt_{uuid.uuid4().hex}", type_, "sub_x", customer_id)
        self.told.append(ListedEvent(event, at or datetime.now(UTC).replace(microsecond=0)))
        return event

    def events(self, *, since: datetime, after: str | None) -> Page[ListedEvent]:
        found = [entry for entry in self.told if entry.created_at >= since and entry.event.wanted]
        newest = found[::-1]
        newest.sort(key=lambda entry: entry.created_at, reverse=True)
        return self._page(newest, lambda entry: entry.event.id, after)

    def subscriptions(self, *, after: str | None) -> Page[ListedSubscription]:
        owners = {customer: user for user, customer in self._payments.owners.items()}
        found = [
            ListedSubscription(customer_id, owners.get(customer_id), subscription)
            for customer_id, subscription in self._payments.all_subscriptions()
        ]
        found.sort(key=lambda entry: entry.subscription.created_at, reverse=True)
        return self._page(found, lambda entry: entry.subscription.id, after)

    def customers(self, *, after: str | None) -> Page[ListedCustomer]:
        found = [ListedCustomer(customer, user) for user, customer in self._payments.owners.items()]
        return self._page(found[::-1], lambda entry: entry.id, after)

    def sold_prices(self, plans: Sequence[Plan]) -> dict[str, str]:
        self._answer()
        return {f"price_{plan.code}": plan.code for plan in plans} | self.former_prices

    def _page(self, newest: list[T], id_of: Callable[[T], str], after: str | None) -> Page[T]:
        self._answer()
        ids = [id_of(entry) for entry in newest]
        if after is not None and after not in ids:
            raise PageGoneError
        rest = newest[ids.index(after) + 1 :] if after is not None else newest
        shown = rest[: self._size]
        return Page(tuple(shown), id_of(shown[-1]) if len(rest) > len(shown) else None)

    def _answer(self) -> None:
        if self.down_after is not None and self.calls >= self.down_after:
            raise UnavailableError("The payment provider is out of reach")
        self.calls += 1
