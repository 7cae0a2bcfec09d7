"""How much of what was paid for a subscription's current period lies after a moment. Nothing is asked here."""

from collections.abc import Sequence
from dataclasses import dataclass

import stripe

from lib.adapters.stripe_objects import period_of


@dataclass(frozen=True, slots=True)
class Share:
    """What of one bill goes back: by the way it was paid, to the cards it was charged to."""

    bill: stripe.Invoice
    amount: int


@dataclass(frozen=True, slots=True)
class Owed:
    """Bills newest first, and what goes back to the customer's balance because it was taken from there."""

    shares: tuple[Share, ...]
    balance: int


def owed(found: stripe.Subscription, paid: Sequence[stripe.Invoice], since: int) -> Owed:
    """What was paid for the rest of the current period, from `since` on.

    By what the lines of its bills cover, not by why they were made: the period's own bill and every bill for a change
    of plan in it count, each with the part that lies after `since`. A change to less gives a bill below nothing, which
    Stripe credits to the balance: that much less goes back.

    Args:
        paid: the subscription's paid bills, newest first.
    """
    start, _ = period_of(found)
    shares: list[Share] = []
    balance = 0
    for bill in paid:
        worth = _worth(bill, max(start, since))
        by_card = max(0, min(worth, bill.amount_paid))
        balance += _of_balance(bill, worth, by_card)
        shares.append(Share(bill, by_card))
    credit = max(0, -balance)
    for number, share in enumerate(shares):
        less = min(credit, share.amount)
        credit -= less
        shares[number] = Share(share.bill, share.amount - less)
    return Owed(tuple(share for share in shares if share.amount), max(0, balance))


def _worth(bill: stripe.Invoice, since: int) -> int:
    """What the bill asked for the time from then on, with its discounts and taxes."""
    lines = [(line.amount, line.period.start, line.period.end) for line in bill.lines.auto_paging_iter()]
    whole = sum(amount for amount, _, _ in lines)
    if not whole:
        return 0
    after = sum(amount * _part(start, end, since) for amount, start, end in lines)
    return round(bill.total * after / whole)


def _of_balance(bill: stripe.Invoice, worth: int, by_card: int) -> int:
    """What it took from the customer's balance; below nothing where it filled it."""
    moved = (bill.ending_balance or 0) - bill.starting_balance
    if bill.total < 0:
        return max(min(0, worth), moved)
    return min(max(0, worth - by_card), max(0, moved))


def _part(start: int, end: int, since: int) -> float:
    if end <= start:
        # Asked for once, not for a time.
        return float(start >= since)
    return max(0, end - max(start, since)) / (end - start)
