"""Lists and expanded fields, the same for every kind of object."""

from collections.abc import Callable, Mapping
from typing import Any

from infra.local.sandbox.stripe.book import Book, Object, shown
from infra.local.sandbox.stripe.errors import Refusal, exclusive, missing

#: (object, field) -> the kind of object whose id the field holds.
_REFERENCES = {
    ("charge", "customer"): "customer",
    ("charge", "payment_intent"): "payment_intent",
    ("checkout.session", "customer"): "customer",
    ("checkout.session", "invoice"): "invoice",
    ("checkout.session", "payment_intent"): "payment_intent",
    ("checkout.session", "subscription"): "subscription",
    ("discount", "customer"): "customer",
    ("discount", "promotion_code"): "promotion_code",
    ("dispute", "charge"): "charge",
    ("radar.early_fraud_warning", "charge"): "charge",
    ("radar.early_fraud_warning", "payment_intent"): "payment_intent",
    ("dispute", "payment_intent"): "payment_intent",
    ("invoice", "customer"): "customer",
    ("invoice", "default_payment_method"): "payment_method",
    ("invoice", "discounts"): "discount",
    ("invoice_payment", "invoice"): "invoice",
    ("payment", "charge"): "charge",
    ("payment", "payment_intent"): "payment_intent",
    ("payment_intent", "customer"): "customer",
    ("payment_intent", "latest_charge"): "charge",
    ("payment_intent", "payment_method"): "payment_method",
    ("price", "product"): "product",
    ("product", "default_price"): "price",
    ("promotion", "coupon"): "coupon",
    ("promotion_code", "customer"): "customer",
    ("refund", "charge"): "charge",
    ("refund", "payment_intent"): "payment_intent",
    ("source", "coupon"): "coupon",
    ("subscription", "customer"): "customer",
    ("subscription", "default_payment_method"): "payment_method",
    ("subscription", "discounts"): "discount",
    ("subscription", "latest_invoice"): "invoice",
    ("subscription_details", "subscription"): "subscription",
}
_DEEPEST = 4


def listing(items: list[Any], url: str, has_more: bool = False) -> Object:
    """A list object."""
    return {"object": "list", "data": items, "has_more": has_more, "url": url}


def page(found: list[Object], parameters: Mapping[str, Any], url: str) -> Object:
    """The page asked for, newest first.

    Args:
        found: Everything that matches, oldest first.
        parameters: May hold ``limit`` (1 to 100), ``starting_after`` or ``ending_before``, and ``created``.
        url: The list's own path.
    """
    limit = parameters.get("limit", 10)
    if not 1 <= limit <= 100:
        raise Refusal(
            f"Invalid integer: {limit}. It must be between 1 and 100.",
            code="parameter_invalid_integer",
            param="limit",
        )
    after, before = parameters.get("starting_after"), parameters.get("ending_before")
    if after and before:
        raise exclusive("starting_after", "ending_before")
    newest = [thing for thing in reversed(found) if within(thing.get("created"), parameters.get("created"))]
    ids = [thing["id"] for thing in newest]
    for param, edge in (("starting_after", after), ("ending_before", before)):
        if edge and edge not in ids:
            raise missing("object", edge, param)
    if before:
        earlier = newest[: ids.index(before)]
        return listing(earlier[-limit:], url, len(earlier) > limit)
    rest = newest[ids.index(after) + 1 :] if after else newest
    return listing(rest[:limit], url, len(rest) > limit)


def within(moment: int | None, bounds: int | Mapping[str, int] | None) -> bool:
    """Whether a time lies in a filter such as ``created``: one second or any of gt, gte, lt, lte."""
    if bounds is None:
        return True
    if moment is None:
        return False
    if isinstance(bounds, int):
        return moment == bounds
    holds: dict[str, Callable[[int, int], bool]] = {
        "gt": lambda a, b: a > b,
        "gte": lambda a, b: a >= b,
        "lt": lambda a, b: a < b,
        "lte": lambda a, b: a <= b,
    }
    return all(holds[name](moment, bound) for name, bound in bounds.items())


def expand(book: Book, answer: Object, paths: list[str]) -> Object:
    """The answer with the fields named by ``paths`` (``data.latest_invoice.payments``) filled in."""
    answer = shown(answer) if not paths else answer
    for path in paths:
        steps = path.split(".")
        if len(steps) > _DEEPEST + (answer.get("object") == "list"):
            raise Refusal(
                f"You cannot expand more than 4 levels of a property. Property: {path}", param="expand"
            )
        _open(book, answer, steps, path)
    shown_answer: Object = shown(answer)
    return shown_answer


def _open(book: Book, place: Any, steps: list[str], path: str, named: str = "") -> None:
    """Fill in ``steps[0]`` of ``place`` (an object, or every element of a list) and go on below it."""
    if isinstance(place, list):
        for element in place:
            _open(book, element, steps, path, named)
        return
    if not isinstance(place, dict) or not steps:
        return
    step, below = steps[0], steps[1:]
    kind = (place.get("object") or named, step)
    if step not in place or kind in _REFERENCES or kind in _HIDDEN:
        _fill(book, place, kind, path)
    elif not below and step != "data" and not isinstance(place[step], dict):
        raise _unexpandable(place, step, path)
    _open(book, place.get(step), below, path, step)


def _fill(book: Book, place: Object, kind: tuple[str, str], path: str) -> None:
    step = kind[1]
    if kind in _HIDDEN:
        place.setdefault(step, _HIDDEN[kind](book, place))
        return
    if kind not in _REFERENCES:
        raise _unexpandable(place, step, path)
    value, target = place[step], _REFERENCES[kind]
    if isinstance(value, list):
        place[step] = [book.find(target, v) if isinstance(v, str) else v for v in value]
    elif isinstance(value, str):
        found = book.find(target, value)
        place[step] = found if found is not None else value


def _unexpandable(place: Object, step: str, path: str) -> Refusal:
    hint = f" You may want to try expanding 'data.{step}' instead." if place.get("object") == "list" else ""
    return Refusal(f"This property cannot be expanded ({path}).{hint}", param="expand")


def _payments(book: Book, invoice: Object) -> Object:
    found = [p for p in book.all("invoice_payment") if p["invoice"] == invoice["id"]]
    return listing(found[::-1], f"/v1/invoice_payments?invoice={invoice['id']}")


def _refunds(book: Book, charge: Object) -> Object:
    found = [r for r in book.all("refund") if r["charge"] == charge["id"]]
    return listing(found[::-1], f"/v1/charges/{charge['id']}/refunds")


def _subscriptions(book: Book, customer: Object) -> Object:
    found = [s for s in book.all("subscription") if s["customer"] == customer["id"]]
    living = [s for s in found if s["status"] != "canceled"]
    return listing(living[::-1], f"/v1/customers/{customer['id']}/subscriptions")


def _line_items(book: Book, session: Object) -> Object:
    return listing(list(session["_line_items"]), f"/v1/checkout/sessions/{session['id']}/line_items")


#: Fields that are left out unless asked for, and what makes them.
_HIDDEN: dict[tuple[str, str], Callable[[Book, Object], Object]] = {
    ("invoice", "payments"): _payments,
    ("charge", "refunds"): _refunds,
    ("customer", "subscriptions"): _subscriptions,
    ("checkout.session", "line_items"): _line_items,
}
