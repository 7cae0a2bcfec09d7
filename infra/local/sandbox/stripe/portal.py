"""What a customer does in the billing portal, as far as its configuration offers it."""

from collections.abc import Mapping

from infra.local.sandbox.stripe import lifecycle
from infra.local.sandbox.stripe.book import Book, Object
from infra.local.sandbox.stripe.errors import Refusal


def offered(book: Book, session: Object) -> list[Object]:
    """The prices a subscription can be changed to."""
    update = _features(book, session)["subscription_update"]
    if not update["enabled"] or "price" not in update["default_allowed_updates"]:
        return []
    return [book.get("price", price_id) for product in update["products"] for price_id in product["prices"]]


def act(book: Book, session: Object, subscription: Object, form: Mapping[str, str]) -> None:
    """Press a button: `cancel`, `resume`, or `change` to another price."""
    action, features = form.get("action"), _features(book, session)
    if action == "cancel" and features["subscription_cancel"]["enabled"]:
        if features["subscription_cancel"]["mode"] == "immediately":
            lifecycle.cancel(book, subscription)
        else:
            lifecycle.cancel_at_period_end(book, subscription)
    elif action == "resume":
        lifecycle.cancel_at_period_end(book, subscription, False)
    elif action == "change":
        price = next((p for p in offered(book, session) if p["id"] == form.get("price")), None)
        if price is None:
            raise Refusal("This plan is not offered.")
        _change(book, subscription, price, features["subscription_update"])
    else:
        raise Refusal("The portal's configuration does not offer this.")


def _change(book: Book, subscription: Object, price: Object, update: Object) -> None:
    item = subscription["items"]["data"][0]
    if item["price"]["id"] == price["id"]:
        raise Refusal("This is the plan there is.")
    conditions = {condition["type"] for condition in update["schedule_at_period_end"]["conditions"]}
    later = (
        "decreasing_item_amount" in conditions and price["unit_amount"] < item["price"]["unit_amount"]
    ) or ("shortening_interval" in conditions and _days(price) < _days(item["price"]))
    if later:
        lifecycle.change_at_period_end(book, subscription, price)
    else:
        lifecycle.change_now(book, subscription, price, update["proration_behavior"])


def _features(book: Book, session: Object) -> Object:
    features: Object = book.get("billing_portal.configuration", session["configuration"])["features"]
    return features


def _days(price: Object) -> int:
    length = {"day": 1, "week": 7, "month": 30, "year": 365}
    return length[price["recurring"]["interval"]] * int(price["recurring"]["interval_count"])
