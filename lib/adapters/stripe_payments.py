"""Stripe as `Payments`, by its SDK. Imported only where a checkout or a sync needs it."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import stripe

from lib.adapters.stripe_bills import StripeBills
from lib.adapters.stripe_client import TIMEOUT_SECONDS, answered, bounded, connect, once, replayed
from lib.adapters.stripe_objects import ENDED_BECAUSE, id_of, metadata_of, paid_subscription, time_of
from lib.adapters.stripe_pages import basis_of_page, film_page, offer_of_film, plan_page, session_of
from lib.billing.ports import (
    CheckoutSession,
    Customer,
    CustomerGoneError,
    Film,
    FilmPurchase,
)
from lib.config import CheckoutSettings, Plan, StripeSettings
from lib.errors import InvalidPromotionCodeError, UnavailableError
from lib.web.operation import as_uuid

if TYPE_CHECKING:
    # What only describes parameters takes 30 ms of a start to load.
    from stripe.params import CustomerCreateParams, CustomerListParams
    from stripe.params.billing_portal import SessionCreateParams as PortalCreateParams
    from stripe.params.checkout import SessionCreateParams, SessionRetrieveParams

_PAGE = 100
# As many as a customer may have that live, and as many again that have ended.
_MOST_SUBSCRIPTIONS = 1000
_MOST_SESSIONS = 1000
_MOST_CUSTOMERS = 2000
# Seconds. Of Stripe's clock and the database's, and from the beginning of a customer to its being made.
_CLOCKS_DIFFER = 60
_MADE_WITHIN = 600
# How often one attempt meets something that ended since: as often as a database was restored in a day.
_MOST_REPLAYS = 5
_WITH_LINES: "SessionRetrieveParams" = {"expand": ["line_items"]}


class StripePayments:
    """Talks to one Stripe account.

    Args:
        app_url: where Checkout sends people back to: `/checkout/success?session_id=…` and
            `/checkout/canceled` below it.
        seconds: how long each wait for an answer may take; it is asked for twice.
        checkout: what payment pages ask for; needed by who opens them.
    """

    def __init__(
        self,
        settings: StripeSettings,
        app_url: str,
        seconds: float = TIMEOUT_SECONDS,
        checkout: CheckoutSettings | None = None,
    ) -> None:
        self._app_url = app_url
        self._checkout = checkout or CheckoutSettings()
        self._portal = settings.portal
        client = connect(settings, seconds)
        self._v1 = client.v1
        self._bills = StripeBills(client)

    def create_customer(self, *, user_id: uuid.UUID, email: str, attempt: str) -> str:
        with answered():
            wanted: CustomerCreateParams = {"email": email, "metadata": {"user_id": str(user_id)}}
            key = attempt
            for _ in range(_MOST_REPLAYS):
                made = self._v1.customers.create(wanted, once("customer", key, wanted))
                if not replayed(made) or not self.customer(made.id).deleted:
                    return made.id
                key = f"{attempt}-{made.id}"
        raise UnavailableError("Every customer of this attempt was deleted since")

    def find_customers(self, user_id: uuid.UUID, *, begun_at: datetime) -> tuple[str, ...]:
        began = int(begun_at.timestamp())
        wanted: CustomerListParams = {
            "created": {"gte": began - _CLOCKS_DIFFER, "lte": began + _MADE_WITHIN},
            "limit": 100,
        }
        with answered():
            made = bounded(self._v1.customers.list(wanted), _MOST_CUSTOMERS, "customers around a time")
            return tuple(each.id for each in made if metadata_of(each).get("user_id") == str(user_id))

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
            price_id = self._price_id(plan)
            basis = self._basis(customer_id, user_id, promotion_code)
            wanted = plan_page(basis, user_id=user_id, plan=plan, price_id=price_id, trial_days=trial_days)
            return self._open(wanted, attempt)

    def open_film_checkout(
        self,
        *,
        customer_id: str,
        user_id: uuid.UUID,
        film: Film,
        promotion_code: str | None,
        attempt: str,
    ) -> CheckoutSession:
        with answered():
            basis = self._basis(customer_id, user_id, promotion_code)
            return self._open(film_page(basis, user_id=user_id, film=film), attempt)

    def _basis(
        self, customer_id: str, user_id: uuid.UUID, promotion_code: str | None
    ) -> "SessionCreateParams":
        return basis_of_page(
            self._checkout,
            app_url=self._app_url,
            customer_id=customer_id,
            user_id=user_id,
            promotion_id=self._promotion_id(promotion_code) if promotion_code else None,
        )

    def offer(self, wanted: Plan | Film) -> str:
        if isinstance(wanted, Film):
            return offer_of_film(wanted.amount, wanted.currency, wanted.rental_hours)
        with answered():
            return self._price_id(wanted)

    def _price_id(self, plan: Plan) -> str:
        found = self._v1.prices.list({"lookup_keys": [plan.lookup_key], "active": True, "limit": 1}).data
        if not found:
            raise UnavailableError(f"Stripe has no active price with lookup key {plan.lookup_key}")
        return found[0].id

    def _open(self, wanted: "SessionCreateParams", attempt: str) -> CheckoutSession:
        """Attempts are counted, and a database that was restored counts them again: what Stripe answers then is a page
        as it stood when it was opened, which may have been paid since. Such a page's id makes the next key.
        """
        key = attempt
        for _ in range(_MOST_REPLAYS):
            made = self._create(wanted, key)
            if not replayed(made):
                return session_of(made)
            page = self.checkout(made.id)
            if page.state == "open":
                return page
            key = f"{attempt}-{made.id}"
        raise UnavailableError("Every page of this attempt has ended")

    def _create(self, wanted: "SessionCreateParams", key: str) -> stripe.checkout.Session:
        try:
            return self._v1.checkout.sessions.create(wanted, once("checkout", key, wanted))
        except stripe.InvalidRequestError as error:
            _refuse_gone_customer(error)
            # A code may exist and yet not be for this customer or this price.
            if "discounts" in wanted and (error.param or "").startswith("discounts"):
                raise InvalidPromotionCodeError from None
            raise

    def _promotion_id(self, code: str) -> str:
        found = self._v1.promotion_codes.list({"code": code, "active": True, "limit": 1})
        if not found.data:
            raise InvalidPromotionCodeError
        return found.data[0].id

    def end_subscription(self, subscription_id: str, why: str, *, refund_from: datetime | None) -> int:
        with answered():
            found = self._v1.subscriptions.retrieve(subscription_id)
            # The money first: a subscription that has ended is not looked at again.
            given_back = self._bills.give_back(found, why, refund_from) if refund_from else 0
            if found.status != "canceled":
                self._release(found)
                try:
                    self._v1.subscriptions.cancel(
                        subscription_id, {"cancellation_details": {"comment": ENDED_BECAUSE[why]}}
                    )
                except stripe.InvalidRequestError as error:
                    # Somebody was faster.
                    if error.code != "resource_missing":
                        raise
        return given_back

    def _release(self, found: stripe.Subscription) -> None:
        """From the schedule that a change of plan with the period's end has put it under. While one stands, Stripe
        refuses to let the subscription's end be touched; and to end the schedule would prorate, beside our refund.
        """
        if found.schedule is None:
            return
        schedule = id_of(found.schedule)
        try:
            self._v1.subscription_schedules.release(schedule)
        except stripe.InvalidRequestError:
            # It ended by itself, or somebody was faster; then it holds nothing any more.
            if self._v1.subscription_schedules.retrieve(schedule).status in ("not_started", "active"):
                raise

    def checkout(self, session_id: str) -> CheckoutSession:
        with answered():
            try:
                return session_of(self._v1.checkout.sessions.retrieve(session_id, _WITH_LINES))
            except stripe.InvalidRequestError as error:
                if error.code != "resource_missing":
                    raise
                return CheckoutSession(session_id, "expired", None, datetime.now(UTC))

    def expire_checkout(self, session_id: str) -> CheckoutSession:
        with answered():
            try:
                return session_of(self._v1.checkout.sessions.expire(session_id))
            except stripe.InvalidRequestError:
                # It was paid or ran out in the meantime.
                return session_of(self._v1.checkout.sessions.retrieve(session_id))

    def open_checkouts(self, customer_id: str) -> tuple[str, ...]:
        with answered():
            try:
                listed = self._v1.checkout.sessions.list(
                    {"customer": customer_id, "status": "open", "limit": _PAGE}
                )
                found = list(bounded(listed, _MOST_SESSIONS, f"open pages of {customer_id}"))
            except stripe.InvalidRequestError as error:
                if error.code != "resource_missing":
                    raise
                return ()
        return tuple(session.id for session in found)

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
                visit: PortalCreateParams = {"customer": customer_id, "return_url": self._app_url}
                if self._portal:
                    visit["configuration"] = self._portal
                session = self._v1.billing_portal.sessions.create(visit)
            except stripe.InvalidRequestError as error:
                _refuse_gone_customer(error)
                raise
        return session.url

    def customer(self, customer_id: str, *, films: bool = False) -> Customer:
        with answered():
            try:
                if getattr(self._v1.customers.retrieve(customer_id), "deleted", False):
                    return Customer(deleted=True, subscriptions=())
                listed = self._v1.subscriptions.list(
                    {
                        "customer": customer_id,
                        "status": "all",
                        "limit": _PAGE,
                        "expand": ["data.default_payment_method"],
                    }
                )
                found = list(bounded(listed, _MOST_SUBSCRIPTIONS, f"subscriptions of {customer_id}"))
            except stripe.InvalidRequestError as error:
                if error.code != "resource_missing":
                    raise
                raise CustomerGoneError(customer_id) from None
            newest_first = sorted(found, key=lambda item: item.created, reverse=True)
            subscriptions = tuple(
                paid_subscription(item, self._bills.missed(item), self._bills.taken_back(item))
                for item in newest_first
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
        for session in bounded(finished, _MOST_SESSIONS, f"finished pages of {customer_id}"):
            sold = metadata_of(session)
            video_id, hours = as_uuid(sold.get("video_id", "")), sold.get("rental_hours", "")
            if video_id is None or session.payment_status == "unpaid":
                continue
            charge = getattr(session.payment_intent, "latest_charge", None)
            yield FilmPurchase(
                id=session.id,
                video_id=video_id,
                window_hours=int(hours) if hours.isdecimal() else None,
                paid_at=time_of(session.created),
                taken_back=self._bills.charge_taken_back(charge) if charge else None,
            )

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


def _refuse_gone_customer(error: stripe.InvalidRequestError) -> None:
    if error.code == "resource_missing" and error.param == "customer":
        raise CustomerGoneError from None
