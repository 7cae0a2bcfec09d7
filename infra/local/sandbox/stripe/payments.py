"""Money moving: invoices paid or not, refunds, disputes."""

from collections.abc import Mapping
from typing import Any

from infra.local.sandbox.stripe import objects
from infra.local.sandbox.stripe.book import Book, Object
from infra.local.sandbox.stripe.errors import Refusal

#: Days from one attempt on a failing card to the next; after the last one the subscription ends.
RETRY_DAYS = (3, 5, 7)


def charge(
    book: Book, intent: Object, method: str | None, email: str | None, *, declined: bool = False
) -> Object:
    """Try to take an intent's money; tells of the charge and of the intent."""
    made = objects.charge(book.now(), intent, method, email, declined=declined)
    book.create(made, "charge.failed" if declined else "charge.succeeded")
    if declined:
        error = {
            "charge": made["id"],
            "code": "card_declined",
            "decline_code": "generic_decline",
            "message": "Your card was declined.",
            "type": "card_error",
        }
        changes: dict[str, Any] = {"last_payment_error": error, "status": "requires_payment_method"}
    else:
        changes = {
            "amount_received": intent["amount"],
            "last_payment_error": None,
            "payment_method": method,
            "status": "succeeded",
        }
    book.change(intent, None, latest_charge=made["id"], **changes)
    book.tell("payment_intent.payment_failed" if declined else "payment_intent.succeeded", intent)
    return made


def attempt(book: Book, invoice: Object, *, declined: bool = False) -> bool:
    """Try to collect an open invoice; True if it is paid now. Nothing to pay is paid at once."""
    customer = book.get("customer", invoice["customer"])
    payment = _payment(book, invoice) if invoice["amount_due"] else None
    if payment is None:
        _settle(book, invoice)
        return True
    intent = book.get("payment_intent", payment["payment"]["payment_intent"])
    method = customer["invoice_settings"]["default_payment_method"]
    charge(book, intent, method, customer["email"], declined=declined)
    attempts = invoice["attempt_count"] + 1
    if declined:
        again = book.now() + RETRY_DAYS[attempts - 1] * 86400 if attempts <= len(RETRY_DAYS) else None
        book.change(invoice, None, attempted=True, attempt_count=attempts, next_payment_attempt=again)
        book.tell("invoice.payment_failed", invoice)
        return False
    book.change(
        payment,
        None,
        status="paid",
        amount_paid=invoice["amount_due"],
        status_transitions={"canceled_at": None, "paid_at": book.now()},
    )
    _settle(book, invoice, attempted=True, attempt_count=attempts)
    book.tell("invoice_payment.paid", payment)
    return True


def _payment(book: Book, invoice: Object) -> Object:
    """The invoice's payment, made with its intent at the first attempt."""
    if invoice["attempt_count"]:
        return next(p for p in book.all("invoice_payment") if p["invoice"] == invoice["id"])
    intent = objects.payment_intent(
        book.now(),
        amount=invoice["amount_due"],
        currency=invoice["currency"],
        customer=invoice["customer"],
        description="Subscription update" if invoice["attempt_count"] else "Subscription creation",
        setup_future_usage="off_session",
    )
    book.create(intent, "payment_intent.created")
    return book.keep(objects.invoice_payment(book.now(), invoice, intent["id"]))


def _settle(book: Book, invoice: Object, **changes: Any) -> None:
    transitions = invoice["status_transitions"] | {"paid_at": book.now()}
    book.change(
        invoice,
        "invoice.updated",
        status="paid",
        amount_paid=invoice["amount_due"],
        amount_remaining=0,
        next_payment_attempt=None,
        status_transitions=transitions,
        **changes,
    )
    book.tell("invoice.paid", invoice)
    book.tell("invoice.payment_succeeded", invoice)


def refund(
    book: Book,
    charge: Object,
    *,
    amount: int | None = None,
    reason: str | None = None,
    metadata: dict[str, str] | None = None,
) -> Object:
    """Give back ``amount`` of a charge, or what is left of it."""
    left = charge["amount_captured"] - charge["amount_refunded"]
    if not charge["paid"]:
        raise Refusal(f"Charge {charge['id']} was not successful and cannot be refunded.", param="charge")
    if charge["disputed"]:
        raise Refusal(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed"
        )
    if left == 0:
        raise Refusal(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    wanted = left if amount is None else amount
    if wanted < 1:
        raise Refusal("Invalid positive integer", code="parameter_invalid_integer", param="amount")
    if wanted > left:
        raise Refusal(
            f"Refund amount (${wanted / 100:.2f}) is greater than unrefunded amount on charge (${left / 100:.2f})",
            param="amount",
        )
    made = book.create(objects.refund(book.now(), charge, wanted, reason, metadata or {}), "refund.created")
    refunded = charge["amount_refunded"] + wanted
    book.change(
        charge, "charge.refunded", amount_refunded=refunded, refunded=refunded == charge["amount_captured"]
    )
    return made


def credit(book: Book, given: Mapping[str, Any]) -> Object:
    """POST /v1/credit_notes, for a paid invoice and to the customer's balance."""
    invoice = book.get("invoice", given["invoice"], "invoice")
    amount = given.get("amount")
    if amount is None or amount != given.get("credit_amount"):
        raise Refusal(
            "The sandbox models credit notes whose whole amount goes to the balance.", param="credit_amount"
        )
    if (
        invoice["status"] != "paid"
        or amount > invoice["amount_paid"] - invoice["post_payment_credit_notes_amount"]
    ):
        raise Refusal("The credit note is for more than was paid.", param="amount")
    customer = book.get("customer", invoice["customer"])
    book.change(customer, "customer.updated", balance=customer["balance"] - amount)
    credited = invoice["post_payment_credit_notes_amount"] + amount
    book.change(invoice, "invoice.updated", post_payment_credit_notes_amount=credited)
    return book.create(objects.credit_note(book.now(), invoice, amount), "credit_note.created")


def open_dispute(book: Book, charge: Object) -> Object:
    """A cardholder complains about a charge: the money is gone until the bank has decided."""
    if charge["disputed"]:
        raise Refusal(f"Charge {charge['id']} is already disputed.")
    book.change(charge, None, disputed=True)
    return book.create(
        objects.dispute(book.now(), charge), "charge.dispute.created", "charge.dispute.funds_withdrawn"
    )


def close_dispute(book: Book, charge: Object, status: str) -> Object:
    """The bank has decided: ``won`` by the account, or ``lost``."""
    found = [d for d in book.all("dispute") if d["charge"] == charge["id"]]
    if not found or found[-1]["status"] in ("won", "lost"):
        raise Refusal(f"Charge {charge['id']} has no open dispute.")
    dispute = found[-1]
    book.change(dispute, "charge.dispute.updated", status=status)
    book.tell("charge.dispute.closed", dispute)
    if status == "won":
        book.tell("charge.dispute.funds_reinstated", dispute)
    return dispute


def last_paid_charge(book: Book, subscription: Object) -> Object | None:
    """The charge that paid the subscription's latest paid invoice."""
    invoices = {
        invoice["id"]
        for invoice in book.all("invoice")
        if invoice["parent"]["subscription_details"]["subscription"] == subscription["id"]
    }
    for payment in reversed(book.all("invoice_payment")):
        if payment["invoice"] in invoices and payment["status"] == "paid":
            intent = book.get("payment_intent", payment["payment"]["payment_intent"])
            return book.get("charge", intent["latest_charge"])
    return None
