"""New objects as Stripe shapes them in the pinned version: plain dicts, complete, with nothing looked up."""

import secrets
from typing import Any

from infra.local.sandbox.stripe.book import Object, new_id
from infra.local.sandbox.stripe.lists import listing

CARD = {
    "brand": "visa",
    "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
    "country": "US",
    "display_brand": "visa",
    "exp_month": 12,
    "exp_year": 2034,
    "fingerprint": "Xt5EWLLDS7FJjR1c",
    "funding": "credit",
    "generated_from": None,
    "last4": "4242",
    "networks": {"available": ["visa"], "preferred": None},
    "regulated_status": "unregulated",
    "three_d_secure_usage": {"supported": True},
    "wallet": None,
}
#: Test cards that pay, by number: brand and fingerprint, the same for a number whoever pays with it.
CARDS = {
    "4242424242424242": ("visa", "Xt5EWLLDS7FJjR1c"),
    "4000056655665556": ("visa", "kQ2mTr7vYb9LwZ4a"),
    "5555555555554444": ("mastercard", "Hn8cPd3sVx6JfG1e"),
    "2223003122003222": ("mastercard", "uR5yWk0tBq2MzN7i"),
    "378282246310005": ("amex", "Lg4oCs9hDx1PvE8j"),
    # Its bank asks first whether it is really the cardholder.
    "4000002500003155": ("visa", "Tq7nFb2wKe6RzU3c"),
}
_NOWHERE = {"city": None, "country": None, "line1": None, "line2": None, "postal_code": None, "state": None}
_NO_TAX = {"disabled_reason": None, "enabled": False, "liability": None, "provider": None, "status": None}


def _head(kind: str, now: int, id: str | None = None) -> Object:
    return {"id": id or new_id(kind), "object": kind, "created": now, "livemode": False}


def customer(now: int, **given: Any) -> Object:
    """A customer; ``given`` are any of its plain fields."""
    return {
        **_head("customer", now),
        "address": None,
        "balance": 0,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": secrets.token_hex(4).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
        **given,
    }


def product(now: int, id: str | None = None, **given: Any) -> Object:
    """A product; ``name`` is among ``given``."""
    return {
        **_head("product", now, id),
        "active": True,
        "default_price": None,
        "description": None,
        "images": [],
        "marketing_features": [],
        "metadata": {},
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "unit_label": None,
        "updated": now,
        "url": None,
        **given,
    }


def price(now: int, *, recurring: Object | None, unit_amount: int, **given: Any) -> Object:
    """A price per unit; ``currency`` and ``product`` are among ``given``; ``recurring`` needs its ``interval``."""
    rhythm = {"interval_count": 1, "meter": None, "trial_period_days": None, "usage_type": "licensed"}
    return {
        **_head("price", now),
        "active": True,
        "billing_scheme": "per_unit",
        "custom_unit_amount": None,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "recurring": {**rhythm, **recurring} if recurring else None,
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": unit_amount,
        "unit_amount_decimal": str(unit_amount),
        **given,
    }


def coupon(now: int, id: str | None = None, **given: Any) -> Object:
    """A coupon; one of ``percent_off`` and ``amount_off`` (with ``currency``) is among ``given``."""
    return {
        **_head("coupon", now, id),
        "amount_off": None,
        "currency": None,
        "duration": "once",
        "duration_in_months": None,
        "max_redemptions": None,
        "metadata": {},
        "name": None,
        "percent_off": None,
        "redeem_by": None,
        "times_redeemed": 0,
        "valid": True,
        **given,
    }


def promotion_code(now: int, *, coupon: str, **given: Any) -> Object:
    """A promotion code for a coupon's id."""
    return {
        **_head("promotion_code", now),
        "active": True,
        "code": secrets.token_hex(4).upper(),
        "customer": None,
        "customer_account": None,
        "expires_at": None,
        "max_redemptions": None,
        "metadata": {},
        "promotion": {"coupon": coupon, "type": "coupon"},
        "restrictions": {
            "first_time_transaction": False,
            "minimum_amount": None,
            "minimum_amount_currency": None,
        },
        "times_redeemed": 0,
        **given,
    }


def discount(
    now: int, *, coupon: str, promotion_code: str | None, subscription: Object, session: str
) -> Object:
    """A coupon at work on a subscription."""
    return {
        "id": new_id("discount"),
        "object": "discount",
        "checkout_session": session,
        "customer": subscription["customer"],
        "customer_account": None,
        "end": None,
        "invoice": None,
        "invoice_item": None,
        "promotion_code": promotion_code,
        "source": {"coupon": coupon, "type": "coupon"},
        "start": now,
        "subscription": subscription["id"],
        "subscription_item": None,
    }


def checkout_session(now: int, **given: Any) -> Object:
    """An open checkout session; amounts, ``mode``, ``url``, ``expires_at`` and the notes are among ``given``."""
    return {
        **_head("checkout.session", now),
        "adaptive_pricing": None,
        "after_expiration": None,
        "allow_promotion_codes": None,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": None,
        "cancel_url": None,
        "client_reference_id": None,
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer": None,
        "customer_account": None,
        "customer_creation": None,
        "customer_details": None,
        "customer_email": None,
        "discounts": [],
        "invoice": None,
        "invoice_creation": None,
        "locale": None,
        "metadata": {},
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "saved_payment_method_options": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": None,
        "subscription": None,
        "success_url": None,
        "ui_mode": "hosted_page",
        "wallet_options": None,
        **given,
    }


def line_item(price: Object, quantity: int, description: str, amount_discount: int) -> Object:
    """One line of a checkout session."""
    subtotal = price["unit_amount"] * quantity
    return {
        "id": new_id("item"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": amount_discount,
        "amount_subtotal": subtotal,
        "amount_tax": 0,
        "amount_total": subtotal - amount_discount,
        "currency": price["currency"],
        "description": description,
        "metadata": {},
        "price": price,
        "quantity": quantity,
    }


def payment_method(now: int, customer: str | None, email: str | None, number: str) -> Object:
    """One of CARDS."""
    brand, fingerprint = CARDS[number]
    looks = {"brand": brand, "display_brand": brand, "fingerprint": fingerprint, "last4": number[-4:]}
    return {
        **_head("payment_method", now),
        "allow_redisplay": "limited",
        "billing_details": {"address": _NOWHERE, "email": email, "name": None, "phone": None, "tax_id": None},
        "card": CARD | looks | {"networks": {"available": [brand], "preferred": None}},
        "customer": customer,
        "customer_account": None,
        "metadata": {},
        "type": "card",
    }


def subscription(now: int, *, customer: str, currency: str, metadata: dict[str, str], **given: Any) -> Object:
    """A subscription without items yet: :func:`subscription_item` makes them."""
    own_id = new_id("subscription")
    return {
        **_head("subscription", now, own_id),
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": now,
        "billing_cycle_anchor_config": None,
        "billing_mode": {
            "flexible": {"proration_discounts": "included"},
            "type": "flexible",
            "updated_at": None,
        },
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "feedback_option": None, "reason": None},
        "collection_method": "charge_automatically",
        "currency": currency,
        "customer": customer,
        "customer_account": None,
        "days_until_due": None,
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": listing([], f"/v1/subscription_items?subscription={own_id}"),
        "latest_invoice": None,
        "metadata": metadata,
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": ["card"],
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": now,
        "status": "active",
        "test_clock": None,
        "transfer_data": None,
        "trial_end": None,
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
        "trial_start": None,
        **given,
    }


def subscription_item(
    now: int, subscription: str, price: Object, quantity: int, period: tuple[int, int]
) -> Object:
    """What is subscribed to; since basil the period stands here alone."""
    return {
        "id": new_id("subscription_item"),
        "object": "subscription_item",
        "billed_until": period[1],
        "billing_thresholds": None,
        "created": now,
        "current_period_end": period[1],
        "current_period_start": period[0],
        "discounts": [],
        "metadata": {},
        "plan": _plan(price),
        "price": price,
        "quantity": quantity,
        "subscription": subscription,
        "tax_rates": [],
    }


def subscription_schedule(now: int, subscription: Object, period: tuple[int, int]) -> Object:
    """What a change with the period's end puts a subscription under."""
    return {
        **_head("subscription_schedule", now),
        "application": None,
        "canceled_at": None,
        "completed_at": None,
        "current_phase": {"start_date": period[0], "end_date": period[1]},
        "customer": subscription["customer"],
        "customer_account": None,
        "end_behavior": "release",
        "metadata": {},
        "phases": [],
        "released_at": None,
        "released_subscription": None,
        "status": "active",
        "subscription": subscription["id"],
        "test_clock": None,
    }


def _plan(price: Object) -> Object:
    same = ("id", "active", "billing_scheme", "created", "currency", "livemode", "metadata", "nickname")
    return {
        **{name: price[name] for name in same},
        **price["recurring"],
        "object": "plan",
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
    }


def set_price(item: Object, price: Object) -> None:
    """Make the item one of another price."""
    item.update(price=price, plan=_plan(price))


def invoice(now: int, subscription: Object, customer: Object, *, reason: str, lines: list[Object]) -> Object:
    """An open invoice of a subscription, without discounts; ``lines`` from :func:`invoice_line`."""
    own_id = new_id("invoice")
    total = sum(line["amount"] for line in lines)
    for line in lines:
        line["invoice"] = own_id
    return {
        **_head("invoice", now, own_id),
        "account_country": "US",
        "account_name": "Streamly sandbox",
        "account_tax_ids": None,
        "amount_due": total,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": total,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": False,
        "automatic_tax": _NO_TAX,
        "automatically_finalizes_at": None,
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "currency": subscription["currency"],
        "custom_fields": None,
        "customer": customer["id"],
        "customer_account": None,
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": None,
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "due_date": None,
        "effective_at": now,
        "ending_balance": 0,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": listing(lines, f"/v1/invoices/{own_id}/lines"),
        "metadata": {},
        "next_payment_attempt": None,
        "number": f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}",
        "on_behalf_of": None,
        "parent": {
            "quote_details": None,
            "subscription_details": {
                "metadata": subscription["metadata"],
                "subscription": subscription["id"],
            },
            "type": "subscription_details",
        },
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": ["card"],
        },
        "period_end": now,
        "period_start": now,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": "open",
        "status_transitions": {
            "finalized_at": now,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "test_clock": None,
        "total": total,
        "total_discount_amounts": [],
        "total_excluding_tax": total,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": now,
    }


def invoice_line(item: Object, amount: int, period: tuple[int, int], what: str, *, proration: bool) -> Object:
    """One line of an invoice, for a subscription item."""
    price = item["price"]
    return {
        "id": new_id("line_item"),
        "object": "line_item",
        "amount": amount,
        "currency": price["currency"],
        "description": what,
        "discount_amounts": [],
        "discountable": not proration,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": proration,
                "proration_details": None,
                "subscription": item["subscription"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
        "period": {"start": period[0], "end": period[1]},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": item["quantity"],
        "quantity_decimal": str(item["quantity"]),
        "subscription": item["subscription"],
        "subtotal": amount,
        "taxes": [],
    }


def invoice_payment(now: int, invoice: Object, payment_intent: str) -> Object:
    """What ties an invoice to the payment intent that pays it."""
    return {
        **_head("invoice_payment", now),
        "amount_paid": None,
        "amount_requested": invoice["amount_due"],
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "payment": {"payment_intent": payment_intent, "type": "payment_intent"},
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }


def payment_intent(now: int, *, amount: int, currency: str, customer: str | None, **given: Any) -> Object:
    """A payment not made yet."""
    own_id = new_id("payment_intent")
    return {
        **_head("payment_intent", now, own_id),
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "client_secret": f"{own_id}_secret_{secrets.token_hex(12)}",
        "confirmation_method": "automatic",
        "currency": currency,
        "customer": customer,
        "customer_account": None,
        "description": None,
        "last_payment_error": None,
        "latest_charge": None,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
        **given,
    }


def charge(
    now: int, intent: Object, payment_method: str | None, email: str | None, *, declined: bool
) -> Object:
    """An attempt to take the money of a payment intent, and how it ended."""
    outcome: Object = {
        "advice_code": "try_again_later" if declined else None,
        "network_advice_code": None,
        "network_decline_code": "01" if declined else None,
        "network_status": "declined_by_network" if declined else "approved_by_network",
        "reason": "generic_decline" if declined else None,
        "risk_level": "normal",
        "risk_score": 12,
        "seller_message": "The bank declined the payment." if declined else "Payment complete.",
        "type": "issuer_declined" if declined else "authorized",
    }
    return {
        **_head("charge", now),
        "amount": intent["amount"],
        "amount_captured": 0 if declined else intent["amount"],
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": {"address": _NOWHERE, "email": email, "name": None, "phone": None, "tax_id": None},
        "calculated_statement_descriptor": "STREAMLY SANDBOX",
        "captured": not declined,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": "card_declined" if declined else None,
        "failure_message": "Your card was declined." if declined else None,
        "fraud_details": {},
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": outcome,
        "paid": not declined,
        "payment_intent": intent["id"],
        "payment_method": payment_method,
        "payment_method_details": {
            "card": {
                **{k: CARD[k] for k in ("brand", "country", "exp_month", "exp_year", "funding", "last4")}
            },
            "type": "card",
        },
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "failed" if declined else "succeeded",
        "transfer_data": None,
        "transfer_group": None,
    }


def refund(now: int, charge: Object, amount: int, reason: str | None, metadata: dict[str, str]) -> Object:
    """Money given back; it arrives at once."""
    return {
        "id": new_id("refund"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "destination_details": {"card": {"type": "refund"}, "type": "card"},
        "metadata": metadata,
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def balance_transaction(now: int, *, customer: str, ending_balance: int, **given: Any) -> Object:
    """A customer's balance moved by hand; ``amount`` and ``currency`` are among ``given``."""
    return {
        **_head("customer_balance_transaction", now),
        "checkout_session": None,
        "credit_note": None,
        "customer": customer,
        "customer_account": None,
        "description": None,
        "ending_balance": ending_balance,
        "invoice": None,
        "metadata": {},
        "type": "adjustment",
        **given,
    }


def credit_note(now: int, invoice: Object, amount: int) -> Object:
    """Part of a paid invoice given back to the customer's balance."""
    return {
        **_head("credit_note", now),
        "amount": amount,
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "customer_balance_transaction": None,
        "invoice": invoice["id"],
        "memo": None,
        "metadata": {},
        "out_of_band_amount": None,
        "post_payment_amount": amount,
        "pre_payment_amount": 0,
        "reason": None,
        "refunds": [],
        "status": "issued",
        "total": amount,
        "type": "post_payment",
        "voided_at": None,
    }


def dispute(now: int, charge: Object) -> Object:
    """A cardholder's complaint about a whole charge."""
    return {
        **_head("dispute", now),
        "amount": charge["amount"],
        "balance_transactions": [],
        "charge": charge["id"],
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {"enhanced_evidence": {}},
        "evidence_details": {
            "due_by": now + 7 * 86400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": False,
        "metadata": {},
        "network_reason_code": "10.4",
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {"brand": "visa", "case_type": "chargeback", "network_reason_code": "10.4"},
            "type": "card",
        },
        "reason": "fraudulent",
        "status": "needs_response",
    }


def early_fraud_warning(now: int, charge: Object) -> Object:
    """The card's network takes a charge for fraud, before its holder complains."""
    return {
        **_head("radar.early_fraud_warning", now),
        "actionable": not charge["refunded"] and not charge["disputed"],
        "charge": charge["id"],
        "fraud_type": "unauthorized_use_of_card",
        "payment_intent": charge["payment_intent"],
    }


def portal_session(
    now: int,
    *,
    configuration: str,
    customer: str,
    url: str,
    id: str,
    return_url: str | None,
    locale: str | None,
) -> Object:
    """A visit to the billing portal."""
    return {
        **_head("billing_portal.session", now, id),
        "configuration": configuration,
        "customer": customer,
        "customer_account": None,
        "flow": None,
        "locale": locale,
        "on_behalf_of": None,
        "return_url": return_url,
        "url": url,
    }
