"""events: what Stripe sent."""

import sys

import click

from infra.cli.operator import Operator
from infra.cli.output import dry_run_option, json_option, log_aside, operator, show, table
from lib.adapters.task_queue import task_queue
from lib.billing import store
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
    "--state", type=click.Choice(["received", "processed", "ignored"]), help="Only these; received: waiting."
)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@json_option
@operator
def list_(on: Operator, *, state: str | None, limit: int, as_json: bool) -> None:
    """The newest events."""
    with on.database.transaction() as tx:
        found = store.events(tx, state=state, limit=limit)
    shown = ("event_id", "type", "state", "attempts", "last_error", "received_at")
    lines = table([shown, *([getattr(row, name) for name in shown] for row in found)])
    rows = [{name: getattr(row, name) for name in COLUMNS} for row in found]
    show({"events": rows}, lines, as_json=as_json)


@events.command()
@click.argument("event_id", required=False)
@click.option("--all-left", is_flag=True, help="All that wait, however lately they were tried.")
@dry_run_option
@json_option
@operator
def replay(on: Operator, event_id: str | None, *, all_left: bool, dry_run: bool, as_json: bool) -> None:
    """Make a new task for EVENT_ID, also if it was processed or ignored; or for all that wait.

    Replaying does no harm: a task fetches what Stripe says now, whatever the event said.
    """
    if (event_id is None) != all_left:
        raise click.UsageError("Give an event's id, or --all-left")
    if dry_run:
        number = _would(on, event_id)
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
        else:
            number = _all(replays, on.actor)
    show({"replayed": number}, [f"replayed {number}"], as_json=as_json)


def _would(on: Operator, event_id: str | None) -> int:
    with on.database.transaction() as tx:
        if event_id is None:
            return store.waiting_events(tx)[0]
        if store.find_event(tx, event_id) is None:
            raise NotFoundError("There is no such event")
        return 1


def _all(replays: Replays, actor: str) -> int:
    taken = replays.all_waiting(actor=actor)
    with click.progressbar(taken, length=replays.waiting(), label="Replaying", file=sys.stderr) as bar:
        return sum(1 for _ in bar)
