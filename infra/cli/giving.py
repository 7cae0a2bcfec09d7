"""What staff give and take back: plans by hand, gift codes, the end of a subscription."""

import uuid
from datetime import UTC, datetime, timedelta

import click

from infra.cli.account import find
from infra.cli.operator import Operator
from infra.cli.output import dry_run_option, json_option, log_aside, operator, show
from lib.adapters.stripe_payments import StripePayments
from lib.billing import store
from lib.billing.gifts import Gifts
from lib.billing.sync import Sync
from lib.errors import NotFoundError
from lib.web.operation import rfc3339
from lib.web.ports import SystemClock

_DAYS = click.IntRange(1, 3660)
_FROM_THE_START = datetime(1970, 1, 1, tzinfo=UTC)


@click.command()
@click.argument("who")
@click.argument("plan")
@click.option("--days", type=_DAYS, required=True, help="From now.")
@dry_run_option
@json_option
@operator
def give(on: Operator, who: str, plan: str, *, days: int, dry_run: bool, as_json: bool) -> None:
    """Give WHO a plan (its code) for some days, free of charge."""
    until = SystemClock().now() + timedelta(days=days)
    with on.database.transaction() as tx:
        user = find(tx, who)
        grant_id = Gifts(on.database, on.settings.plans(), SystemClock()).give(
            tx, user.id, plan, until=until, actor=on.actor
        )
        if dry_run:
            tx.rollback()
    words = "would have" if dry_run else f"grant {grant_id}:"
    show(
        {"user_id": user.id, "grant": None if dry_run else grant_id, "until": until, "dry_run": dry_run},
        [f"{words} {plan} until {rfc3339(until)}"],
        as_json=as_json,
    )


@click.command("take-back")
@click.argument("who")
@click.argument("grant", type=click.UUID)
@dry_run_option
@json_option
@operator
def take_back(on: Operator, who: str, grant: uuid.UUID, *, dry_run: bool, as_json: bool) -> None:
    """Take back a GRANT (its id, from `account explain`) of staff or of a gift code."""
    with on.database.transaction() as tx:
        user = find(tx, who)
        Gifts(on.database, on.settings.plans(), SystemClock()).take_back(tx, user.id, grant, actor=on.actor)
        if dry_run:
            tx.rollback()
    words = "would be taken back" if dry_run else "is taken back"
    show({"user_id": user.id, "grant": grant, "dry_run": dry_run}, [f"{grant} {words}"], as_json=as_json)


@click.command("end-subscription")
@click.argument("who")
@click.argument("subscription")
@click.option("--refund", is_flag=True, help="Give back what was paid for the current period, too.")
@dry_run_option
@json_option
@operator
def end_subscription(
    on: Operator, who: str, subscription: str, *, refund: bool, dry_run: bool, as_json: bool
) -> None:
    """End a SUBSCRIPTION (its id at Stripe) of WHO at once, as after a warning of fraud."""
    payments = StripePayments(on.settings.stripe(), on.settings.app_url())
    sync = Sync(payments, on.settings.plans(), on.settings.access(), SystemClock())
    with log_aside(), on.database.transaction(slow=True) as tx:
        user = find(tx, who)
        store.lock_account(tx, user.id)
        if subscription not in {row.stripe_id for row in store.subscriptions_of(tx, user.id)}:
            raise NotFoundError("This account has no such subscription")
        refunded = 0
        if not dry_run:
            refunded = payments.end_subscription(
                subscription, "revoked", refund_from=_FROM_THE_START if refund else None
            )
            sync.account(tx, user.id, actor=on.actor)
    words = "would be ended" if dry_run else "is ended"
    show(
        {"user_id": user.id, "subscription": subscription, "refunded": refunded, "dry_run": dry_run},
        [f"{subscription} {words}" + (f", {refunded} given back" if refunded else "")],
        as_json=as_json,
    )


@click.group()
def gifts() -> None:
    """Gift codes: a plan for some days, redeemed once, by whoever has the code."""


@gifts.command()
@click.argument("plan")
@click.option("--days", type=_DAYS, required=True, help="From the day a code is redeemed.")
@click.option("--count", type=click.IntRange(1, 1000), default=1, show_default=True)
@click.option("--note", help="What they are for; kept with them.")
@click.option(
    "--expires", type=click.DateTime(["%Y-%m-%d"]), help="From this day (UTC) on they are worth nothing."
)
@dry_run_option
@json_option
@operator
def make(
    on: Operator,
    plan: str,
    *,
    days: int,
    count: int,
    note: str | None,
    expires: datetime | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """New codes for a PLAN (its code). They are shown here and kept nowhere."""
    if dry_run:
        codes = []
    else:
        codes = Gifts(on.database, on.settings.plans(), SystemClock()).make(
            plan,
            days=days,
            count=count,
            note=note,
            expires_at=expires.replace(tzinfo=UTC) if expires else None,
            actor=on.actor,
        )
    result = {"plan": plan, "days": days, "count": count, "codes": codes, "dry_run": dry_run}
    show(result, codes or [f"would make {count} for {days} days of {plan}"], as_json=as_json)
