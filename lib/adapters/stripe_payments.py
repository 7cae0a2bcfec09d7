"""Stripe as `Payments`, by its SDK. Imported only where a checkout or a sync needs it."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import stripe
from stripe.params.checkout import SessionCreateParams

from lib.billing.ports import CheckoutSession, Customer, PaidSubscription
from lib.config import Plan, StripeSettings
from lib.errors import InvalidPromotionCodeError, UnavailableError

TIMEOUT_SECONDS = 6
# The SDK repeats connection errors, 409 and 5xx with the same idempotency key.
RETRIES = 1
_MOST_SUBSCRIPTIONS = 100
_RECENT = 10
_BILLS_OF_PERIODS = ("subscription_create", "subscription_cycle")


class StripePayments:
    """Talks to one Stripe account.

    Args:
        app_url: where Checkout sends people back to: `/checkout/success?session_id=…` and
            `/checkout/canceled` below it.
        seconds: how long each wait for an answer may take; it is asked for twice.
    """

    def __init__(self, settings: StripeSettings, app_url: str, seconds: float = TIMEOUT_SECONDS) -> None:
        self._app_url = app_url
        client = stripe.StripeClient(
            settings.secret_key,
            http_client=stripe.RequestsClient(timeout=seconds),
            max_network_retries=RETRIES,
            base_addresses={"api": settings.api_base} if settings.api_base else {},
        )
        self._v1 = client.v1

    def create_customer(self, *, user_id: uuid.UUID, email: str, attempt: str) -> str:
        with _answered():
            customer = self._v1.customers.create(
                {"email": email, "metadata": {"user_id": str(user_id)}},
                {"idempotency_key": f"customer-{attempt}"},
            )
        return customer.id

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
        with _answered():
            prices = self._v1.prices.list({"lookup_keys": [plan.lookup_key], "active": True, "limit": 1})
            if not prices.data:
                raise UnavailableError(f"Stripe has no active price with lookup key {plan.lookup_key}")
            metadata = {"user_id": str(user_id), "plan": plan.code}
            wanted: SessionCreateParams = {
                "mode": "subscription",
                "customer": customer_id,
                "client_reference_id": str(user_id),
                "metadata": metadata,
                "subscription_data": {"metadata": metadata},
                "line_items": [{"price": prices.data[0].id, "quantity": 1}],
                "success_url": f"{self._app_url}/checkout/success?session_id={{CHECKOUT_SESSION_ID}}",
                "cancel_url": f"{self._app_url}/checkout/canceled",
            }
            if trial_days:
                wanted["subscription_data"]["trial_period_days"] = trial_days
            if promotion_code:
                wanted["discounts"] = [{"promotion_code": self._promotion_id(promotion_code)}]
            try:
                session = self._v1.checkout.sessions.create(
                    wanted, {"idempotency_key": f"checkout-{attempt}"}
                )
            except stripe.InvalidRequestError as error:
                # A code may exist and yet not be for this customer or this price.
                if promotion_code and (error.param or "").startswith("discounts"):
                    raise InvalidPromotionCodeError from None
                raise
        return _session(session)

    def _promotion_id(self, code: str) -> str:
        found = self._v1.promotion_codes.list({"code": code, "active": True, "limit": 1})
        if not found.data:
            raise InvalidPromotionCodeError
        return found.data[0].id

    def checkout(self, session_id: str) -> CheckoutSession:
        with _answered():
            return _session(self._v1.checkout.sessions.retrieve(session_id))

    def expire_checkout(self, session_id: str) -> CheckoutSession:
        with _answered():
            try:
                return _session(self._v1.checkout.sessions.expire(session_id))
            except stripe.InvalidRequestError:
                # It was paid or ran out in the meantime.
                return _session(self._v1.checkout.sessions.retrieve(session_id))

    def open_portal(self, customer_id: str) -> str:
        with _answered():
            session = self._v1.billing_portal.sessions.create(
                {"customer": customer_id, "return_url": self._app_url}
            )
        return session.url

    def customer(self, customer_id: str) -> Customer:
        with _answered():
            try:
                found = self._v1.subscriptions.list(
                    {
                        "customer": customer_id,
                        "status": "all",
                        "limit": _MOST_SUBSCRIPTIONS,
                        "expand": ["data.latest_invoice"],
                    }
                )
                # A deleted customer's subscriptions are still listed, all of them canceled.
                deleted = not any(item.status != "canceled" for item in found.data) and bool(
                    getattr(self._v1.customers.retrieve(customer_id), "deleted", False)
                )
            except stripe.InvalidRequestError as error:
                if error.code != "resource_missing":
                    raise
                return Customer(deleted=True, subscriptions=())
            newest_first = sorted(found.data, key=lambda item: item.created, reverse=True)
            subscriptions = tuple(_subscription(item, self._taken_back(item)) for item in newest_first)
        return Customer(deleted=deleted, subscriptions=subscriptions)

    def _taken_back(self, found: stripe.Subscription) -> str | None:
        """What became of the money for the last period paid for; asked only where access hangs on it."""
        if found.status not in ("active", "past_due"):
            return None
        paid = self._v1.invoices.list(
            {"subscription": found.id, "status": "paid", "limit": _RECENT, "expand": ["data.payments"]}
        )
        # Newest first. Bills between periods (an upgrade's difference) open no access by themselves.
        periods = (bill for bill in paid.data if bill.billing_reason in _BILLS_OF_PERIODS)
        bill = next(periods, None)
        if bill is None or not bill.amount_paid or bill.payments is None:
            return None
        for payment in bill.payments.data:
            intent = payment.payment.payment_intent
            if payment.status != "paid" or intent is None:
                continue
            charges = self._v1.charges.list({"payment_intent": _id(intent), "limit": _RECENT})
            taken = next((charge for charge in charges.data if charge.refunded or charge.disputed), None)
            if taken is not None:
                return "refunded" if taken.refunded else self._lost(taken.id)
        return None

    def _lost(self, charge_id: str) -> str | None:
        disputes = self._v1.disputes.list({"charge": charge_id, "limit": _RECENT})
        return "disputed" if any(dispute.status == "lost" for dispute in disputes.data) else None

    def customer_of_refund(self, refund_id: str) -> str | None:
        return _payer(lambda: self._v1.refunds.retrieve(refund_id, {"expand": ["charge"]}))

    def customer_of_dispute(self, dispute_id: str) -> str | None:
        return _payer(lambda: self._v1.disputes.retrieve(dispute_id, {"expand": ["charge"]}))


@contextmanager
def _answered() -> Iterator[None]:
    """Out of reach, busy or slow becomes a refusal; a mistake of ours stays an error."""
    try:
        yield
    except (stripe.APIConnectionError, stripe.RateLimitError, stripe.APIError) as error:
        raise UnavailableError("The payment provider is out of reach") from error


def _payer(fetch: Callable[[], stripe.Refund | stripe.Dispute]) -> str | None:
    with _answered():
        try:
            charge = fetch().charge
        except stripe.InvalidRequestError as error:
            if error.code != "resource_missing":
                raise
            return None
    if not isinstance(charge, stripe.Charge) or charge.customer is None:
        return None
    return _id(charge.customer)


def _id(reference: Any) -> str:
    """Stripe gives an id, or the object where it was expanded."""
    return str(reference if isinstance(reference, str) else reference.id)


def _session(session: stripe.checkout.Session) -> CheckoutSession:
    state = session.status or "expired"
    url = session.url if state == "open" else None
    return CheckoutSession(session.id, state, url, _time(session.expires_at))


def _subscription(found: stripe.Subscription, taken_back: str | None) -> PaidSubscription:
    # Periods live on the items since 2025-03-31; with several the last one to end counts.
    items = found["items"].data
    price = items[0].price
    invoice = found.latest_invoice
    missed = None
    if found.status == "past_due":
        missed = found.created
        if isinstance(invoice, stripe.Invoice):
            missed = invoice.status_transitions.finalized_at or invoice.created
    return PaidSubscription(
        id=found.id,
        status=found.status,
        price_id=price.id,
        lookup_key=price.lookup_key,
        current_period_end=_time(max(item.current_period_end for item in items)),
        cancel_at_period_end=bool(found.cancel_at_period_end),
        cancel_at=_time_or_none(found.cancel_at),
        trial_end=_time_or_none(found.trial_end),
        paused=found.pause_collection is not None,
        payment_missed_at=_time_or_none(missed),
        created_at=_time(found.created),
        taken_back=taken_back,
    )


def _time(seconds: Any) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _time_or_none(seconds: Any) -> datetime | None:
    return _time(seconds) if seconds is not None else None
