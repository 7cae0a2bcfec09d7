"""backfill: what Stripe knows of all customers, written down anew."""

import sys
from collections import Counter

import click

from infra.cli.operator import Operator
from infra.cli.output import dry_run_option, json_option, log_aside, operator, show
from lib.adapters.stripe_books import StripeBooks
from lib.adapters.stripe_payments import StripePayments
from lib.billing.backfill import Backfill, Filled
from lib.billing.sync import Sync
from lib.web.ports import SystemClock

OUTCOMES = ("synced", "linked", "foreign", "nobody", "second", "second_paying", "failed")
# Left to a human, each by its id.
TOLD = ("nobody", "second", "second_paying", "failed")


@click.command()
@dry_run_option
@json_option
@operator
def backfill(on: Operator, *, dry_run: bool, as_json: bool) -> None:
    """Build billing anew from Stripe: every customer with its subscriptions, films and entitlement.

    For an emptied or restored database. It does no harm to a full one, and may be run again: what is right
    stays as it is. Exit code 1 if a customer failed.
    """
    plans = on.settings.plans()
    payments = StripePayments(on.settings.stripe(), on.settings.app_url())
    sync = Sync(payments, plans, on.settings.access(), SystemClock())
    filling = Backfill(on.database, StripeBooks(on.settings.stripe()), payments, sync, plans)
    with (
        log_aside(),
        click.progressbar(
            filling.run(actor=on.actor, dry_run=dry_run), label="Customers", show_pos=True, file=sys.stderr
        ) as bar,
    ):
        filled = list(bar)
    counted = Counter(each.outcome for each in filled)
    told = [_told(each) for each in filled if each.outcome in TOLD]
    numbers = {outcome: counted[outcome] for outcome in OUTCOMES}
    lines = [f"{number} {outcome}" for outcome, number in numbers.items() if number]
    lines += [f"{each['outcome']}: {each['customer_id']} (user {each['user_id']})" for each in told]
    result = {"customers": len(filled), **numbers, "told": told, "dry_run": dry_run}
    show(result, ["(nothing was written)", *lines] if dry_run else lines or ["no customers"], as_json=as_json)
    if counted["failed"]:
        sys.exit(1)


def _told(each: Filled) -> dict[str, str]:
    return {"customer_id": each.customer_id, "user_id": str(each.user_id), "outcome": each.outcome}
