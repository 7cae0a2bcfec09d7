"""What is asked of Stripe to open a page to pay on."""

import uuid

from stripe.params.checkout import SessionCreateParams

from lib.billing.ports import Film
from lib.config import CheckoutSettings, Plan


def plan_page(
    basis: SessionCreateParams, *, user_id: uuid.UUID, plan: Plan, price_id: str, trial_days: int
) -> SessionCreateParams:
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


def film_page(basis: SessionCreateParams, *, user_id: uuid.UUID, film: Film) -> SessionCreateParams:
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
) -> SessionCreateParams:
    """What all pages have in common."""
    basis: SessionCreateParams = {
        "customer": customer_id,
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
