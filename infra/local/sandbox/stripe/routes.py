"""Every call the sandbox answers: its parameters as data, and what it does."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import stripe.params as p
import stripe.params.billing_portal as portal_params
import stripe.params.checkout as checkout_params
import stripe.params.radar as radar_params

from infra.local.sandbox.stripe import account_setup, catalog, checkout, customers, subscriptions
from infra.local.sandbox.stripe import payments as money
from infra.local.sandbox.stripe.book import Book, Object
from infra.local.sandbox.stripe.errors import Refusal, exclusive, missing
from infra.local.sandbox.stripe.lists import listing, page, within


@dataclass(frozen=True)
class Call:
    """One request, its parameters checked and without ``expand``."""

    book: Book
    path: str
    id: str
    given: Mapping[str, Any]
    base: str
    """Address of the sandbox's pages."""


@dataclass(frozen=True)
class Route:
    """One call of the API.

    ``accepted`` is the library's type of its parameters, ``acts_on`` the names among them that take effect.
    """

    method: str
    path: str
    accepted: Any
    acts_on: str
    handle: Callable[[Call], Object]

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches a request's path; group ``id`` is the object's."""
        return re.compile(re.escape(self.path).replace(r"\{id\}", r"(?P<id>[^/]+)"))

    @property
    def names(self) -> frozenset[str]:
        """``acts_on`` and what every call takes."""
        return frozenset(self.acts_on.split()) | {"expand"}


_PAGING = "limit starting_after ending_before created"


def _one(kind: str) -> Callable[[Call], Object]:
    return lambda call: call.book.get(kind, call.id)


def _list(kind: str, **matches: Callable[[Object, Any], bool]) -> Callable[[Call], Object]:
    """A list handler: each given parameter named in ``matches`` must hold, others of an object's names be equal."""

    def handle(call: Call) -> Object:
        wanted = {n: v for n, v in call.given.items() if n not in _PAGING.split()}
        found = [
            thing
            for thing in call.book.all(kind)
            if not thing.get("deleted")
            and all(
                matches[name](thing, value) if name in matches else thing[name] == value
                for name, value in wanted.items()
            )
        ]
        return page(found, call.given, call.path)

    return handle


def _in(values: str) -> Callable[[Object, Any], bool]:
    return lambda thing, wanted: thing[values] in wanted


def _has_price(thing: Object, wanted: str) -> bool:
    return any(item["price"]["id"] == wanted for item in thing["items"]["data"])


def _has_period(edge: str) -> Callable[[Object, Any], bool]:
    return lambda thing, wanted: any(within(item[edge], wanted) for item in thing["items"]["data"])


def _of_subscription(thing: Object, wanted: str) -> bool:
    return bool(thing["parent"]["subscription_details"]["subscription"] == wanted)


def _recurs(thing: Object, wanted: Mapping[str, Any]) -> bool:
    rhythm = thing["recurring"] or {}
    return bool(rhythm) and all(rhythm.get(name) == value for name, value in wanted.items())


def _pays(thing: Object, wanted: Mapping[str, Any]) -> bool:
    return all(thing["payment"].get(name) == value for name, value in wanted.items())


def _list_subscriptions(call: Call) -> Object:
    """Canceled ones are left out unless asked for, as Stripe does."""
    status = call.given.get("status")
    given = {name: value for name, value in call.given.items() if name != "status"}

    def holds(thing: Object, wanted: str) -> bool:
        if wanted == "all":
            return True
        ended = thing["status"] in ("canceled", "incomplete_expired")
        return ended if wanted == "ended" else bool(thing["status"] == wanted)

    handle = _list(
        "subscription",
        price=_has_price,
        status=holds,
        current_period_start=_has_period("current_period_start"),
        current_period_end=_has_period("current_period_end"),
        living=lambda thing, _wanted: thing["status"] != "canceled",
    )
    extra = {"status": status} if status else {"living": True}
    return handle(replace(call, given=given | extra))


def _list_sessions(call: Call) -> Object:
    return _list(
        "checkout.session",
        customer_details=lambda thing, wanted: (
            (thing["customer_details"] or {}).get("email") == wanted["email"]
        ),
    )(call)


def _session_lines(call: Call) -> Object:
    session = call.book.get("checkout.session", call.id)
    return listing(list(session["_line_items"]), call.path)


def _list_codes(call: Call) -> Object:
    return _list(
        "promotion_code",
        code=lambda thing, wanted: thing["code"].lower() == wanted.lower(),
        coupon=lambda thing, wanted: thing["promotion"]["coupon"] == wanted,
    )(call)


def _list_events(call: Call) -> Object:
    given = call.given
    if "type" in given and "types" in given:
        raise exclusive("type", "types")
    if len(given.get("types", [])) > 20:
        raise Refusal("You can list at most 20 types.", param="types")
    wanted = given.get("types") or ([given["type"]] if "type" in given else None)
    pattern = "|".join(re.escape(t).replace(r"\*", ".*") for t in wanted) if wanted else ".*"
    found = [
        event
        for event in call.book.events()
        if re.fullmatch(pattern, event["type"])
        and given.get("delivery_success") in (None, event["pending_webhooks"] == 0)
    ]
    answer = page(found, given, call.path)
    return answer | {"data": [call.book.event(outline) for outline in answer["data"]]}


def _one_event(call: Call) -> Object:
    for outline in call.book.events():
        if outline["id"] == call.id:
            return call.book.event(outline)
    raise missing("event", call.id)


def _create_refund(call: Call) -> Object:
    book, given = call.book, call.given
    if ("charge" in given) == ("payment_intent" in given):
        raise Refusal(
            "One of the following params should be provided for this request: payment_intent or charge."
        )
    if "charge" in given:
        charge = book.get("charge", given["charge"], "charge")
    else:
        intent = book.get("payment_intent", given["payment_intent"], "payment_intent")
        if not intent["latest_charge"]:
            raise Refusal(f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.")
        charge = book.get("charge", intent["latest_charge"])
    metadata = {name: text for name, text in (given.get("metadata") or {}).items() if text}
    return money.refund(
        book, charge, amount=given.get("amount"), reason=given.get("reason"), metadata=metadata
    )


_CUSTOMER = "address balance description email metadata name phone preferred_locales"
_SUBSCRIPTION = (
    "cancel_at cancel_at_period_end cancellation_details description items metadata pause_collection"
    " payment_behavior proration_behavior trial_end"
)
_SESSION = (
    "allow_promotion_codes allowed_payment_method_types automatic_tax billing_address_collection cancel_url client_reference_id"
    " consent_collection customer"
    " customer_creation customer_email customer_update discounts expires_at line_items locale metadata mode"
    " origin_context payment_intent_data payment_method_collection phone_number_collection"
    " submit_type subscription_data success_url ui_mode"
)
_PRICE = (
    "currency lookup_key metadata nickname product product_data recurring transfer_lookup_key unit_amount"
)

ROUTES = (
    Route(
        "POST",
        "/v1/customers",
        p.CustomerCreateParams,
        _CUSTOMER,
        lambda c: customers.create(c.book, c.given),
    ),
    Route("GET", "/v1/customers", p.CustomerListParams, f"{_PAGING} email", _list("customer")),
    Route("GET", "/v1/customers/{id}", p.CustomerRetrieveParams, "", _one("customer")),
    Route(
        "POST",
        "/v1/customers/{id}",
        p.CustomerUpdateParams,
        _CUSTOMER,
        lambda c: customers.update(c.book, c.id, c.given),
    ),
    Route(
        "DELETE", "/v1/customers/{id}", p.CustomerDeleteParams, "", lambda c: customers.delete(c.book, c.id)
    ),
    Route(
        "POST",
        "/v1/customers/{id}/balance_transactions",
        p.CustomerBalanceTransactionCreateParams,
        "amount currency description metadata",
        lambda c: customers.move_balance(c.book, c.id, c.given),
    ),
    Route(
        "GET",
        "/v1/customers/{id}/balance_transactions",
        p.CustomerBalanceTransactionListParams,
        _PAGING,
        lambda c: _list("customer_balance_transaction")(replace(c, given={**c.given, "customer": c.id})),
    ),
    Route(
        "POST",
        "/v1/products",
        p.ProductCreateParams,
        "active description id images metadata name url",
        lambda c: catalog.create_product(c.book, c.given),
    ),
    Route(
        "GET",
        "/v1/products",
        p.ProductListParams,
        f"{_PAGING} active ids",
        _list("product", ids=_in("id")),
    ),
    Route("GET", "/v1/products/{id}", p.ProductRetrieveParams, "", _one("product")),
    Route(
        "POST",
        "/v1/products/{id}",
        p.ProductUpdateParams,
        "active description images metadata name url",
        lambda c: catalog.update_product(c.book, c.id, c.given),
    ),
    Route("POST", "/v1/prices", p.PriceCreateParams, _PRICE, lambda c: catalog.create_price(c.book, c.given)),
    Route(
        "GET",
        "/v1/prices",
        p.PriceListParams,
        f"{_PAGING} active currency lookup_keys product recurring type",
        _list("price", lookup_keys=_in("lookup_key"), recurring=_recurs),
    ),
    Route("GET", "/v1/prices/{id}", p.PriceRetrieveParams, "", _one("price")),
    Route(
        "POST",
        "/v1/prices/{id}",
        p.PriceUpdateParams,
        "active lookup_key metadata nickname transfer_lookup_key",
        lambda c: catalog.update_price(c.book, c.id, c.given),
    ),
    Route(
        "POST",
        "/v1/coupons",
        p.CouponCreateParams,
        "amount_off currency duration duration_in_months id max_redemptions metadata name percent_off redeem_by",
        lambda c: catalog.create_coupon(c.book, c.given),
    ),
    Route("GET", "/v1/coupons", p.CouponListParams, _PAGING, _list("coupon")),
    Route("GET", "/v1/coupons/{id}", p.CouponRetrieveParams, "", _one("coupon")),
    Route(
        "POST",
        "/v1/promotion_codes",
        p.PromotionCodeCreateParams,
        "active code customer expires_at max_redemptions metadata promotion restrictions",
        lambda c: catalog.create_promotion_code(c.book, c.given),
    ),
    Route(
        "GET",
        "/v1/promotion_codes",
        p.PromotionCodeListParams,
        f"{_PAGING} active code coupon customer",
        _list_codes,
    ),
    Route("GET", "/v1/promotion_codes/{id}", p.PromotionCodeRetrieveParams, "", _one("promotion_code")),
    Route(
        "POST",
        "/v1/promotion_codes/{id}",
        p.PromotionCodeUpdateParams,
        "active metadata",
        lambda c: catalog.update_promotion_code(c.book, c.id, c.given),
    ),
    Route(
        "POST",
        "/v1/checkout/sessions",
        checkout_params.SessionCreateParams,
        _SESSION,
        lambda c: checkout.create(c.book, c.given, f"{c.base}/pay"),
    ),
    Route(
        "GET",
        "/v1/checkout/sessions",
        checkout_params.SessionListParams,
        f"{_PAGING} customer customer_details payment_intent status subscription",
        _list_sessions,
    ),
    Route(
        "GET",
        "/v1/checkout/sessions/{id}",
        checkout_params.SessionRetrieveParams,
        "",
        _one("checkout.session"),
    ),
    Route(
        "GET",
        "/v1/checkout/sessions/{id}/line_items",
        checkout_params.SessionListLineItemsParams,
        "limit starting_after ending_before",
        _session_lines,
    ),
    Route(
        "POST",
        "/v1/checkout/sessions/{id}/expire",
        checkout_params.SessionExpireParams,
        "",
        lambda c: checkout.expire(c.book, c.id),
    ),
    Route(
        "POST",
        "/v1/billing_portal/sessions",
        portal_params.SessionCreateParams,
        "configuration customer locale return_url",
        lambda c: customers.open_portal(c.book, c.given, f"{c.base}/portal"),
    ),
    Route(
        "POST",
        "/v1/billing_portal/configurations",
        portal_params.ConfigurationCreateParams,
        "business_profile default_return_url features metadata name",
        lambda c: account_setup.create_configuration(c.book, c.given),
    ),
    Route(
        "GET",
        "/v1/billing_portal/configurations",
        portal_params.ConfigurationListParams,
        f"{_PAGING} active is_default",
        _list("billing_portal.configuration"),
    ),
    Route(
        "GET",
        "/v1/billing_portal/configurations/{id}",
        portal_params.ConfigurationRetrieveParams,
        "",
        _one("billing_portal.configuration"),
    ),
    Route(
        "POST",
        "/v1/billing_portal/configurations/{id}",
        portal_params.ConfigurationUpdateParams,
        "active business_profile default_return_url features metadata name",
        lambda c: account_setup.update_configuration(c.book, c.id, c.given),
    ),
    Route(
        "POST",
        "/v1/webhook_endpoints",
        p.WebhookEndpointCreateParams,
        "api_version description enabled_events metadata url",
        lambda c: account_setup.create_endpoint(c.book, c.book.deliveries, c.given),
    ),
    Route("GET", "/v1/webhook_endpoints", p.WebhookEndpointListParams, _PAGING, _list("webhook_endpoint")),
    Route("GET", "/v1/webhook_endpoints/{id}", p.WebhookEndpointRetrieveParams, "", _one("webhook_endpoint")),
    Route(
        "POST",
        "/v1/webhook_endpoints/{id}",
        p.WebhookEndpointUpdateParams,
        "description disabled enabled_events metadata url",
        lambda c: account_setup.update_endpoint(c.book, c.book.deliveries, c.id, c.given),
    ),
    Route(
        "GET",
        "/v1/radar/early_fraud_warnings",
        radar_params.EarlyFraudWarningListParams,
        f"{_PAGING} charge payment_intent",
        _list("radar.early_fraud_warning"),
    ),
    Route(
        "GET",
        "/v1/radar/early_fraud_warnings/{id}",
        radar_params.EarlyFraudWarningRetrieveParams,
        "",
        _one("radar.early_fraud_warning"),
    ),
    Route(
        "GET",
        "/v1/subscriptions",
        p.SubscriptionListParams,
        f"{_PAGING} collection_method current_period_end current_period_start customer price status",
        _list_subscriptions,
    ),
    Route("GET", "/v1/subscriptions/{id}", p.SubscriptionRetrieveParams, "", _one("subscription")),
    Route(
        "POST",
        "/v1/subscriptions/{id}",
        p.SubscriptionUpdateParams,
        _SUBSCRIPTION,
        lambda c: subscriptions.update(c.book, c.id, c.given),
    ),
    Route(
        "DELETE",
        "/v1/subscriptions/{id}",
        p.SubscriptionCancelParams,
        "cancellation_details",
        lambda c: subscriptions.cancel(c.book, c.id, c.given),
    ),
    Route(
        "POST",
        "/v1/subscriptions/{id}/resume",
        p.SubscriptionResumeParams,
        "billing_cycle_anchor proration_behavior",
        lambda c: subscriptions.resume(c.book, c.id),
    ),
    Route(
        "GET",
        "/v1/subscription_schedules/{id}",
        p.SubscriptionScheduleRetrieveParams,
        "",
        _one("subscription_schedule"),
    ),
    Route(
        "POST",
        "/v1/subscription_schedules/{id}/release",
        p.SubscriptionScheduleReleaseParams,
        "",
        lambda c: subscriptions.release(c.book, c.id),
    ),
    Route(
        "GET",
        "/v1/invoices",
        p.InvoiceListParams,
        f"{_PAGING} collection_method customer status subscription",
        _list("invoice", subscription=_of_subscription),
    ),
    Route("GET", "/v1/invoices/{id}", p.InvoiceRetrieveParams, "", _one("invoice")),
    Route(
        "GET",
        "/v1/invoice_payments",
        p.InvoicePaymentListParams,
        f"{_PAGING} invoice payment status",
        _list("invoice_payment", payment=_pays),
    ),
    Route("GET", "/v1/invoice_payments/{id}", p.InvoicePaymentRetrieveParams, "", _one("invoice_payment")),
    Route(
        "GET",
        "/v1/payment_intents",
        p.PaymentIntentListParams,
        f"{_PAGING} customer",
        _list("payment_intent"),
    ),
    Route("GET", "/v1/payment_intents/{id}", p.PaymentIntentRetrieveParams, "", _one("payment_intent")),
    Route("GET", "/v1/payment_methods/{id}", p.PaymentMethodRetrieveParams, "", _one("payment_method")),
    Route("GET", "/v1/charges", p.ChargeListParams, f"{_PAGING} customer payment_intent", _list("charge")),
    Route("GET", "/v1/charges/{id}", p.ChargeRetrieveParams, "", _one("charge")),
    Route(
        "POST",
        "/v1/refunds",
        p.RefundCreateParams,
        "amount charge metadata payment_intent reason",
        _create_refund,
    ),
    Route(
        "POST",
        "/v1/credit_notes",
        p.CreditNoteCreateParams,
        "amount credit_amount invoice",
        lambda c: money.credit(c.book, c.given),
    ),
    Route("GET", "/v1/credit_notes", p.CreditNoteListParams, f"{_PAGING} invoice", _list("credit_note")),
    Route("GET", "/v1/refunds", p.RefundListParams, f"{_PAGING} charge payment_intent", _list("refund")),
    Route("GET", "/v1/refunds/{id}", p.RefundRetrieveParams, "", _one("refund")),
    Route("GET", "/v1/disputes", p.DisputeListParams, f"{_PAGING} charge payment_intent", _list("dispute")),
    Route("GET", "/v1/disputes/{id}", p.DisputeRetrieveParams, "", _one("dispute")),
    Route("GET", "/v1/events", p.EventListParams, f"{_PAGING} delivery_success type types", _list_events),
    Route("GET", "/v1/events/{id}", p.EventRetrieveParams, "", _one_event),
)
