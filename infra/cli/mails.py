"""mails: what was sent to accounts, and what was not."""

import click

from infra.cli.operator import Operator
from infra.cli.output import json_option, operator, show, table
from lib.accounts import mail_store

STATES = ("waiting", "sending", "sent", "needless", "failed", "unknown")
COLUMNS = ("id", "kind", "state", "attempts", "last_error", "user_id", "created_at", "settled_at")


@click.group()
def mails() -> None:
    """What was sent to accounts, and what was not."""


@mails.command("list")
@click.option(
    "--state",
    type=click.Choice(STATES),
    help="Only these; failed: given up or not taken, unknown: perhaps sent.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@json_option
@operator
def list_(on: Operator, *, state: str | None, limit: int, as_json: bool) -> None:
    """The newest mails, without their addresses. None is sent again from here: whoever misses one asks anew."""
    with on.database.transaction() as tx:
        found = mail_store.newest_mails(tx, state=state, limit=limit)
    shown = ("id", "kind", "state", "attempts", "last_error", "created_at")
    lines = table([shown, *([getattr(row, name) for name in shown] for row in found)])
    rows = [{name: getattr(row, name) for name in COLUMNS} for row in found]
    show({"mails": rows}, lines, as_json=as_json)
