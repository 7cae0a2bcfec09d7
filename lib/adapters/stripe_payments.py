"""Stripe as `Payments`, by its SDK. Imported only where a checkout or a sync needs it."""

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import stripe
from stripe.params import CustomerCreateParams
from stripe.params.checkout import SessionCreateParams

from lib.adapters.stripe_client import TIMEOUT_SECONDS, answered, connect
from lib.adapters.stripe_objects import id_of, paid_subscription, time_of
from lib.billing.ports import (
    CheckoutSession,
    Customer,
    CustomerGoneError,
    FilmPurchase,
)
from lib.config import Plan, StripeSettings
from lib.errors import InvalidPromotionCodeError, UnavailableError
from lib.web.operation import as_uuid

_MOST_SUBSCRIPTIONS = 100
_MOST_SESSIONS = 1000
_MOST_PAGES = 100
_RECENT = 10
# A period's bill is drawn up a moment after the period begins.
_SLACK_SECONDS = 3600
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
        self._v1 = connect(settings, seconds).v1

    def create_customer(self, *, user_id: uuid.UUID, email: str, attempt: str) -> str:
        with answered():
            wanted: CustomerCreateParams = {"email": email, "metadata": {"user_id": str(user_id)}}
            customer = self._v1.customers.create(wanted, _once("customer", attempt, wanted))
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
        with answered():
            prices = self._v1.prices.list({"lookup_keys": [plan.lookup_key], "active": True, "limit": 1})
            if not prices.data:
                raise UnavailableError(f"Stripe has no active price with lookup key {plan.lookup_key}")
            metadata = {"user_id": str(user_id), "plan": plan.code}
            wanted: SessionCreateParams = {
                "mode": "subscription",
                "customer": customer_id,
                # Cards and wallets. Methods that pay days later would leave a finished page without a
                # subscription, and a second page could sell a second one: docs/decisions/0010.
                "allowed_payment_method_types": ["card"],
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
                session = self._v1.checkout.sessions.create(wanted, _once("checkout", attempt, wanted))
            except stripe.InvalidRequestError as error:
                _refuse_gone_customer(error)
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
        with answered():
            try:
                return _session(self._v1.checkout.sessions.retrieve(session_id))
            except stripe.InvalidRequestError as error:
                if error.code != "resource_missing":
                    raise
                return CheckoutSession(session_id, "expired", None, datetime.now(UTC))

    def expire_checkout(self, session_id: str) -> CheckoutSession:
        with answered():
            try:
                return _session(self._v1.checkout.sessions.expire(session_id))
            except stripe.InvalidRequestError:
                # It was paid or ran out in the meantime.
                return _session(self._v1.checkout.sessions.retrieve(session_id))

    def open_checkouts(self, customer_id: str) -> tuple[str, ...]:
        with answered():
            try:
                found = self._v1.checkout.sessions.list(
                    {"customer": customer_id, "status": "open", "limit": _MOST_PAGES}
                )
            except stripe.InvalidRequestError as error:
                if error.code != "resource_missing":
                    raise
                return ()
        return tuple(session.id for session in found.data)

    def delete_customer(self, customer_id: str) -> None:
        with answered():
            try:
                self._v1.customers.delete(customer_id)
            except stripe.InvalidRequestError as error:
                if error.code != "resource_missing":
                    raise
                # Stripe answers alike for one that was deleted and one that never was; asked, it tells.
                if not self.customer(customer_id).deleted:
                    raise UnavailableError("The payment provider contradicts itself") from error

    def open_portal(self, customer_id: str) -> str:
        with answered():
            try:
                session = self._v1.billing_portal.sessions.create(
                    {"customer": customer_id, "return_url": self._app_url}
                )
            except stripe.InvalidRequestError as error:
                _refuse_gone_customer(error)
                raise
        return session.url

    def customer(self, customer_id: str, *, films: bool = False) -> Customer:
        with answered():
            try:
                if getattr(self._v1.customers.retrieve(customer_id), "deleted", False):
                    return Customer(deleted=True, subscriptions=())
                found = self._v1.subscriptions.list(
                    {"customer": customer_id, "status": "all", "limit": _MOST_SUBSCRIPTIONS}
                )
            except stripe.InvalidRequestError as error:
                if error.code != "resource_missing":
                    raise
                raise CustomerGoneError(customer_id) from None
            newest_first = sorted(found.data, key=lambda item: item.created, reverse=True)
            subscriptions = tuple(
                paid_subscription(item, self._missed(item), self._taken_back(item)) for item in newest_first
            )
            bought = tuple(self._films(customer_id)) if films else ()
        return Customer(deleted=False, subscriptions=subscriptions, films=bought)

    def _films(self, customer_id: str) -> Iterator[FilmPurchase]:
        """Films whose pages were finished, newest first. What a page sold was written on it when it opened."""
        finished = self._v1.checkout.sessions.list(
            {
                "customer": customer_id,
                "status": "complete",
                "limit": 100,
                "expand": ["data.payment_intent.latest_charge"],
            }
        )
        for session in islice(finished.auto_paging_iter(), _MOST_SESSIONS):
            sold = session.metadata.to_dict() if session.metadata else {}
            video_id, hours = as_uuid(sold.get("video_id", "")), sold.get("rental_hours", "")
            if video_id is None or session.payment_status == "unpaid":
                continue
            charge = getattr(session.payment_intent, "latest_charge", None)
            yield FilmPurchase(
                id=session.id,
                video_id=video_id,
                window_hours=int(hours) if hours.isdecimal() else None,
                paid_at=time_of(session.created),
                taken_back=self._charge_taken_back(charge) if charge else None,
            )

    def _missed(self, found: stripe.Subscription) -> int | None:
        """Since when a payment is overdue: the oldest open bill's date, so that no later bill moves it."""
        if found.status != "past_due":
            return None
        bills = self._v1.invoices.list({"subscription": found.id, "status": "open", "limit": 100})
        due = [bill.status_transitions.finalized_at or bill.created for bill in bills.data]
        return min(due, default=found.created)

    def _taken_back(self, found: stripe.Subscription) -> str | None:
        """What became of the money for the current period; asked only where access hangs on it."""
        if found.status not in ("active", "past_due"):
            return None
        paid = self._v1.invoices.list(
            {"subscription": found.id, "status": "paid", "limit": _RECENT, "expand": ["data.payments"]}
        )
        bill = _bill_of_period(found, paid.data)
        if bill is None or not bill.amount_paid or bill.payments is None:
            return None
        for payment in bill.payments.data:
            intent = payment.payment.payment_intent
            if payment.status != "paid" or intent is None:
                continue
            charges = self._v1.charges.list({"payment_intent": id_of(intent), "limit": _RECENT})
            taken = next((charge for charge in charges.data if charge.refunded or charge.disputed), None)
            if taken is not None:
                return self._charge_taken_back(taken)
        return None

    def _charge_taken_back(self, charge: stripe.Charge) -> str | None:
        if charge.refunded:
            return "refunded"
        return self._lost(charge.id) if charge.disputed else None

    def _lost(self, charge_id: str) -> str | None:
        disputes = self._v1.disputes.list({"charge": charge_id, "limit": _RECENT})
        return "disputed" if any(dispute.status == "lost" for dispute in disputes.data) else None

    def customer_of(self, kind: str, object_id: str) -> str | None:
        charge = {"expand": ["charge"]}
        fetches: dict[str, Callable[[], Any]] = {
            "subscription": lambda: self._v1.subscriptions.retrieve(object_id),
            "invoice": lambda: self._v1.invoices.retrieve(object_id),
            "checkout": lambda: self._v1.checkout.sessions.retrieve(object_id),
            "charge": lambda: self._v1.charges.retrieve(object_id),
            # These name a payment, not its customer.
            "refund": lambda: self._v1.refunds.retrieve(object_id, charge).charge,  # type: ignore[arg-type]
            "dispute": lambda: self._v1.disputes.retrieve(object_id, charge).charge,  # type: ignore[arg-type]
            "early_fraud_warning": lambda: (
                self._v1.radar.early_fraud_warnings.retrieve(
                    object_id,
                    charge,  # type: ignore[arg-type]
                ).charge
            ),
        }
        with answered():
            try:
                found = fetches[kind]()
            except stripe.InvalidRequestError as error:
                if error.code != "resource_missing":
                    raise
                return None
        customer = getattr(found, "customer", None)
        return None if customer is None else id_of(customer)


def _session(session: stripe.checkout.Session) -> CheckoutSession:
    state = session.status or "expired"
    url = session.url if state == "open" else None
    return CheckoutSession(session.id, state, url, time_of(session.expires_at))


def _bill_of_period(found: stripe.Subscription, paid: list[stripe.Invoice]) -> stripe.Invoice | None:
    """The newest paid bill that covers the whole current period; failing that, the last period's.

    By what its lines cover, not by why it was made: a switch from monthly to yearly is billed as an
    update, and an upgrade's difference covers only what is left of a period.
    """
    item = found["items"].data[0]
    for bill in paid:
        for line in bill.lines.data:
            starts_by = line.period.start <= item.current_period_start + _SLACK_SECONDS
            lasts_to = line.period.end >= item.current_period_end - _SLACK_SECONDS
            if line.amount > 0 and starts_by and lasts_to:
                return bill
    return next((bill for bill in paid if bill.billing_reason in _BILLS_OF_PERIODS), None)


def _once(what: str, attempt: str, wanted: Mapping[str, Any]) -> stripe.RequestOptions:
    """An idempotency key that differs where the request does: Stripe refuses a key for another request."""
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:32]
    return {"idempotency_key": f"{what}-{attempt}-{digest}"}


def _refuse_gone_customer(error: stripe.InvalidRequestError) -> None:
    if error.code == "resource_missing" and error.param == "customer":
        raise CustomerGoneError from None
