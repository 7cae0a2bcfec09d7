"""Checkout sessions: opened by the API, paid on their page."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from infra.local.sandbox.stripe import catalog, lifecycle, objects, payments
from infra.local.sandbox.stripe.book import Book, Object, new_id
from infra.local.sandbox.stripe.errors import Refusal, exclusive

_HOUR = 3600
_DAY = 86400
#: Parameters that only change what a real page looks like or asks: shown in the object, nothing more.
_ECHOED = (
    "allow_promotion_codes",
    "billing_address_collection",
    "client_reference_id",
    "consent_collection",
    "customer_email",
    "locale",
    "origin_context",
    "payment_method_collection",
    "phone_number_collection",
    "submit_type",
    "cancel_url",
    "success_url",
    "customer_creation",
)


def create(book: Book, given: Mapping[str, Any], page_base: str) -> Object:
    """POST /v1/checkout/sessions.

    Args:
        book: Where it is written.
        given: Checked parameters.
        page_base: Address of the payment page, to which the session's id is added.
    """
    now, mode = book.now(), _mode(given)
    _check_urls(given)
    _check_exclusive(given)
    if len(reference := given.get("client_reference_id", "x")) > 200 or not re.fullmatch(
        r"[\w-]+", reference, re.ASCII
    ):
        raise Refusal(
            "Invalid client_reference_id: at most 200 of A-Z a-z 0-9 _ -", param="client_reference_id"
        )
    customer = book.get("customer", given["customer"], "customer") if "customer" in given else None
    if customer and customer.get("deleted"):
        raise Refusal(f"No such customer: '{customer['id']}'", code="resource_missing", param="customer")
    _check_tax(given, customer)
    if others := set(given.get("consent_collection", {})) - {"terms_of_service"}:
        raise Refusal(
            f"The sandbox does not model the parameter: consent_collection[{min(others)}] (Stripe knows it).",
            param="consent_collection",
        )
    expires_at = given.get("expires_at", now + _DAY)
    # A little slack: the caller computed it from its own clock.
    if not now + _HOUR // 2 - 10 <= expires_at <= now + _DAY + 10:
        wrong = "at least 30 minutes" if expires_at < now + _DAY else "less than 24 hours"
        raise Refusal(
            f"The `expires_at` timestamp must be {wrong} from Checkout Session creation.", param="expires_at"
        )
    lines = _lines(book, given.get("line_items"), mode)
    discount = None
    for index, wanted in enumerate(given.get("discounts", [])):
        if index:
            raise Refusal("You can only apply one discount.", param="discounts")
        discount = catalog.redeemable(book, wanted, given.get("customer"), f"discounts[{index}]")
    if "card" not in given.get("allowed_payment_method_types", ["card"]):
        raise Refusal(
            "No valid payment method types for this Checkout Session.", param="allowed_payment_method_types"
        )
    trial_end = _trial_end(given.get("subscription_data", {}), now)
    session_id = new_id("checkout.session")
    session = objects.checkout_session(
        now, id=session_id, mode=mode, expires_at=expires_at, url=f"{page_base}/{session_id}"
    )
    session.update({name: given[name] for name in _ECHOED if name in given})
    session.update(
        automatic_tax=session["automatic_tax"] | given.get("automatic_tax", {}),
        customer=customer["id"] if customer else None,
        customer_creation=_customer_creation(given, mode),
        discounts=[{"coupon": None if discount[1] else discount[0], "promotion_code": discount[1]}]
        if discount
        else [],
        metadata=given.get("metadata", {}),
        allowed_payment_method_types=given.get("allowed_payment_method_types"),
        payment_method_collection=given.get(
            "payment_method_collection", "always" if mode == "subscription" else "if_required"
        ),
        _subscription_data=given.get("subscription_data", {}),
        _payment_intent_data=given.get("payment_intent_data", {}),
        _trial_end=trial_end,
        _lines=[[price["id"], quantity] for price, quantity in lines],
    )
    if customer:
        session["customer_details"] = _details(customer["email"])
    _total(book, session, lines, discount)
    return book.keep(session)


def expire(book: Book, id: str) -> Object:
    """POST /v1/checkout/sessions/:id/expire."""
    session = book.get("checkout.session", id)
    if session["status"] != "open":
        raise Refusal(
            f"This Checkout Session is in the status of `{session['status']}`. Only Checkout Sessions with a status in"
            ' ["open"] can be expired.'
        )
    return lifecycle.expire(book, session)


def redeem_on_page(book: Book, session: Object, code: str) -> None:
    """The customer types a promotion code on the page; refused if it does not hold."""
    if not session["allow_promotion_codes"]:
        raise Refusal("This session takes no promotion codes.")
    found = [c for c in book.all("promotion_code") if c["active"] and c["code"].lower() == code.lower()]
    if not found:
        raise Refusal("This code is invalid.")
    discount = catalog.redeemable(
        book, {"promotion_code": found[0]["id"]}, session["customer"], "promotion_code"
    )
    session["discounts"] = [{"coupon": None, "promotion_code": discount[1]}]
    _total(book, session, priced_lines(book, session), discount)


def pay(book: Book, session: Object, email: str, card: str) -> Object:
    """The customer pays an open session with a good card.

    Args:
        book: Where it is written.
        session: Open.
        email: What the customer typed, used where the session has no customer and no email.
        card: One of objects.CARDS.
    """
    customer = _payer(book, session, email, card)
    lines = priced_lines(book, session)
    free = session["amount_total"] == 0
    changes: dict[str, Any] = {"status": "complete", "url": None}
    changes["payment_status"] = "no_payment_required" if free else "paid"
    if customer:
        changes["customer"] = customer["id"]
    if wants_terms(session):
        changes["consent"] = {"promotions": None, "terms_of_service": "accepted"}
    changes["customer_details"] = _details(customer["email"] if customer else email)
    if session["mode"] == "payment":
        if not free:
            changes["payment_intent"] = _pay_once(book, session, customer, email, card)["id"]
    else:
        if customer is None:
            raise RuntimeError("a session for a subscription always has or makes a customer")
        changes |= _subscribe(book, session, customer, lines)
    book.change(session, None, **changes)
    book.tell("checkout.session.completed", session)
    return session


def wants_terms(session: Object) -> bool:
    """Whether the customer has to agree to the terms of service."""
    return (session["consent_collection"] or {}).get("terms_of_service") == "required"


def priced_lines(book: Book, session: Object) -> list[tuple[Object, int]]:
    """The session's prices and quantities."""
    return [(book.get("price", price), quantity) for price, quantity in session["_lines"]]


def _mode(given: Mapping[str, Any]) -> str:
    mode = given.get("mode")
    if mode is None:
        raise Refusal("Missing required param: mode.", code="parameter_missing", param="mode")
    if mode == "setup":
        raise Refusal("The sandbox does not model the mode: setup (Stripe knows it).", param="mode")
    if given.get("ui_mode", "hosted_page") != "hosted_page":
        raise Refusal("The sandbox models the ui_mode hosted_page alone.", param="ui_mode")
    if mode == "payment" and "subscription_data" in given:
        raise Refusal("You can not pass `subscription_data` in `payment` mode.", param="subscription_data")
    if mode == "subscription":
        for name in ("payment_intent_data", "customer_creation", "submit_type"):
            if name in given and given[name] != "subscribe":
                raise Refusal(f"You can not pass `{name}` in `subscription` mode.", param=name)
    return str(mode)


def _check_urls(given: Mapping[str, Any]) -> None:
    if "success_url" not in given:
        raise Refusal("Missing required param: success_url.", code="parameter_missing", param="success_url")
    for name in ("success_url", "cancel_url"):
        if name in given:
            address = urlsplit(given[name])
            if address.scheme not in ("http", "https") or not address.netloc:
                raise Refusal("Not a valid URL", code="url_invalid", param=name)


def _check_exclusive(given: Mapping[str, Any]) -> None:
    for pair in (
        ("allow_promotion_codes", "discounts"),
        ("customer", "customer_email"),
        ("customer", "customer_creation"),
    ):
        if all(name in given for name in pair):
            raise exclusive(*pair)
    if "customer_update" in given and "customer" not in given:
        raise Refusal("`customer_update` can only be used with `customer`.", param="customer_update")


def _check_tax(given: Mapping[str, Any], customer: Object | None) -> None:
    if not given.get("automatic_tax", {}).get("enabled") or customer is None:
        return
    if not customer["address"] and given.get("customer_update", {}).get("address") != "auto":
        raise Refusal(
            "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid address to"
            " the Customer or set either `customer_update[address]` to 'auto' or `customer_update[shipping]` to 'auto'"
            " to save the address entered in Checkout to the Customer.",
            code="customer_tax_location_invalid",
            param="automatic_tax",
        )


def _lines(book: Book, items: list[Object] | None, mode: str) -> list[tuple[Object, int]]:
    if not items:
        raise Refusal(
            f"`line_items` must not be empty in `{mode}` mode.", code="parameter_missing", param="line_items"
        )
    lines = [_line(book, item, f"line_items[{index}]") for index, item in enumerate(items)]
    recurring = [bool(price["recurring"]) for price, _ in lines]
    if mode == "payment" and any(recurring):
        raise Refusal(
            "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or use"
            " only one-time prices.",
            param="line_items",
        )
    if mode == "subscription" and not all(recurring):
        if any(recurring):
            raise Refusal(
                "The sandbox models recurring prices alone in `subscription` mode.", param="line_items"
            )
        raise Refusal(
            "You must provide at least one recurring price in `subscription` mode when using prices.",
            param="line_items",
        )
    if len({price["currency"] for price, _ in lines}) > 1:
        raise Refusal("All prices on a Checkout Session must have the same currency.", param="line_items")
    return lines


def _line(book: Book, item: Object, param: str) -> tuple[Object, int]:
    if ("price" in item) == ("price_data" in item):
        raise Refusal(f"`{param}` needs one of price and price_data.", code="parameter_missing", param=param)
    if "price" in item:
        price = book.get("price", item["price"], f"{param}[price]")
        if not price["active"]:
            raise Refusal(
                "The price specified is inactive. This field only accepts active prices.",
                param=f"{param}[price]",
            )
    else:
        price = catalog.create_price(book, item["price_data"], inline=True)
    quantity = item.get("quantity")
    if quantity is None:
        raise Refusal(f"Quantity is required. Add `quantity` to `{param}`", param=f"{param}[quantity]")
    if quantity < 1:
        raise Refusal(
            "Invalid positive integer", code="parameter_invalid_integer", param=f"{param}[quantity]"
        )
    return price, quantity


def _trial_end(wanted: Mapping[str, Any], now: int) -> int | None:
    if "trial_end" in wanted and "trial_period_days" in wanted:
        raise exclusive("subscription_data[trial_end]", "subscription_data[trial_period_days]")
    if "trial_end" in wanted:
        if wanted["trial_end"] < now + 2 * _DAY - 10:
            raise Refusal(
                "The `trial_end` date has to be at least 2 days in the future.",
                param="subscription_data[trial_end]",
            )
        return int(wanted["trial_end"])
    days = wanted.get("trial_period_days")
    if days is not None and not 1 <= days <= 730:
        raise Refusal(
            "Invalid integer: trial_period_days must be from 1 to 730.",
            param="subscription_data[trial_period_days]",
        )
    # Counted from the payment, not from now.
    return None


def _customer_creation(given: Mapping[str, Any], mode: str) -> str | None:
    if "customer" in given:
        return None
    return str(given.get("customer_creation", "always" if mode == "subscription" else "if_required"))


def _total(
    book: Book, session: Object, lines: list[tuple[Object, int]], discount: tuple[str, str | None] | None
) -> None:
    """Put the lines and what they come to into the session."""
    trial = session["_trial_end"] or session["_subscription_data"].get("trial_period_days")
    shown = [(price | {"unit_amount": 0} if trial else price, quantity) for price, quantity in lines]
    subtotal = sum(price["unit_amount"] * quantity for price, quantity in shown)
    off = lifecycle.reduction(book.get("coupon", discount[0]), subtotal) if discount else 0
    left, items = off, []
    for price, quantity in shown:
        share = min(left, price["unit_amount"] * quantity)
        left -= share
        name = book.get("product", price["product"])["name"]
        item = objects.line_item(price, quantity, name, share)
        items.append(item | {"price": book.get("price", price["id"])})
    session.update(
        currency=lines[0][0]["currency"],
        amount_subtotal=subtotal,
        amount_total=subtotal - off,
        total_details={"amount_discount": off, "amount_shipping": 0, "amount_tax": 0},
        _line_items=items,
        _discount=list(discount) if discount else None,
    )


def _payer(book: Book, session: Object, email: str, card: str) -> Object | None:
    """The customer, made if the session has none and wants one, with the card as the default."""
    now = book.now()
    address = session["customer_email"] or email
    if session["customer"]:
        customer = book.get("customer", session["customer"])
    elif session["customer_creation"] == "always":
        customer = book.create(objects.customer(now, email=address), "customer.created")
    else:
        return None
    method = objects.payment_method(now, customer["id"], customer["email"], card)
    book.create(method, "payment_method.attached")
    settings = customer["invoice_settings"] | {"default_payment_method": method["id"]}
    return book.change(customer, "customer.updated", invoice_settings=settings, currency=session["currency"])


def _subscribe(
    book: Book, session: Object, customer: Object, lines: list[tuple[Object, int]]
) -> dict[str, Any]:
    data, discount = session["_subscription_data"], session["_discount"]
    trial_end = session["_trial_end"]
    if "trial_period_days" in data:
        trial_end = book.now() + data["trial_period_days"] * _DAY
    if discount:
        catalog.redeem(book, discount[0], discount[1])
    subscription = lifecycle.subscribe(
        book,
        customer,
        lines,
        metadata=data.get("metadata", {}),
        description=data.get("description"),
        trial_end=trial_end,
        discount=(discount[0], discount[1]) if discount else None,
        session=session["id"],
    )
    return {"subscription": subscription["id"], "invoice": subscription["latest_invoice"]}


def _pay_once(book: Book, session: Object, customer: Object | None, email: str, card: str) -> Object:
    data = session["_payment_intent_data"]
    if discount := session["_discount"]:
        catalog.redeem(book, discount[0], discount[1])
    intent = objects.payment_intent(
        book.now(),
        amount=session["amount_total"],
        currency=session["currency"],
        customer=customer["id"] if customer else None,
        metadata=data.get("metadata", {}),
        description=data.get("description"),
    )
    book.create(intent, "payment_intent.created")
    method = customer["invoice_settings"]["default_payment_method"] if customer else None
    if method is None:
        made = objects.payment_method(book.now(), None, session["customer_email"] or email, card)
        method = book.keep(made)["id"]
    payments.charge(book, intent, method, session["customer_email"] or email)
    return intent


def _details(email: str | None) -> Object:
    return {
        "address": None,
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": None,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }
