"""What is asked of Stripe to open a page to pay on, and what it says of one."""

import uuid
from typing import TYPE_CHECKING

import stripe

from lib.adapters.stripe_objects import metadata_of, time_of
from lib.billing.ports import CheckoutSession, Film
from lib.config import CheckoutSettings, Plan

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams


def plan_page(
    basis: "SessionCreateParams", *, user_id: uuid.UUID, plan: Plan, price_id: str, trial_days: int
) -> "SessionCreateParams":
    """A page that begins a subscription."""
    metadata = {"user_id": str(user_id), "plan": plan.code}
    wanted: SessionCreateParams = {
        **basis,
        "mode": "subscription",
        "metadata": metadata,
        "subscription_data": {"metadata": metadata},
        "line_items": [{"price": price_id, "quantity": 1}],
    }
    if trial_days:
        wanted["subscription_data"]["trial_period_days"] = trial_days
    return wanted


def film_page(basis: "SessionCreateParams", *, user_id: uuid.UUID, film: Film) -> "SessionCreateParams":
    """A page that sells one film. Its terms are written on the page: a film's offer may change later."""
    metadata = {"user_id": str(user_id), "video_id": str(film.id)}
    if film.rental_hours is not None:
        metadata["rental_hours"] = str(film.rental_hours)
    return {
        **basis,
        "mode": "payment",
        "metadata": metadata,
        "payment_intent_data": {"metadata": metadata},
        "line_items": [
            {
                "price_data": {
                    "currency": film.currency,
                    "unit_amount": film.amount,
                    "product_data": {"name": film.title},
                },
                "quantity": 1,
            }
        ],
    }


def basis_of_page(
    settings: CheckoutSettings,
    *,
    app_url: str,
    customer_id: str,
    user_id: uuid.UUID,
    promotion_id: str | None,
) -> "SessionCreateParams":
    """What all pages have in common."""
    basis: SessionCreateParams = {
        "customer": customer_id,
        "expand": ["line_items"],
        # Cards and wallets. Methods that pay days later would leave a finished page without a
        # subscription, and a second page could sell a second one: docs/decisions/0010.
        "allowed_payment_method_types": ["card"],
        "client_reference_id": str(user_id),
        "success_url": f"{app_url}/checkout/success?session_id={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{app_url}/checkout/canceled",
    }
    # Stripe takes one or the other.
    if promotion_id is not None:
        basis["discounts"] = [{"promotion_code": promotion_id}]
    elif settings.promotion_codes:
        basis["allow_promotion_codes"] = True
    if settings.automatic_tax:
        basis["automatic_tax"] = {"enabled": True}
        # The tax depends on where the customer lives, which they tell on the page.
        basis["customer_update"] = {"address": "auto"}
    if settings.terms:
        basis["consent_collection"] = {"terms_of_service": "required"}
    return basis


def session_of(session: stripe.checkout.Session) -> CheckoutSession:
    state = session.status or "expired"
    url = session.url if state == "open" else None
    return CheckoutSession(session.id, state, url, time_of(session.expires_at), _offer(session))


def _offer(session: stripe.checkout.Session) -> str | None:
    """By its price where Stripe keeps one; a film's is made for the page alone."""
    # Told where it was asked for.
    lines = getattr(session, "line_items", None)
    price: stripe.Price | None = lines.data[0].price if lines else None
    if price is None:
        return None
    if session.mode == "subscription":
        return price.id
    hours = metadata_of(session).get("rental_hours")
    return offer_of_film(price.unit_amount, price.currency, hours)


def offer_of_film(amount: int | None, currency: str, rental_hours: int | str | None) -> str:
    return f"{amount} {currency} {rental_hours or 'for good'}"
