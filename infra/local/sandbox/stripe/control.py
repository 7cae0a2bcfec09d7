"""What a customer, a bank or time would do, at a word: ``POST /sandbox/stripe/control``."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from infra.local.sandbox.stripe import lifecycle, objects, payments
from infra.local.sandbox.stripe.book import Book, Object, shown
from infra.local.sandbox.stripe.errors import Refusal

#: Furthest the clock goes ahead at once, in seconds: about three years.
_FURTHEST = 1100 * 86400


def control(book: Book, order: Any) -> Object:
    """Carry out ``{email|customer|subscription|session, action, amount?}`` or ``{action: "advance", to: <RFC 3339 time>}``.

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
    if not isinstance(action, str) or action not in {*_ACTIONS, *_OF_A_CHARGE}:
        raise Refusal(
            f"action must be one of {', '.join([*_ACTIONS, *_OF_A_CHARGE, 'advance'])}.",
            status=422,
            param="action",
        )
    extra = order.keys() - {"action", "email", "customer", "subscription", "session", "amount"}
    if extra:
        raise Refusal(f"Unknown fields: {', '.join(sorted(extra))}.", status=422)
    if action in _OF_A_CHARGE:
        return _on_charge(book, order, _OF_A_CHARGE[action])
    if extra := order.keys() & {"session", "amount"}:
        raise Refusal(f"{action} does not take {', '.join(sorted(extra))}.", status=422)
    subscription = _subscription(book, order)
    if subscription["status"] == "canceled":
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


def _on_charge(
    book: Book, order: Mapping[str, Any], act: Callable[[Book, Object, int | None], object]
) -> Object:
    """What banks do is done to a payment: a subscription's last one, or that of a checkout session for once."""
    amount = order.get("amount")
    if amount is not None and (not isinstance(amount, int) or isinstance(amount, bool)):
        raise Refusal("amount must be a whole number.", status=422, param="amount")
    if "session" in order:
        session = book.find("checkout.session", str(order["session"]))
        if session is None or session["payment_intent"] is None:
            raise Refusal("There is no such session that was paid once.", status=404)
        charge = book.get("charge", book.get("payment_intent", session["payment_intent"])["latest_charge"])
        told: Object = {"session": shown(session)}
    else:
        subscription = _subscription(book, order)
        try:
            charge = _last_charge(book, subscription)
        except Refusal as refusal:
            raise Refusal(str(refusal), status=422) from refusal
        told = {"subscription": shown(subscription)}
    try:
        act(book, charge, amount)
    except Refusal as refusal:
        raise Refusal(str(refusal), status=422) from refusal
    return {"ok": True, **told}


def _refund(book: Book, charge: Object, amount: int | None) -> None:
    payments.refund(book, charge, amount=amount, reason="requested_by_customer")


def _dispute(book: Book, charge: Object, _amount: int | None) -> None:
    payments.open_dispute(book, charge)


def _dispute_won(book: Book, charge: Object, _amount: int | None) -> None:
    payments.close_dispute(book, charge, "won")


def _dispute_lost(book: Book, charge: Object, _amount: int | None) -> None:
    if not charge["disputed"]:
        payments.open_dispute(book, charge)
    payments.close_dispute(book, charge, "lost")


def _early_fraud_warning(book: Book, charge: Object, _amount: int | None) -> None:
    book.create(objects.early_fraud_warning(book.now(), charge), "radar.early_fraud_warning.created")


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
}
_OF_A_CHARGE: dict[str, Callable[[Book, Object, int | None], object]] = {
    "refund": _refund,
    "dispute": _dispute,
    "dispute_won": _dispute_won,
    "dispute_lost": _dispute_lost,
    "early_fraud_warning": _early_fraud_warning,
}
