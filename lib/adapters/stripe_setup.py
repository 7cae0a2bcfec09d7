"""The Stripe account as Streamly needs it: products, prices, portal, webhook endpoint. For the operator's command.

Everything is found again by a name of ours (a product's id, a price's lookup key, the portal's metadata, the endpoint's
address), so that it can be run as often as one likes: a second time there is nothing to do.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import stripe
from stripe.params.billing_portal import (
    ConfigurationCreateParamsFeatures,
    ConfigurationCreateParamsFeaturesSubscriptionUpdateProduct,
)

from lib.adapters.stripe_client import answered, connect
from lib.adapters.stripe_objects import metadata_of
from lib.config import Plan, StripeSettings


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs from what is wanted, and what makes it right: it answers facts worth showing."""

    what: str  # product | price | portal | webhook
    name: str
    action: str  # create | update | replace
    detail: str
    carry_out: Callable[[], dict[str, str]]


class StripeSetup:
    """Compares one Stripe account with PLANS, a step at a time: later steps need what earlier ones made.

    Args:
        webhook_url: where stripe-webhook listens; None leaves endpoints alone.
        events: the types of events it wants.
    """

    def __init__(
        self,
        settings: StripeSettings,
        plans: Sequence[Plan],
        *,
        app_url: str,
        webhook_url: str | None,
        events: Sequence[str],
    ) -> None:
        self._v1 = connect(settings).v1
        self._plans = [plan for plan in plans if plan.sold]
        self._app_url = app_url
        self._webhook_url = webhook_url
        self._events = sorted(events)

    def changes(self) -> Iterator[Change]:
        """What differs. Carry each out before the next is asked for, or none.

        Raises:
            UnavailableError: Stripe is out of reach.
        """
        moved = False
        for plan in self._plans:
            with answered():
                found = list(self._of_plan(plan))
            moved = moved or any(change.what == "price" for change in found)
            yield from found
        with answered():
            portal = self._of_portal(moved=moved)
        if portal is not None:
            yield portal
        if self._webhook_url is not None:
            with answered():
                webhook = self._of_webhook(self._webhook_url)
            if webhook is not None:
                yield webhook

    # -- products and prices ------------------------------------------------------------------------------

    def _of_plan(self, plan: Plan) -> Iterator[Change]:
        price = self._price(plan)
        product_id = price.product if price is not None else _product_id(plan)
        product = self._product(str(product_id))
        if product is None:
            yield Change(
                "product", plan.code, "create", f"{plan.name} ({product_id})", self._creating_product(plan)
            )
        elif product.name != plan.name:
            yield Change(
                "product",
                plan.code,
                "update",
                f"name: {product.name} → {plan.name}",
                self._naming_product(product.id, plan),
            )
        wanted = (plan.amount, plan.currency, plan.interval)
        if price is None:
            detail = f"{_money(*wanted)} as {plan.lookup_key}"
            yield Change("price", plan.code, "create", detail, self._creating_price(plan, str(product_id)))
        elif (found := _terms(price)) != wanted:
            detail = (
                f"{_money(*found)} → {_money(*wanted)}: a new price, {plan.lookup_key} moves to it; "
                "who pays the old one keeps it"
            )
            yield Change("price", plan.code, "replace", detail, self._creating_price(plan, str(product_id)))

    def _price(self, plan: Plan) -> stripe.Price | None:
        found = self._v1.prices.list({"lookup_keys": [plan.lookup_key], "active": True, "limit": 1}).data
        return found[0] if found else None

    def _product(self, product_id: str) -> stripe.Product | None:
        try:
            return self._v1.products.retrieve(product_id)
        except stripe.InvalidRequestError as error:
            if error.code != "resource_missing":
                raise
            return None

    def _creating_product(self, plan: Plan) -> Callable[[], dict[str, str]]:
        def carry_out() -> dict[str, str]:
            made = self._v1.products.create(
                {"id": _product_id(plan), "name": plan.name, "metadata": {"plan": plan.code}}
            )
            return {"id": made.id}

        return carry_out

    def _naming_product(self, product_id: str, plan: Plan) -> Callable[[], dict[str, str]]:
        return lambda: {"id": self._v1.products.update(product_id, {"name": plan.name}).id}

    def _creating_price(self, plan: Plan, product_id: str) -> Callable[[], dict[str, str]]:
        def carry_out() -> dict[str, str]:
            made = self._v1.prices.create(
                {
                    "product": product_id,
                    "currency": plan.currency,
                    "unit_amount": plan.amount,
                    "recurring": {"interval": plan.interval},
                    "lookup_key": plan.lookup_key,
                    "transfer_lookup_key": True,
                    "metadata": {"plan": plan.code},
                }
            )
            return {"id": made.id}

        return carry_out

    # -- the portal ---------------------------------------------------------------------------------------

    def _of_portal(self, *, moved: bool) -> Change | None:
        """A higher plan at once, for the difference; a lower one, or the end, with the period.

        Args:
            moved: a price is new, or would be.
        """
        listed = self._v1.billing_portal.configurations.list({"active": True, "limit": 100})
        ours = (each for each in listed.auto_paging_iter() if metadata_of(each).get("streamly") == "portal")
        found = next(ours, None)
        detail = f"plans: {', '.join(plan.code for plan in self._plans)}"
        if found is None:
            return Change("portal", "portal", "create", detail, self._creating_portal)
        same = metadata_of(found).get("offers") == _offers(self._prices())
        if same and found.default_return_url == self._app_url and not moved:
            return None

        def update() -> dict[str, str]:
            self._v1.billing_portal.configurations.update(found.id, self._portal_wanted())
            return {"id": found.id}

        return Change("portal", "portal", "update", detail, update)

    def _creating_portal(self) -> dict[str, str]:
        made = self._v1.billing_portal.configurations.create(self._portal_wanted())
        return {"id": made.id, "set": f"STRIPE_PORTAL_CONFIGURATION={made.id}"}

    def _portal_wanted(self) -> Any:
        prices = self._prices()
        return {
            "features": _features(prices),
            "default_return_url": self._app_url,
            "metadata": {"streamly": "portal", "offers": _offers(prices)},
        }

    def _prices(self) -> list[stripe.Price]:
        return [price for plan in self._plans if (price := self._price(plan)) is not None]

    # -- the webhook endpoint -----------------------------------------------------------------------------

    def _of_webhook(self, url: str) -> Change | None:
        endpoints = self._v1.webhook_endpoints.list({"limit": 100}).auto_paging_iter()
        found = next((each for each in endpoints if each.url == url), None)
        if found is None:
            detail = f"{url}, {len(self._events)} types of events"
            return Change("webhook", url, "create", detail, self._creating_webhook(url))
        if sorted(found.enabled_events) == self._events and found.status == "enabled":
            return None
        detail = f"{url}, {len(self._events)} types of events"
        return Change("webhook", url, "update", detail, self._updating_webhook(found.id))

    def _creating_webhook(self, url: str) -> Callable[[], dict[str, str]]:
        def carry_out() -> dict[str, str]:
            wanted: Any = {
                "url": url,
                "enabled_events": self._events,
                "api_version": stripe.api_version,
                "description": "Streamly",
            }
            made = self._v1.webhook_endpoints.create(wanted)
            # Told this once, by Stripe and by us.
            return {"id": made.id, "set": f"STRIPE_WEBHOOK_SECRETS={made.secret}"}

        return carry_out

    def _updating_webhook(self, endpoint_id: str) -> Callable[[], dict[str, str]]:
        def carry_out() -> dict[str, str]:
            wanted: Any = {"enabled_events": self._events, "disabled": False}
            self._v1.webhook_endpoints.update(endpoint_id, wanted)
            return {"id": endpoint_id}

        return carry_out


def _product_id(plan: Plan) -> str:
    return f"streamly_{plan.code}"


def _terms(price: stripe.Price) -> tuple[int | None, str, str]:
    return price.unit_amount, price.currency, price.recurring.interval if price.recurring else "once"


def _money(amount: int | None, currency: str, interval: str) -> str:
    return f"{amount} {currency} a {interval}"


def _offers(prices: list[stripe.Price]) -> str:
    """What the portal offers, short enough for metadata: Stripe does not tell it unasked."""
    return " ".join(sorted(price.id for price in prices))[:500]


def _products(prices: list[stripe.Price]) -> list[ConfigurationCreateParamsFeaturesSubscriptionUpdateProduct]:
    """Each product once, with the prices of all plans that share it: Stripe refuses it twice."""
    of_product: dict[str, list[str]] = {}
    for price in prices:
        of_product.setdefault(str(price.product), []).append(price.id)
    return [{"product": product, "prices": ids} for product, ids in of_product.items()]


def _features(prices: list[stripe.Price]) -> ConfigurationCreateParamsFeatures:
    return {
        "invoice_history": {"enabled": True},
        "payment_method_update": {"enabled": True},
        "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
        "subscription_update": {
            "enabled": True,
            "default_allowed_updates": ["price"],
            "proration_behavior": "always_invoice",
            "products": _products(prices),
            "schedule_at_period_end": {
                "conditions": [{"type": "decreasing_item_amount"}, {"type": "shortening_interval"}]
            },
        },
    }
