"""What is for sale: products, prices, coupons and promotion codes."""

from collections.abc import Mapping, Sequence
from typing import Any

from infra.local.sandbox.stripe import objects
from infra.local.sandbox.stripe.book import Book, Object
from infra.local.sandbox.stripe.errors import Refusal, exclusive

#: The promotion code that is there from the start: ten per cent off the first invoice.
WELCOME = "WELCOME10"


def seed(book: Book, plans: Sequence[Mapping[str, Any]]) -> None:
    """Make the plans' products and prices, as the account's owner would have, and the promotion code.

    A plan whose price has changed since gets a new price, and its lookup key moves to it.
    """
    for plan in plans:
        key, price = plan["stripe_lookup_key"], plan["price"]
        found = next((p for p in book.all("price") if p["lookup_key"] == key), None)
        wanted = (price["amount"], price["currency"], price["interval"])
        if found and wanted == (found["unit_amount"], found["currency"], found["recurring"]["interval"]):
            continue
        if found:
            _change_price(book, found, None, lookup_key=None, active=False)
            product = book.get("product", found["product"])
        else:
            product = objects.product(book.now(), name=plan["name"], metadata={"plan": plan["code"]})
        made = objects.price(
            book.now(),
            product=product["id"],
            currency=price["currency"],
            unit_amount=price["amount"],
            recurring={"interval": price["interval"]},
            lookup_key=key,
        )
        book.keep(made)
        book.keep(product | {"default_price": made["id"]})
    if not any(code["code"] == WELCOME for code in book.all("promotion_code")):
        coupon = book.keep(objects.coupon(book.now(), name="Welcome", percent_off=10.0, duration="once"))
        book.keep(objects.promotion_code(book.now(), coupon=coupon["id"], code=WELCOME))


def create_product(book: Book, given: Mapping[str, Any]) -> Object:
    """POST /v1/products."""
    wanted = given.get("id")
    if wanted and book.find("product", wanted):
        raise Refusal(f"Product already exists: {wanted}", code="resource_already_exists", param="id")
    return book.create(objects.product(book.now(), **given), "product.created")


def update_product(book: Book, id: str, given: Mapping[str, Any]) -> Object:
    """POST /v1/products/:id."""
    product = book.get("product", id)
    changes = cleared(given) | merged_metadata(product, given) | {"updated": book.now()}
    return book.change(product, "product.updated", **changes)


def create_price(book: Book, given: Mapping[str, Any], *, inline: bool = False) -> Object:
    """POST /v1/prices; ``inline`` for the ``price_data`` of a checkout session, which nobody else can use."""
    values = dict(given)
    if "unit_amount" not in values:
        raise Refusal("You must specify `unit_amount`.", code="parameter_missing", param="unit_amount")
    if values["unit_amount"] < 0:
        raise Refusal("Invalid non-negative integer", code="parameter_invalid_integer", param="unit_amount")
    values["currency"] = _currency(values["currency"])
    product_data = values.pop("product_data", None)
    if bool(product_data) == ("product" in values):
        if product_data:
            raise exclusive("product", "product_data")
        raise Refusal(
            "You must specify `product` or `product_data`.", code="parameter_missing", param="product"
        )
    if product_data:
        values["product"] = create_product(book, product_data)["id"]
    book.get("product", values["product"], "product")
    _take_key(book, values)
    recurring = values.pop("recurring", None)
    price = objects.price(book.now(), recurring=recurring, **values | {"active": not inline})
    return book.create(price, "price.created")


def update_price(book: Book, id: str, given: Mapping[str, Any]) -> Object:
    """POST /v1/prices/:id."""
    price, values = book.get("price", id), dict(given)
    if values.get("lookup_key") != price["lookup_key"]:
        _take_key(book, values)
    values.pop("transfer_lookup_key", None)
    return _change_price(book, price, "price.updated", **cleared(values) | merged_metadata(price, given))


def _take_key(book: Book, values: dict[str, Any]) -> None:
    """The lookup key leaves the price that has it, if that was asked for."""
    key, transfer = values.get("lookup_key"), values.pop("transfer_lookup_key", False)
    other = next((p for p in book.all("price") if key and p["lookup_key"] == key), None)
    if other is None:
        return
    if not transfer:
        raise Refusal(
            f"A price (`{other['id']}`) already uses that lookup key.",
            code="resource_already_exists",
            param="lookup_key",
        )
    _change_price(book, other, "price.updated", lookup_key=None)


def _change_price(book: Book, price: Object, event_type: str | None, **changes: Any) -> Object:
    """Also where it is shown: a subscription's item holds its price as it is now, and no event tells of that."""
    book.change(price, event_type, **changes)
    for subscription in book.all("subscription"):
        items = [item for item in subscription["items"]["data"] if item["price"]["id"] == price["id"]]
        for item in items:
            objects.set_price(item, price)
        if items:
            book.keep(subscription)
    return price


def create_coupon(book: Book, given: Mapping[str, Any]) -> Object:
    """POST /v1/coupons."""
    values = {"duration": "once", **given}
    if ("percent_off" in values) == ("amount_off" in values):
        raise Refusal("You must pass either percent_off or amount_off (but not both).", param="percent_off")
    if not 0 < values.get("percent_off", 100) <= 100:
        raise Refusal("Invalid percent_off: must be greater than 0 and at most 100", param="percent_off")
    if "amount_off" in values:
        if "currency" not in values:
            raise Refusal("You must pass currency when passing amount_off", param="currency")
        values["currency"] = _currency(values["currency"])
    if (values["duration"] == "repeating") != ("duration_in_months" in values):
        raise Refusal(
            "duration_in_months goes with a duration of repeating, and only with it",
            param="duration_in_months",
        )
    if book.find("coupon", values.get("id")):
        raise Refusal("Coupon already exists.", code="resource_already_exists")
    return book.create(objects.coupon(book.now(), **values), "coupon.created")


def create_promotion_code(book: Book, given: Mapping[str, Any]) -> Object:
    """POST /v1/promotion_codes."""
    values = dict(given)
    coupon = values.pop("promotion").get("coupon")
    if not coupon:
        raise Refusal(
            "Missing required param: promotion[coupon].", code="parameter_missing", param="promotion[coupon]"
        )
    book.get("coupon", coupon, "promotion[coupon]")
    if "customer" in values:
        book.get("customer", values["customer"], "customer")
    code = values.get("code")
    active = [c for c in book.all("promotion_code") if c["active"]]
    if code and any(
        c["code"].lower() == code.lower() and c["customer"] == values.get("customer") for c in active
    ):
        raise Refusal("An active promotion code with that code already exists.", param="code")
    return book.create(objects.promotion_code(book.now(), coupon=coupon, **values), "promotion_code.created")


def update_promotion_code(book: Book, id: str, given: Mapping[str, Any]) -> Object:
    """POST /v1/promotion_codes/:id."""
    code = book.get("promotion_code", id)
    return book.change(code, "promotion_code.updated", **cleared(given) | merged_metadata(code, given))


def redeemable(
    book: Book, discount: Mapping[str, str], customer: str | None, param: str
) -> tuple[str, str | None]:
    """The ids of a discount's coupon and promotion code, refused if it cannot be used (by this customer)."""
    if "promotion_code" in discount:
        code = book.get("promotion_code", discount["promotion_code"], f"{param}[promotion_code]")
        coupon = book.get("coupon", code["promotion"]["coupon"])
        if not _usable(book, code, code["expires_at"], code["active"]) or not _usable(
            book, coupon, coupon["redeem_by"], coupon["valid"]
        ):
            raise Refusal("This promotion code is expired or inactive.", code="coupon_expired", param=param)
        if code["customer"] not in (None, customer):
            raise Refusal("This promotion code cannot be redeemed by this customer.", param=param)
        if code["restrictions"]["first_time_transaction"] and any(
            c["customer"] == customer and c["paid"] for c in book.all("charge") if customer
        ):
            raise Refusal(
                "This promotion code cannot be redeemed because the associated customer has prior transactions.",
                code="promotion_code_customer_not_first_time",
                param=param,
            )
        return coupon["id"], code["id"]
    if "coupon" in discount:
        coupon = book.get("coupon", discount["coupon"], f"{param}[coupon]")
        if not _usable(book, coupon, coupon["redeem_by"], coupon["valid"]):
            raise Refusal(f"Coupon expired: {coupon['id']}", code="coupon_expired", param=param)
        return coupon["id"], None
    raise Refusal("You must specify a coupon or a promotion code.", code="parameter_missing", param=param)


def redeem(book: Book, coupon_id: str, code_id: str | None) -> None:
    """Count a use."""
    for kind, used in (("coupon", coupon_id), ("promotion_code", code_id)):
        if thing := book.find(kind, used):
            book.change(thing, None, times_redeemed=thing["times_redeemed"] + 1)


def cleared(given: Mapping[str, Any]) -> dict[str, Any]:
    """Given parameters as fields: an empty text clears, expand is no field."""
    return {name: None if value == "" else value for name, value in given.items() if name != "metadata"}


def merged_metadata(thing: Object, given: Mapping[str, Any]) -> dict[str, Any]:
    """The object's metadata with those given: an empty value removes its key, empty metadata removes all."""
    if "metadata" not in given:
        return {}
    changes = given["metadata"] or dict.fromkeys(thing["metadata"], "")
    merged = {name: text for name, text in (thing["metadata"] | changes).items() if text}
    if len(merged) > 50:
        raise Refusal("Metadata can have at most 50 keys.", param="metadata")
    return {"metadata": merged}


def _usable(book: Book, thing: Object, until: int | None, valid: bool) -> bool:
    exhausted = thing["max_redemptions"] is not None and thing["times_redeemed"] >= thing["max_redemptions"]
    return valid and not exhausted and (until is None or until > book.now())


def _currency(text: str) -> str:
    if len(text) != 3 or not text.isalpha():
        raise Refusal(f"Invalid currency: {text}", param="currency")
    return text.lower()
