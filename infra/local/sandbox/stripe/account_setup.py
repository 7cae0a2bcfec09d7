"""How the account is set up: what the billing portal offers, and where webhooks go."""

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from infra.local.sandbox.deliveries import Channel, Deliveries
from infra.local.sandbox.stripe.book import API_VERSION, CHANNEL, Book, Object, new_id
from infra.local.sandbox.stripe.catalog import cleared, merged_metadata
from infra.local.sandbox.stripe.errors import Refusal

#: The installation's own endpoint. Every event goes there, whatever it is told to want.
OWN_ENDPOINT = "we_sandbox"

_OFF: Object = {"enabled": False}
_FEATURES: Object = {
    "customer_update": {"allowed_updates": [], "enabled": False},
    "invoice_history": _OFF,
    "payment_method_update": {"enabled": False, "payment_method_configuration": None},
    "subscription_cancel": {
        "cancellation_reason": {"enabled": False, "options": []},
        "enabled": False,
        "mode": "at_period_end",
        "proration_behavior": "none",
    },
    "subscription_pause": _OFF,
    "subscription_update": {
        "billing_cycle_anchor": None,
        "default_allowed_updates": [],
        "enabled": False,
        "proration_behavior": "none",
        "schedule_at_period_end": {"conditions": []},
        "trial_update_behavior": "end_trial",
    },
}


def seed(book: Book, deliveries: Deliveries, url: str, secret: str) -> None:
    """The portal's default configuration, which offers every plan, and the installation's own endpoint."""
    deliveries.register(Channel(CHANNEL, url, "Stripe-Signature", secret, timeout=10))
    book.keep(_endpoint(book, OWN_ENDPOINT, url, secret, {"enabled_events": ["*"]}))
    for endpoint in book.all("webhook_endpoint"):
        _register(deliveries, endpoint)
    if not any(found["is_default"] for found in book.all("billing_portal.configuration")):
        book.keep(_configuration(book, {"features": {}}) | {"is_default": True})
    default = next(found for found in book.all("billing_portal.configuration") if found["is_default"])
    prices = [price for price in book.all("price") if price["lookup_key"]]
    default["features"] = _features(
        default["features"],
        {
            "subscription_cancel": {"enabled": True},
            "subscription_update": {
                "enabled": True,
                "default_allowed_updates": ["price"],
                "proration_behavior": "always_invoice",
                "products": [{"product": price["product"], "prices": [price["id"]]} for price in prices],
                "schedule_at_period_end": {"conditions": [{"type": "decreasing_item_amount"}]},
            },
        },
    )
    book.keep(default)


def create_configuration(book: Book, given: Mapping[str, Any]) -> Object:
    """POST /v1/billing_portal/configurations."""
    _check_features(book, given["features"])
    return book.create(_configuration(book, given), "billing_portal.configuration.created")


def update_configuration(book: Book, id: str, given: Mapping[str, Any]) -> Object:
    """POST /v1/billing_portal/configurations/:id."""
    found = book.get("billing_portal.configuration", id)
    _check_features(book, given.get("features", {}))
    changes = cleared(given) | merged_metadata(found, given) | {"updated": book.now()}
    if "features" in given:
        changes["features"] = _features(found["features"], given["features"])
    return book.change(found, "billing_portal.configuration.updated", **changes)


def create_endpoint(book: Book, deliveries: Deliveries, given: Mapping[str, Any]) -> Object:
    """POST /v1/webhook_endpoints: the only answer that holds the secret."""
    _check_url(given["url"])
    if "connect" in given:
        raise Refusal("The sandbox does not model the parameter: connect (Stripe knows it).", param="connect")
    made = _endpoint(
        book, new_id("webhook_endpoint"), given["url"], f"whsec_{secrets.token_urlsafe(24)}", given
    )
    book.keep(made)
    _register(deliveries, made)
    return made | {"secret": made["_secret"]}


def update_endpoint(book: Book, deliveries: Deliveries, id: str, given: Mapping[str, Any]) -> Object:
    """POST /v1/webhook_endpoints/:id."""
    found = book.get("webhook_endpoint", id)
    if "url" in given:
        _check_url(given["url"])
    changes = cleared(given) | merged_metadata(found, given)
    if "disabled" in changes:
        changes["status"] = "disabled" if changes.pop("disabled") else "enabled"
    book.change(found, None, **changes)
    _register(deliveries, found)
    return found


def _configuration(book: Book, given: Mapping[str, Any]) -> Object:
    now = book.now()
    profile = {"headline": None, "privacy_policy_url": None, "terms_of_service_url": None}
    return {
        "id": new_id("billing_portal.configuration"),
        "object": "billing_portal.configuration",
        "active": True,
        "application": None,
        "business_profile": profile | given.get("business_profile", {}),
        "created": now,
        "default_return_url": given.get("default_return_url"),
        "features": _features(_FEATURES, given["features"]),
        "is_default": False,
        "livemode": False,
        "login_page": {"enabled": False, "url": None},
        "metadata": dict(given.get("metadata", {})),
        "name": given.get("name"),
        "updated": now,
    }


def _features(before: Object, given: Mapping[str, Any]) -> Object:
    return {name: before[name] | given.get(name, {}) for name in _FEATURES}


def _check_features(book: Book, features: Mapping[str, Any]) -> None:
    update = features.get("subscription_update", {})
    where = "features[subscription_update]"
    if update.get("enabled") and not update.get("products"):
        raise Refusal("Products must be set if subscription updates are enabled.", param=f"{where}[products]")
    named = [offered["product"] for offered in update.get("products") or []]
    if len(named) != len(set(named)):
        raise Refusal("A product can be listed once only.", param=f"{where}[products]")
    for number, offered in enumerate(update.get("products") or []):
        book.get("product", offered["product"], f"{where}[products][{number}][product]")
        for index, price_id in enumerate(offered["prices"]):
            param = f"{where}[products][{number}][prices][{index}]"
            price = book.get("price", price_id, param)
            if price["product"] != offered["product"] or not price["active"]:
                raise Refusal(f"The price {price_id} is not an active one of this product.", param=param)


def _check_url(url: str) -> None:
    address = urlsplit(url)
    if address.scheme not in ("http", "https") or not address.netloc:
        raise Refusal("Invalid URL: An explicit scheme (such as https) must be provided.", param="url")


def _endpoint(book: Book, id: str, url: str, secret: str, given: Mapping[str, Any]) -> Object:
    return {
        "id": id,
        "object": "webhook_endpoint",
        "api_version": given.get("api_version", API_VERSION),
        "application": None,
        "created": book.now(),
        "description": given.get("description"),
        "enabled_events": list(given["enabled_events"]),
        "livemode": False,
        "metadata": dict(given.get("metadata", {})),
        "status": "enabled",
        "url": url,
        "_secret": secret,
    }


def _register(deliveries: Deliveries, endpoint: Object) -> None:
    if endpoint["id"] != OWN_ENDPOINT:
        name = f"{CHANNEL}.{endpoint['id']}"
        deliveries.register(
            Channel(name, endpoint["url"], "Stripe-Signature", endpoint["_secret"], timeout=10)
        )
