"""account explain: why somebody may watch, or may not. Event, grant, answer."""

import uuid
from datetime import datetime
from typing import Any

import click
from sqlalchemy import Connection, Row

from infra.cli.account import find
from infra.cli.operator import Operator
from infra.cli.output import json_option, operator, show, table
from lib.billing import grants, inbox, store
from lib.billing.entitlement import Grant, opening
from lib.billing.membership import AccountMembership
from lib.errors import VideoNotFoundError
from lib.web.ports import SystemClock

_EVENT = "event:"
_SHOWN = (
    "id",
    "source",
    "source_id",
    "plan",
    "video_id",
    "reason",
    "starts_at",
    "ends_at",
    "window_hours",
    "first_played_at",
    "withheld",
    "cause",
    "updated_at",
)


@click.command()
@click.argument("who")
@click.option("--video", "video_id", type=click.UUID, help="One film, instead of films in general.")
@json_option
@operator
def explain(on: Operator, who: str, *, video_id: uuid.UUID | None, as_json: bool) -> None:
    """Why WHO may watch, or may not: what caused each grant, what it gives, and what all of them come to."""
    clock = SystemClock()
    now, membership = clock.now(), AccountMembership(clock, on.settings.plans())
    with on.database.transaction() as tx:
        user = find(tx, who)
        _, entitlement = membership.of(tx, user.id, user.role)
        rows = grants.rows_of(tx, user.id)
        held = grants.of_account(tx, user.id)
        film = store.find_video(tx, video_id) if video_id else None
        told = [
            {name: getattr(row, name) for name in _SHOWN}
            | {"holds": grant.holds(now), "event": _event(tx, row.cause)}
            for row, grant in zip(rows, held, strict=True)
        ]
    if video_id is not None and film is None:
        raise VideoNotFoundError
    answer = {"entitlement": entitlement}
    if film is not None:
        answer["video"] = _of_film(film, held, entitlement, user.role, now)
    lines = [line for grant in told for line in _lines(grant)] or ["nothing was ever bought or given"]
    lines.append(f"answer: {_in_words(entitlement)}")
    if film is not None:
        lines.append(f"film:   {answer['video']['answer']}, {answer['video']['because']}")
    show({"user_id": user.id, "now": now, "grants": told, **answer}, lines, as_json=as_json)


def _event(tx: Connection, cause: str) -> dict[str, Any] | None:
    """What Stripe sent, where that caused it; older ones are deleted after a while."""
    if not cause.startswith(_EVENT):
        return None
    found = inbox.find_event(tx, cause.removeprefix(_EVENT))
    return found and {"id": found.event_id, "type": found.type, "received_at": found.received_at}


def _of_film(
    film: Row[Any], held: list[Grant], entitlement: dict[str, Any], role: str, now: datetime
) -> dict[str, Any]:
    """In the order in which get-playback looks at it."""
    answer, because = "yes", "it is free"
    if film.status == "removed" or not (film.published or role == "admin"):
        answer, because = "video_not_found", "it is removed or not published"
    elif role == "admin":
        because = "admins watch everything"
    elif film.level > 0 and entitlement["level"] >= film.level:
        because = f"{entitlement['reason']} of level {entitlement['level']}, the film's is {film.level}"
    elif film.level > 0:
        grant = opening(held, video_id=film.id, level=film.level, now=now)
        if grant is None:
            answer = "plan_upgrade_required" if entitlement["level"] else "subscription_required"
            because = (
                f"level {entitlement['level']} does not open level {film.level}, nor does a grant of its own"
            )
        else:
            because = f"{grant.reason} {grant.source_id}"
    if answer == "yes" and film.status != "ready":
        answer, because = "video_not_ready", f"it is {film.status}"
    return {"id": film.id, "level": film.level, "answer": answer, "because": because}


def _lines(grant: dict[str, Any]) -> list[str]:
    what = grant["plan"] or (f"film {grant['video_id']}" if grant["video_id"] else "no plan of ours")
    event = grant["event"]
    cause = f"{event['type']} {event['id']} of {event['received_at']:%F %T}" if event else grant["cause"]
    state = "holds" if grant["holds"] else grant["withheld"] or "its time has not come or is over"
    return table(
        [
            ("grant", f"{grant['source']} {grant['source_id']}"),
            ("  cause", cause),
            ("  gives", f"{what} as {grant['reason']}"),
            ("  from", grant["starts_at"]),
            ("  until", grant["ends_at"]),
            ("  now", state),
        ]
    )


def _in_words(entitlement: dict[str, Any]) -> str:
    until = f" until {entitlement['until']}" if entitlement["until"] else ""
    return f"level {entitlement['level']}, {entitlement['plan'] or 'no plan'}, {entitlement['reason']}{until}"
