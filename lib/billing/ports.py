"""What billing needs from outside."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from lib.billing.told import ToldEvent
from lib.config import Plan


@dataclass(frozen=True, slots=True)
class CheckoutSession:
    """A page to pay on. `url` is None once it is not open any more.

    `offer` tells what it sells and for how much, in the provider's words: to be compared, not to be read.
    """

    id: str
    state: str  # open | complete | expired
    url: str | None
    expires_at: datetime
    offer: str | None = None


@dataclass(frozen=True, slots=True)
class Film:
    """A film that is sold by itself: for good, or for `rental_hours` from its first play on."""

    id: uuid.UUID
    title: str
    amount: int
    currency: str
    rental_hours: int | None


@dataclass(frozen=True, slots=True)
class PaidSubscription:
    """A subscription as the payment provider knows it now.

    `status` is the provider's word. `payment_missed_at` is set while a payment is overdue: when the
    oldest invoice that is not paid became due. `taken_back` says that the money for the last period paid for
    is gone: `refunded` (in full) or `disputed` (and lost). `ended_because` is set on what was ended from
    here: `duplicate`, `trial_used` or `revoked`. `trial_card` tells cards apart, while one is on trial.
    """

    id: str
    status: str
    price_id: str
    lookup_key: str | None
    current_period_end: datetime
    cancel_at_period_end: bool
    cancel_at: datetime | None
    trial_end: datetime | None
    paused: bool
    payment_missed_at: datetime | None
    created_at: datetime
    taken_back: str | None = None
    ended_because: str | None = None
    trial_card: str | None = None


@dataclass(frozen=True, slots=True)
class FilmPurchase:
    """A film that was paid for by itself: for good, or to be watched within `window_hours` of its first play.

    `id` is that of the checkout it was bought on. `taken_back` is as with a subscription.
    """

    id: str
    video_id: uuid.UUID
    window_hours: int | None
    paid_at: datetime
    taken_back: str | None = None


@dataclass(frozen=True, slots=True)
class Customer:
    """All that is known of a customer now, newest first; films only where they were asked for."""

    deleted: bool
    subscriptions: tuple[PaidSubscription, ...]
    films: tuple[FilmPurchase, ...] = ()


class CustomerGoneError(Exception):
    """The provider has deleted this customer, or never had it."""


class Payments(Protocol):
    """The payment provider. Every method is bounded in time.

    Raises (all of them):
        UnavailableError: it did not answer, or asked to slow down.
    """

    def create_customer(self, *, user_id: uuid.UUID, email: str, attempt: str) -> str:
        """The customer's id; the same `attempt` again within a day gives the same one, unless it was deleted since."""
        ...

    def find_customers(self, user_id: uuid.UUID, *, begun_at: datetime) -> tuple[str, ...]:
        """Customers that were made for the user around then, as after a call of `create_customer` whose answer was
        lost; newest first, without those that were deleted.
        """
        ...

    def open_checkout(
        self,
        *,
        customer_id: str,
        user_id: uuid.UUID,
        plan: Plan,
        trial_days: int,
        promotion_code: str | None,
        attempt: str,
    ) -> CheckoutSession:
        """A page that sells `plan`. The same `attempt` for the same thing again gives the same page while that is
        open, and another one after it.

        Raises:
            InvalidPromotionCodeError: there is no such code, or it cannot be used here.
            CustomerGoneError: it needs another customer.
        """
        ...

    def open_film_checkout(
        self,
        *,
        customer_id: str,
        user_id: uuid.UUID,
        film: Film,
        promotion_code: str | None,
        attempt: str,
    ) -> CheckoutSession:
        """A page that sells this film as it is offered now. Otherwise as `open_checkout`."""
        ...

    def offer(self, wanted: Plan | Film) -> str:
        """What a page that is opened for this now would sell: its session's `offer`."""
        ...

    def end_subscription(self, subscription_id: str, why: str, *, refund_from: datetime | None) -> int:
        """Ends a subscription at once, for a reason that can be read there afterwards: `ended_because`.

        Repeatable, also after a crash halfway: what was given back is not given back again, and a
        subscription that has ended is left alone.

        Args:
            refund_from: give back what was paid for the time of its current period from then on, by all bills
                of that period; None: give nothing back.

        Returns:
            What was given back in all, in the currency's smallest unit.
        """
        ...

    def checkout(self, session_id: str) -> CheckoutSession:
        """How the page stands now; one that the provider does not know has expired."""
        ...

    def expire_checkout(self, session_id: str) -> CheckoutSession:
        """Closes the page, unless it is closed already; how it stands then.

        It may stand open still: while a payment is under way.
        """
        ...

    def open_checkouts(self, customer_id: str) -> tuple[str, ...]:
        """Ids of the customer's pages that can still be paid on; none of a customer that is gone."""
        ...

    def delete_customer(self, customer_id: str) -> None:
        """Deletes the customer, which ends its subscriptions at once. One that was deleted before is fine.

        Raises:
            CustomerGoneError: the provider never knew this customer.
        """
        ...

    def open_portal(self, customer_id: str) -> str:
        """The address of a page where the customer manages payment and subscription themselves.

        Raises:
            CustomerGoneError: there is nobody to manage anything.
        """
        ...

    def customer(self, customer_id: str, *, films: bool = False) -> Customer:
        """The truth, fetched now.

        Args:
            films: whether films that were paid for are wanted too; it takes one more question.

        Raises:
            CustomerGoneError: the provider does not know this customer, not even as a deleted one. Most
                likely it is being asked with another account's key, so this says nothing about access.
        """
        ...

    def customer_of(self, kind: str, object_id: str) -> str | None:
        """Whom a thing at the provider belongs to; None for a thing it does not know.

        Args:
            kind: `subscription`, `invoice`, `checkout`, `charge`, `refund`, `dispute` or `early_fraud_warning`.
        """
        ...


class PageGoneError(Exception):
    """The place in a list to go on from is not there any more: begin again."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some entries of a long list, newest first, and where the next page begins; None at the end."""

    entries: tuple[T, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class ListedEvent:
    event: ToldEvent
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ListedSubscription:
    """A subscription without what would have to be asked for it alone.

    `user_id` is what we wrote into it when it was bought; None for what somebody else sold.
    """

    customer_id: str
    user_id: uuid.UUID | None
    subscription: PaidSubscription


@dataclass(frozen=True, slots=True)
class ListedCustomer:
    """`user_id` is what we wrote into it; None for somebody else's customer."""

    id: str
    user_id: uuid.UUID | None


class Books(Protocol):
    """All that the payment provider has, page by page. One call each, bounded in time.

    Raises (all of them):
        UnavailableError: it did not answer, or asked to slow down.
        PageGoneError: there is nothing at `after`.
    """

    def events(self, *, since: datetime, after: str | None) -> Page[ListedEvent]:
        """What happened since then, of the kinds that can change who may watch."""
        ...

    def subscriptions(self, *, after: str | None) -> Page[ListedSubscription]:
        """Every subscription, ended ones too."""
        ...

    def customers(self, *, after: str | None) -> Page[ListedCustomer]:
        """Every customer that was not deleted."""
        ...

    def sold_prices(self, plans: Sequence[Plan]) -> dict[str, str]:
        """price id -> plan code, for every price that the plans' products have or had."""
        ...
