"""What billing needs from outside."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lib.config import Plan


@dataclass(frozen=True, slots=True)
class CheckoutSession:
    """A page to pay on. `url` is None once it is not open any more."""

    id: str
    state: str  # open | complete | expired
    url: str | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class PaidSubscription:
    """A subscription as the payment provider knows it now.

    `status` is the provider's word. `payment_missed_at` is set while a payment is overdue: when the
    invoice that was not paid became due. `taken_back` says that the money for the last period paid for
    is gone: `refunded` (in full) or `disputed` (and lost).
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


@dataclass(frozen=True, slots=True)
class Customer:
    """All that is known of a customer now, newest subscription first."""

    deleted: bool
    subscriptions: tuple[PaidSubscription, ...]


class Payments(Protocol):
    """The payment provider. Every method is bounded in time.

    Raises (all of them):
        UnavailableError: it did not answer, or asked to slow down.
    """

    def create_customer(self, *, user_id: uuid.UUID, email: str, attempt: str) -> str:
        """The customer's id; the same `attempt` again within a day gives the same one."""
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
        """A page that sells `plan`. The same `attempt` again gives the same page.

        Raises:
            InvalidPromotionCodeError: there is no such code, or it cannot be used here.
        """
        ...

    def checkout(self, session_id: str) -> CheckoutSession:
        """How the page stands now."""
        ...

    def expire_checkout(self, session_id: str) -> CheckoutSession:
        """Closes the page, unless it is closed already; how it stands then."""
        ...

    def open_portal(self, customer_id: str) -> str:
        """The address of a page where the customer manages payment and subscription themselves."""
        ...

    def customer(self, customer_id: str) -> Customer:
        """The truth, fetched now."""
        ...

    def customer_of_refund(self, refund_id: str) -> str | None:
        """Whose payment was given back; None for none of ours."""
        ...

    def customer_of_dispute(self, dispute_id: str) -> str | None:
        """Whose payment is disputed; None for none of ours."""
        ...
