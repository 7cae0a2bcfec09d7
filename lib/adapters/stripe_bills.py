"""A subscription's bills at Stripe: what is overdue, what became of the money, and how it is given back."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import stripe

from lib.adapters.stripe_client import once
from lib.adapters.stripe_objects import bill_of_period, id_of, metadata_of
from lib.adapters.stripe_shares import Share, owed
from lib.web import log

if TYPE_CHECKING:
    from stripe.params import CustomerBalanceTransactionCreateParams, RefundCreateParams

_RECENT = 10
_MOST = 100


class StripeBills:
    """Reads bills, and refunds them. Errors are those of Stripe's SDK."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._v1 = client.v1

    def missed(self, found: stripe.Subscription) -> int | None:
        """Since when a payment is overdue: the oldest open bill's date, so that no later bill moves it."""
        if found.status != "past_due":
            return None
        bills = self._v1.invoices.list({"subscription": found.id, "status": "open", "limit": _MOST})
        due = [bill.status_transitions.finalized_at or bill.created for bill in bills.data]
        return min(due, default=found.created)

    def taken_back(self, found: stripe.Subscription) -> str | None:
        """What became of the money for the current period; asked only where access hangs on it."""
        if found.status not in ("active", "past_due"):
            return None
        bill = bill_of_period(found, self._paid(found, _RECENT).data)
        if bill is None or not bill.amount_paid:
            return None
        charges = list(self._charges_of(bill))
        if charges and all(charge.refunded for charge in charges):
            return "refunded"
        return next((how for charge in charges if (how := self._disputed(charge))), None)

    def charge_taken_back(self, charge: stripe.Charge) -> str | None:
        """What became of one payment's money."""
        return "refunded" if charge.refunded else self._disputed(charge)

    def give_back(self, found: stripe.Subscription, why: str, since: datetime) -> int:
        """Gives back what was paid for the current period from `since` on, also by bills for changes of plan in it.

        Done halfway it can be done again: how much of a charge was refunded stands in it, whoever did it, and a
        credit to the balance names its subscription. Money in dispute is with the bank and left there.

        Returns:
            What has gone back in all.
        """
        paid = self._paid(found, _MOST)
        if paid.has_more:
            facts = {"subscription": found.id, "read": len(paid.data)}
            log.line("ERROR", "a subscription has more bills than are read", facts)
        back = owed(found, paid.data, int(since.timestamp()))
        # The oldest first: what is left to refund by hand, should this end halfway for good, is the smaller part.
        given_back = sum(self._refund(share, why) for share in reversed(back.shares))
        return given_back + (self._credit(found, back.balance) if back.balance else 0)

    def _refund(self, share: Share, why: str) -> int:
        left, given_back = max(0, share.amount - self._credited(share.bill)), 0
        for charge, paid in self._payments_of(share.bill):
            of_this = min(left, paid, charge.amount_captured)
            left -= of_this
            if charge.disputed:
                continue
            given_back += of_this
            missing = of_this - charge.amount_refunded
            if missing <= 0:
                continue
            wanted: RefundCreateParams = {
                "charge": charge.id,
                "amount": missing,
                "reason": "duplicate" if why == "duplicate" else "requested_by_customer",
            }
            self._v1.refunds.create(wanted, once("refund", charge.id, wanted))
        return given_back

    def _credited(self, bill: stripe.Invoice) -> int:
        """What somebody gave back by a credit note in another way than by a refund, which its charge tells of."""
        if not bill.post_payment_credit_notes_amount:
            return 0
        notes = self._v1.credit_notes.list({"invoice": bill.id, "limit": _MOST})
        return sum(
            note.post_payment_amount - sum(refund.amount_refunded for refund in note.refunds)
            for note in notes.data
            if note.status == "issued"
        )

    def _credit(self, found: stripe.Subscription, amount: int) -> int:
        """Puts back on the balance what its bills took from there."""
        customer = id_of(found.customer)
        moves = self._v1.customers.balance_transactions.list(customer, {"limit": _MOST})
        for move in moves.data:
            if metadata_of(move).get("ended_subscription") == found.id:
                return -move.amount
        wanted: CustomerBalanceTransactionCreateParams = {
            "amount": -amount,
            "currency": found.currency,
            "description": "What an ended subscription took",
            "metadata": {"ended_subscription": found.id},
        }
        self._v1.customers.balance_transactions.create(customer, wanted, once("credit", found.id, wanted))
        return amount

    def _paid(self, found: stripe.Subscription, most: int) -> "stripe.ListObject[stripe.Invoice]":
        return self._v1.invoices.list(
            {"subscription": found.id, "status": "paid", "limit": most, "expand": ["data.payments"]}
        )

    def _charges_of(self, bill: stripe.Invoice) -> Iterator[stripe.Charge]:
        return (charge for charge, _ in self._payments_of(bill))

    def _payments_of(self, bill: stripe.Invoice) -> Iterator[tuple[stripe.Charge, int]]:
        """The charges that paid it, each with how much of the bill it paid."""
        for payment in bill.payments.auto_paging_iter() if bill.payments is not None else ():
            if payment.status != "paid":
                continue
            amount, intent = payment.amount_paid or 0, payment.payment.payment_intent
            if intent is not None:
                charges = self._v1.charges.list({"payment_intent": id_of(intent), "limit": _RECENT})
                yield from ((charge, amount) for charge in charges.data if charge.paid)
            elif payment.payment.charge is not None:
                yield self._v1.charges.retrieve(id_of(payment.payment.charge)), amount

    def _disputed(self, charge: stripe.Charge) -> str | None:
        if not charge.disputed:
            return None
        disputes = self._v1.disputes.list({"charge": charge.id, "limit": _RECENT})
        return "disputed" if any(dispute.status == "lost" for dispute in disputes.data) else None
