"""account: what one person has, and making it true again."""

from typing import Any

import click
from sqlalchemy import Connection, Row

from infra.cli.operator import Operator
from infra.cli.output import dry_run_option, json_option, log_aside, operator, show, table
from lib.accounts import store as accounts
from lib.adapters.stripe_payments import StripePayments
from lib.billing import store as billing
from lib.billing.membership import AccountMembership
from lib.billing.sync import Sync
from lib.errors import NotFoundError
from lib.web.operation import as_uuid
from lib.web.ports import SystemClock

SUBSCRIPTION = (
    "stripe_id",
    "plan",
    "status",
    "current_period_end",
    "cancel_at_period_end",
    "paused",
    "payment_missed_at",
    "synced_at",
)


@click.group()
def account() -> None:
    """What one person has. WHO is an email or a user's id."""


@account.command("show")
@click.argument("who")
@click.option(
    "--lines", type=click.IntRange(0, 1000), default=10, show_default=True, help="Of the audit log."
)
@json_option
@operator
def show_(on: Operator, who: str, *, lines: int, as_json: bool) -> None:
    """Entitlement, subscriptions, and the last lines of the audit log about them."""
    membership = AccountMembership(SystemClock(), on.settings.plans())
    with on.database.transaction() as tx:
        user = find(tx, who)
        _, entitlement = membership.of(tx, user.id, user.role)
        customer = billing.customer_of(tx, user.id)
        subscriptions = billing.subscriptions_of(tx, user.id)
        said = accounts.audit_lines(tx, user.id, lines)
    result = {
        "user": {
            "id": user.id,
            "email": user.email,
            "name": user.name,
            "role": user.role,
            "created_at": user.created_at,
        },
        "stripe_customer_id": customer,
        "entitlement": entitlement,
        "subscriptions": [{name: getattr(row, name) for name in SUBSCRIPTION} for row in subscriptions],
        "audit": [_line(row) for row in said],
    }
    about = [
        ("user", f"{user.email} {user.id} {user.role}"),
        ("customer", customer),
        ("access", _access(entitlement)),
    ]
    paid = [
        (
            "subscription",
            f"{row.stripe_id} {row.plan or 'no plan of ours'}, {row.status}, {row.current_period_end:%F}",
        )
        for row in subscriptions
    ]
    show(result, table([*about, *paid, *(_said(row) for row in said)]), as_json=as_json)


@account.command()
@click.argument("who")
@click.option("--lines", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most.")
@json_option
@operator
def audit(on: Operator, who: str, *, lines: int, as_json: bool) -> None:
    """The audit log about WHO, newest first: what, by whom, from where. An account that is gone by its id."""
    with on.database.transaction() as tx:
        user = accounts.find_user(tx, who)
        user_id = user.id if user else as_uuid(who)
        found = accounts.audit_lines(tx, user_id, lines) if user_id else []
    if not found:
        raise NotFoundError("The audit log knows no such account")
    result = {"user_id": user_id, "gone": user is None, "audit": [_line(row) for row in found]}
    show(result, table([_said(row) for row in found]), as_json=as_json)


@account.command()
@click.argument("who")
@dry_run_option
@json_option
@operator
def sync(on: Operator, who: str, *, dry_run: bool, as_json: bool) -> None:
    """Ask Stripe what WHO pays for, and write it down, as an event would.

    With --dry-run Stripe is asked too, and what would be written is shown and taken back.
    """
    clock, plans = SystemClock(), on.settings.plans()
    membership = AccountMembership(clock, plans)
    payments = StripePayments(on.settings.stripe(), on.settings.app_url())
    syncing = Sync(payments, plans, on.settings.access(), clock)
    with log_aside(), on.database.transaction(slow=True) as tx:
        user = find(tx, who)
        customer = billing.customer_of(tx, user.id)
        _, before = membership.of(tx, user.id, user.role)
        syncing.account(tx, user.id, actor=on.actor, films=True, dry_run=dry_run)
        subscription, after = membership.of(tx, user.id, user.role)
        if dry_run:
            tx.rollback()
    lines = [f"was  {_access(before)}", f"{'would be' if dry_run else 'is'}  {_access(after)}"]
    if customer is None:
        lines.append("This account has never been at Stripe.")
    show(
        {
            "user_id": user.id,
            "stripe_customer_id": customer,
            "subscription": subscription,
            "before": before,
            "entitlement": after,
            "changed": before != after,
            "dry_run": dry_run,
        },
        lines,
        as_json=as_json,
    )


def _line(row: Row[Any]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("at", "kind", "actor", "address", "detail")}


def _said(row: Row[Any]) -> tuple[Any, str]:
    place = f" from {row.address}" if row.address else ""
    return row.at, f"{row.kind} by {row.actor}{place} {row.detail or ''}"


def find(tx: Connection, who: str) -> Row[Any]:
    """By id or email; raises NotFoundError."""
    user = accounts.find_user(tx, who)
    if user is None:
        raise NotFoundError("There is no such account")
    return user


def _access(entitlement: dict[str, Any]) -> str:
    until = f" until {entitlement['until']}" if entitlement["until"] else ""
    return f"level {entitlement['level']}, {entitlement['plan'] or 'no plan'}, {entitlement['reason']}{until}"
