"""A subscription's life: begun, renewed, missed, paused, changed, ended; and what falls due as time passes."""

import calendar
import copy
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from infra.local.sandbox.stripe import objects, payments
from infra.local.sandbox.stripe.book import Book, Object
from infra.local.sandbox.stripe.errors import Refusal

_DAY = 86400
#: Seconds before a trial's end at which Stripe reminds.
_TRIAL_REMINDER = 3 * _DAY


def period_end(anchor: int, recurring: Object, start: int) -> int:
    """The first renewal after ``start`` of a cycle anchored at ``anchor`` (the 31st renews on shorter months' last)."""
    count, interval = recurring["interval_count"], recurring["interval"]
    origin = datetime.fromtimestamp(anchor, UTC)
    cycles = 0
    while True:
        cycles += count
        if interval in ("day", "week"):
            moment = origin + timedelta(days=cycles * (7 if interval == "week" else 1))
        else:
            months = origin.month - 1 + cycles * (12 if interval == "year" else 1)
            year, month = origin.year + months // 12, months % 12 + 1
            moment = origin.replace(
                year=year, month=month, day=min(origin.day, calendar.monthrange(year, month)[1])
            )
        if moment.timestamp() > start:
            return int(moment.timestamp())


def period(subscription: Object) -> tuple[int, int]:
    """The current period of the subscription's items, as start and end."""
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def subscribe(
    book: Book,
    customer: Object,
    lines: list[tuple[Object, int]],
    *,
    metadata: dict[str, str],
    description: str | None = None,
    trial_end: int | None = None,
    discount: tuple[str, str | None] | None = None,
    session: str = "",
) -> Object:
    """A subscription whose first invoice is paid.

    Args:
        book: Where it is written.
        customer: Who pays; has a default payment method.
        lines: Recurring prices and quantities.
        metadata: The subscription's.
        description: The subscription's.
        trial_end: Unix seconds; until then nothing is due.
        discount: Ids of a coupon and of the promotion code that gave it, if one did.
        session: Id of the checkout session it comes from.
    """
    now = book.now()
    made = objects.subscription(
        now,
        customer=customer["id"],
        currency=lines[0][0]["currency"],
        metadata=metadata,
        description=description,
        default_payment_method=customer["invoice_settings"]["default_payment_method"],
        status="trialing" if trial_end else "active",
        trial_start=now if trial_end else None,
        trial_end=trial_end,
        billing_cycle_anchor=trial_end or now,
    )
    end = trial_end or period_end(now, lines[0][0]["recurring"], now)
    made["items"]["data"] = [
        objects.subscription_item(now, made["id"], price, quantity, (now, end)) for price, quantity in lines
    ]
    if discount:
        coupon, code = discount
        applied = objects.discount(
            now, coupon=coupon, promotion_code=code, subscription=made, session=session
        )
        book.create(applied, "customer.discount.created")
        made["discounts"] = [applied["id"]]
    bill = _bill(book, made, "subscription_create", _due_lines(book, made))
    made["latest_invoice"] = bill["id"]
    book.create(made, "customer.subscription.created")
    payments.attempt(book, bill)
    return made


def renew(book: Book, subscription: Object, *, declined: bool = False, at_once: bool = False) -> Object:
    """Begin the next period and bill it.

    Args:
        book: Where it is written.
        subscription: Active, trialing or past due.
        declined: The card refuses: the invoice stays open and the subscription is past due.
        at_once: The period ends now instead of at its end, so that it starts when the bill is missed.
    """
    now, (_, end) = book.now(), period(subscription)
    start = now if at_once else end
    anchor = (
        start if at_once or subscription["status"] == "trialing" else subscription["billing_cycle_anchor"]
    )
    recurring = subscription["items"]["data"][0]["price"]["recurring"]
    items: Object = subscription["items"]
    if following := subscription.get("_next_price"):
        items = _with_price(items, book.get("price", following))
    changes: dict[str, Any] = {"billing_cycle_anchor": anchor} | leave_schedule(book, subscription)
    changes["items"] = _with_period(items, start, period_end(anchor, recurring, start))
    changes["discounts"] = _lasting(book, subscription)
    if subscription["status"] == "trialing":
        changes.update(status="active", trial_end=min(subscription["trial_end"], start))
    provisional = subscription | changes
    bill = _bill(book, provisional, "subscription_cycle", _due_lines(book, provisional))
    changes.update(latest_invoice=bill["id"], _pending_lines=[])
    if subscription["pause_collection"]:
        _leave_uncollected(book, bill, subscription["pause_collection"]["behavior"])
    elif not payments.attempt(book, bill, declined=declined):
        changes["status"] = "past_due"
    return book.change(subscription, "customer.subscription.updated", **changes)


def recover(book: Book, subscription: Object) -> Object:
    """The bank gives in: what is open is paid and the subscription is active again."""
    if subscription["status"] != "past_due":
        raise Refusal(
            f"The subscription is {subscription['status']}, not past due: there is nothing to recover."
        )
    for bill in open_invoices(book, subscription):
        payments.attempt(book, bill)
    return book.change(subscription, "customer.subscription.updated", status="active")


def cancel(
    book: Book, subscription: Object, reason: str = "cancellation_requested", **details: Any
) -> Object:
    """End it now; open invoices are no longer collected."""
    now = book.now()
    for bill in open_invoices(book, subscription):
        book.change(bill, None, auto_advance=False, next_payment_attempt=None)
    book.change(
        subscription,
        None,
        status="canceled",
        canceled_at=subscription["canceled_at"] or now,
        ended_at=now,
        cancel_at_period_end=False,
        cancel_at=None,
        pause_collection=None,
        cancellation_details=subscription["cancellation_details"] | {"reason": reason} | details,
        **leave_schedule(book, subscription),
    )
    book.tell("customer.subscription.deleted", subscription)
    return subscription


def ending(book: Book, subscription: Object, wanted: bool) -> dict[str, Any]:
    """The changes that let a subscription run out with its period, or no longer."""
    reason = "cancellation_requested" if wanted else None
    return {
        "cancel_at_period_end": wanted,
        "cancel_at": period(subscription)[1] if wanted else None,
        "canceled_at": book.now() if wanted else None,
        "cancellation_details": subscription["cancellation_details"] | {"reason": reason},
    }


def cancel_at_period_end(book: Book, subscription: Object, wanted: bool = True) -> Object:
    """Let it run out with its period, or no longer."""
    return book.change(subscription, "customer.subscription.updated", **ending(book, subscription, wanted))


def pause(book: Book, subscription: Object, behavior: str = "void", resumes_at: int | None = None) -> Object:
    """Stop collecting; the status stays what it was, as at Stripe."""
    paused = {"behavior": behavior, "resumes_at": resumes_at}
    return book.change(subscription, "customer.subscription.updated", pause_collection=paused)


def reprice(
    book: Book, subscription: Object, item: Object, price: Object, quantity: int, proration: str
) -> None:
    """Change what an item costs from now on.

    Args:
        book: Where it is written.
        subscription: Changed in place; the caller tells of it.
        item: One of its items.
        price: A recurring price of the same interval.
        quantity: The item's new quantity.
        proration: ``none``; ``create_prorations``: the difference goes on the next invoice;
            ``always_invoice``: it is billed at once.
    """
    start, end = period(subscription)
    share = (end - book.now()) / (end - start) if subscription["status"] != "trialing" else 0.0
    before = round(item["price"]["unit_amount"] * item["quantity"] * share)
    span = (book.now(), end)
    unused = objects.invoice_line(item, -before, span, "Unused time on the former plan", proration=True)
    objects.set_price(item, price)
    item["quantity"] = quantity
    after = round(price["unit_amount"] * quantity * share)
    remaining = objects.invoice_line(item, after, span, "Remaining time on the new plan", proration=True)
    if proration == "none" or not share:
        return
    lines = [*subscription.get("_pending_lines", []), unused, remaining]
    subscription["_pending_lines"] = lines
    if proration == "always_invoice":
        subscription["_pending_lines"] = []
        bill = _bill(book, subscription, "subscription_update", lines)
        subscription["latest_invoice"] = bill["id"]
        payments.attempt(book, bill)


def change_now(book: Book, subscription: Object, price: Object, proration: str) -> Object:
    """Another plan from this moment on, and what it costs more for the rest of the period."""
    after = copy.deepcopy(subscription)
    item = after["items"]["data"][0]
    reprice(book, after, item, price, item["quantity"], proration)
    after.update(leave_schedule(book, subscription))
    return book.change(subscription, "customer.subscription.updated", **after)


def change_at_period_end(book: Book, subscription: Object, price: Object) -> Object:
    """Another plan from the next period on; until then the one that is paid for."""
    leave_schedule(book, subscription)
    schedule = objects.subscription_schedule(book.now(), subscription, period(subscription))
    book.create(schedule, "subscription_schedule.created")
    return book.change(
        subscription,
        "customer.subscription.updated",
        schedule=schedule["id"],
        _next_price=price["id"],
    )


def leave_schedule(book: Book, subscription: Object) -> dict[str, Any]:
    """Releases it from its schedule, if it has one; the changes that are left to make."""
    schedule = book.find("subscription_schedule", subscription["schedule"])
    if schedule is not None:
        book.change(
            schedule,
            "subscription_schedule.released",
            status="released",
            released_at=book.now(),
            released_subscription=subscription["id"],
            subscription=None,
        )
    return {"schedule": None, "_next_price": None}


def open_invoices(book: Book, subscription: Object) -> list[Object]:
    """Its invoices that wait for payment."""
    return [
        invoice
        for invoice in book.all("invoice")
        if invoice["status"] == "open"
        and invoice["parent"]["subscription_details"]["subscription"] == subscription["id"]
    ]


def catch_up(book: Book, until: int) -> int | None:
    """Do what fell due up to ``until`` (Unix seconds), each thing at its moment; returns the next one's, if any."""
    for _ in range(10_000):
        first = min(_due(book), key=lambda due: due[0], default=None)
        if first is None or first[0] > until:
            return first[0] if first else None
        with book.at(first[0]):
            first[1]()
    raise RuntimeError("time does not pass: too many things fall due")


def _due(book: Book) -> Iterator[tuple[int, Callable[[], object]]]:
    for session in book.all("checkout.session"):
        if session["status"] == "open":
            yield session["expires_at"], partial(expire, book, session)
    for subscription in book.all("subscription"):
        if subscription["status"] != "canceled":
            yield from _due_of(book, subscription)


def _due_of(book: Book, subscription: Object) -> Iterator[tuple[int, Callable[[], object]]]:
    _, end = period(subscription)
    if subscription["cancel_at"]:
        yield subscription["cancel_at"], partial(cancel, book, subscription)
    if subscription["status"] == "trialing" and not subscription.get("_reminded"):
        yield max(end - _TRIAL_REMINDER, subscription["created"]), partial(_remind, book, subscription)
    if subscription["pause_collection"] and subscription["pause_collection"]["resumes_at"]:
        yield (
            subscription["pause_collection"]["resumes_at"],
            partial(book.change, subscription, "customer.subscription.updated", pause_collection=None),
        )
    if subscription["status"] == "past_due":
        for bill in open_invoices(book, subscription):
            if bill["next_payment_attempt"]:
                yield bill["next_payment_attempt"], partial(_retry, book, subscription, bill)
    elif not subscription["cancel_at"] or subscription["cancel_at"] > end:
        yield end, partial(renew, book, subscription)


def expire(book: Book, session: Object) -> Object:
    """Close a checkout session nobody paid."""
    book.change(session, None, status="expired", url=None)
    book.tell("checkout.session.expired", session)
    return session


def _remind(book: Book, subscription: Object) -> None:
    book.change(subscription, None, _reminded=True)
    book.tell("customer.subscription.trial_will_end", subscription)


def _retry(book: Book, subscription: Object, bill: Object) -> None:
    """The card that failed fails again; after the last attempt the subscription ends."""
    payments.attempt(book, bill, declined=True)
    if bill["next_payment_attempt"] is None:
        cancel(book, subscription, "payment_failed")


def _with_price(items: Object, price: Object) -> Object:
    changed = copy.deepcopy(items)
    objects.set_price(changed["data"][0], price)
    return changed


def _with_period(items: Object, start: int, end: int) -> Object:
    changed = {"current_period_start": start, "current_period_end": end, "billed_until": end}
    return items | {"data": [item | changed for item in items["data"]]}


def _due_lines(book: Book, subscription: Object) -> list[Object]:
    """The lines of the current period's invoice: nothing is due for a trial."""
    span = period(subscription)
    trial = subscription["status"] == "trialing"
    lines: list[Object] = list(subscription.get("_pending_lines", []))
    for item in subscription["items"]["data"]:
        name = book.get("product", item["price"]["product"])["name"]
        amount = 0 if trial else item["price"]["unit_amount"] * item["quantity"]
        what = f"Trial period for {name}" if trial else f"{item['quantity']} × {name}"
        lines.append(objects.invoice_line(item, amount, span, what, proration=False))
    return lines


def _bill(book: Book, subscription: Object, reason: str, lines: list[Object]) -> Object:
    """A finalized invoice with the subscription's discounts taken off."""
    customer = book.get("customer", subscription["customer"])
    bill = objects.invoice(book.now(), subscription, customer, reason=reason, lines=lines)
    taken: list[Object] = []
    for discount_id in subscription["discounts"]:
        coupon = book.get("coupon", book.get("discount", discount_id)["source"]["coupon"])
        off = reduction(coupon, bill["subtotal"] - sum(t["amount"] for t in taken))
        taken.append({"amount": off, "discount": discount_id})
    total = bill["subtotal"] - sum(t["amount"] for t in taken)
    # A balance below nothing is the customer's credit: bills take from it, and fill it when they are below nothing.
    before = customer["balance"]
    due = max(0, total + before)
    bill.update(
        discounts=list(subscription["discounts"]),
        total_discount_amounts=taken,
        total=total,
        total_excluding_tax=total,
        starting_balance=before,
        ending_balance=min(0, total + before),
        amount_due=due,
        amount_remaining=due,
    )
    number = customer["next_invoice_sequence"] + 1
    book.change(customer, None, next_invoice_sequence=number, balance=bill["ending_balance"])
    return book.create(bill, "invoice.created", "invoice.finalized")


def reduction(coupon: Object, amount: int) -> int:
    """What a coupon takes off ``amount``, in the smallest unit of its currency."""
    if coupon["percent_off"] is not None:
        return round(amount * float(coupon["percent_off"]) / 100)
    return min(amount, int(coupon["amount_off"]))


def _lasting(book: Book, subscription: Object) -> list[str]:
    """The discounts that still hold for the period that begins."""
    lasting = []
    for discount_id in subscription["discounts"]:
        discount = book.get("discount", discount_id)
        coupon = book.get("coupon", discount["source"]["coupon"])
        months = {"forever": None, "repeating": coupon["duration_in_months"]}.get(coupon["duration"], 0)
        if months is None or book.now() < discount["start"] + months * 30 * _DAY:
            lasting.append(discount_id)
    return lasting


def _leave_uncollected(book: Book, bill: Object, behavior: str) -> None:
    now, transitions = book.now(), bill["status_transitions"]
    if behavior == "void":
        book.change(bill, None, status="void", status_transitions=transitions | {"voided_at": now})
        book.tell("invoice.voided", bill)
    elif behavior == "mark_uncollectible":
        marked = transitions | {"marked_uncollectible_at": now}
        book.change(bill, None, status="uncollectible", status_transitions=marked)
        book.tell("invoice.marked_uncollectible", bill)
    else:
        book.change(bill, None, status="draft", status_transitions=transitions | {"finalized_at": None})
