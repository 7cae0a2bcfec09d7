"""What a customer, a bank or time would do, at a word: ``POST /sandbox/stripe/control``."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from infra.local.sandbox.stripe import lifecycle, payments
from infra.local.sandbox.stripe.book import Book, Object, shown
from infra.local.sandbox.stripe.errors import Refusal

#: Furthest the clock goes ahead at once, in seconds: about three years.
_FURTHEST = 1100 * 86400


def control(book: Book, order: Any) -> Object:
    """Carry out ``{email|customer|subscription, action}`` or ``{action: "advance", to: <RFC 3339 time>}``.

    Returns:
        ``{"ok": true, "subscription": {…}}``, or ``{"ok": true, "now": <time>}`` for advance.

    Raises:
        Refusal: 404 for nobody of that name, 422 for anything else that cannot be done.
    """
    if not isinstance(order, dict):
        raise Refusal("The body must be a JSON object.", status=422)
    action = order.get("action")
    if action == "advance":
        return {"ok": True, "now": _advance(book, order)}
    if not isinstance(action, str) or action not in _ACTIONS:
        raise Refusal(
            f"action must be one of {', '.join([*_ACTIONS, 'advance'])}.", status=422, param="action"
        )
    extra = order.keys() - {"action", "email", "customer", "subscription"}
    if extra:
        raise Refusal(f"Unknown fields: {', '.join(sorted(extra))}.", status=422)
    subscription = _subscription(book, order)
    if subscription["status"] == "canceled" and action not in ("refund", "dispute_lost"):
        raise Refusal(f"The subscription {subscription['id']} is canceled.", status=422)
    try:
        _ACTIONS[action](book, subscription)
    except Refusal as refusal:
        raise Refusal(str(refusal), status=422) from refusal
    return {"ok": True, "subscription": shown(book.get("subscription", subscription["id"]))}


def _subscription(book: Book, order: Mapping[str, Any]) -> Object:
    """The subscription meant: of several, the latest that lives, or else the latest."""
    named = [name for name in ("email", "customer", "subscription") if isinstance(order.get(name), str)]
    if len(named) != 1:
        raise Refusal("Name one of email, customer and subscription.", status=422)
    by, value = named[0], order[named[0]]
    if by == "email":
        wanted = value.lower()
        owners = {c["id"] for c in book.all("customer") if (c.get("email") or "").lower() == wanted}
    else:
        owners = {value}
    field = "id" if by == "subscription" else "customer"
    found = [s for s in book.all("subscription") if s[field] in owners]
    if not found:
        raise Refusal(f"No subscription of {by} {value}.", status=404)
    return max(reversed(found), key=lambda s: s["status"] != "canceled")


def _advance(book: Book, order: Mapping[str, Any]) -> str:
    text = order.get("to")
    try:
        moment = datetime.fromisoformat(text if isinstance(text, str) else "")
    except ValueError:
        raise Refusal(
            "to must be an RFC 3339 time such as 2027-01-31T12:00:00Z.", status=422, param="to"
        ) from None
    if moment.tzinfo is None:
        raise Refusal("to must say its offset from UTC, such as Z.", status=422, param="to")
    seconds = moment.timestamp()
    if not 0 <= seconds - book.now() <= _FURTHEST:
        now = datetime.fromtimestamp(book.now(), UTC).isoformat()
        raise Refusal(
            f"The clock stands at {now} and goes forward only, three years at most.", status=422, param="to"
        )
    lifecycle.catch_up(book, int(seconds))
    book.move_clock(seconds)
    return datetime.fromtimestamp(book.now(), UTC).isoformat().replace("+00:00", "Z")


def _fail_payment(book: Book, subscription: Object) -> None:
    """The period ends now and the card refuses, as if now were the day of renewal."""
    if subscription["status"] == "past_due":
        raise Refusal("The subscription is past due already.")
    lifecycle.renew(book, subscription, declined=True, at_once=True)
    if subscription["status"] != "past_due":
        raise Refusal("Nothing was due, so nothing could fail (collection is paused, or the price is nil).")


def _renew(book: Book, subscription: Object) -> None:
    if subscription["cancel_at_period_end"]:
        raise Refusal("The subscription ends with its period: it does not renew.")
    if subscription["status"] == "past_due":
        raise Refusal("The subscription is past due: recover it first.")
    lifecycle.renew(book, subscription)


def _resume(book: Book, subscription: Object) -> None:
    """Takes back a pause and a cancellation to come."""
    if not subscription["pause_collection"] and not subscription["cancel_at_period_end"]:
        raise Refusal("The subscription is neither paused nor ending: there is nothing to resume.")
    changes = lifecycle.ending(book, subscription, False) | {"pause_collection": None}
    book.change(subscription, "customer.subscription.updated", **changes)


def _refund(book: Book, subscription: Object) -> None:
    payments.refund(book, _last_charge(book, subscription), reason="requested_by_customer")


def _dispute_lost(book: Book, subscription: Object) -> None:
    payments.lose_dispute(book, _last_charge(book, subscription))


def _last_charge(book: Book, subscription: Object) -> Object:
    charge = payments.last_paid_charge(book, subscription)
    if charge is None:
        raise Refusal("Nothing has been paid for the subscription yet.")
    return charge


_ACTIONS: dict[str, Callable[[Book, Object], object]] = {
    "renew": _renew,
    "fail_payment": _fail_payment,
    "recover": lifecycle.recover,
    "cancel": lifecycle.cancel,
    "cancel_at_period_end": lifecycle.cancel_at_period_end,
    "pause": lifecycle.pause,
    "resume": _resume,
    "refund": _refund,
    "dispute_lost": _dispute_lost,
}
