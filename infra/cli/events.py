"""events: what Stripe sent."""

import sys
from collections.abc import Iterator

import click

from infra.cli.operator import Operator
from infra.cli.output import dry_run_option, json_option, log_aside, operator, show, table
from lib.adapters.task_queue import task_queue
from lib.billing import inbox
from lib.billing.events import Replays
from lib.errors import NotFoundError

COLUMNS = (
    "event_id",
    "type",
    "state",
    "attempts",
    "enqueues",
    "last_error",
    "customer_id",
    "received_at",
    "enqueued_at",
    "processed_at",
)


@click.group()
def events() -> None:
    """What Stripe sent, and what became of it."""


@events.command("list")
@click.option(
    "--state",
    type=click.Choice(["received", "processed", "ignored", "dead"]),
    help="Only these; received: waiting, dead: given up.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@json_option
@operator
def list_(on: Operator, *, state: str | None, limit: int, as_json: bool) -> None:
    """The newest events."""
    with on.database.transaction() as tx:
        found = inbox.events(tx, state=state, limit=limit)
    shown = ("event_id", "type", "state", "attempts", "last_error", "received_at")
    lines = table([shown, *([getattr(row, name) for name in shown] for row in found)])
    rows = [{name: getattr(row, name) for name in COLUMNS} for row in found]
    show({"events": rows}, lines, as_json=as_json)


@events.command()
@click.argument("event_id", required=False)
@click.option("--all-left", is_flag=True, help="All that wait, however lately they were tried.")
@click.option("--all-dead", is_flag=True, help="All that were given up.")
@dry_run_option
@json_option
@operator
def replay(
    on: Operator, event_id: str | None, *, all_left: bool, all_dead: bool, dry_run: bool, as_json: bool
) -> None:
    """Make a new task for EVENT_ID, whatever became of it; or for all that wait, or that were given up.

    Replaying does no harm: a task fetches what Stripe says now, whatever the event said.
    """
    if [event_id is not None, all_left, all_dead].count(True) != 1:
        raise click.UsageError("Give an event's id, or --all-left, or --all-dead")
    if dry_run:
        number = _would(on, event_id, dead=all_dead)
        show(
            {"replayed": 0, "would_replay": number, "dry_run": True},
            [f"would replay {number}"],
            as_json=as_json,
        )
        return
    replays = Replays(on.database, task_queue(on.settings.tasks()))
    with log_aside():
        if event_id is not None:
            replays.one(event_id, actor=on.actor)
            number = 1
        elif all_dead:
            number = _counted(replays.all_dead(actor=on.actor), replays.dead())
        else:
            number = _counted(replays.all_waiting(actor=on.actor), replays.waiting())
    show({"replayed": number}, [f"replayed {number}"], as_json=as_json)


def _would(on: Operator, event_id: str | None, *, dead: bool) -> int:
    with on.database.transaction() as tx:
        if dead:
            return inbox.dead_events(tx)
        if event_id is None:
            return inbox.waiting_events(tx)[0]
        if inbox.find_event(tx, event_id) is None:
            raise NotFoundError("There is no such event")
        return 1


def _counted(taken: Iterator[str], expected: int) -> int:
    with click.progressbar(taken, length=expected, label="Replaying", file=sys.stderr) as bar:
        return sum(1 for _ in bar)
