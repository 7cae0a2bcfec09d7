"""The grants of an account: their rows, and the one writer of what they come to. Needs no payment provider."""

import uuid
from collections.abc import Collection, Iterable
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from lib.billing import store
from lib.billing.entitlement import Grant, of_grants
from lib.config import Plan
from lib.database.schema import grants, videos
from lib.web.operation import rfc3339
from lib.web.ports import Clock

_FIELDS = tuple(field.name for field in fields(Grant))
# What a thing that gives may say otherwise later. When it began stays, and so does what playing made of a
# rental.
_CHANGES = ("plan", "level", "streams", "reason", "ends_at", "withheld")


def recompute(tx: Connection, user_id: uuid.UUID, clock: Clock, *, actor: str) -> None:
    """Writes what all grants of the account come to now: the only writer of entitlements.

    The caller holds the account's lock: store.lock_account.
    """
    given = of_grants(of_account(tx, user_id), clock.now())
    if store.keep_entitlement(tx, user_id, given):
        detail = asdict(given) | {"until": rfc3339(given.until)}
        del detail["streams"]
        store.record(tx, "entitlement_changed", user_id, actor, detail)


def of_account(tx: Connection, user_id: uuid.UUID) -> list[Grant]:
    return [_grant(row) for row in rows_of(tx, user_id)]


def rows_of(tx: Connection, user_id: uuid.UUID) -> list[Row[Any]]:
    """Newest first."""
    return list(
        tx.execute(
            select(grants)
            .where(grants.c.user_id == user_id)
            .order_by(grants.c.starts_at.desc(), grants.c.source, grants.c.source_id)
        )
    )


def films_held(tx: Connection, user_id: uuid.UUID, now: datetime, *, limit: int) -> list[Row[Any]]:
    """Grants of single films that hold now, each with its film's title, newest first. Not of films that were deleted.

    Stripe tells whole seconds: of the same one the later is the one that was noted later.
    """
    held = (
        select(grants, videos.c.title)
        .join(videos, videos.c.id == grants.c.video_id)
        .where(
            grants.c.user_id == user_id,
            grants.c.withheld.is_(None),
            grants.c.starts_at <= now,
            or_(grants.c.ends_at.is_(None), grants.c.ends_at > now),
            videos.c.deleted_at.is_(None),
        )
    )
    newest = (grants.c.starts_at.desc(), grants.c.created_at.desc(), grants.c.source_id)
    return list(tx.execute(held.order_by(*newest).limit(limit)))


def add(tx: Connection, user_id: uuid.UUID, grant: Grant, *, cause: str) -> uuid.UUID:
    """A new grant, of something that has given nothing yet; the id of its row."""
    grant_id = uuid.uuid4()
    tx.execute(insert(grants).values(id=grant_id, user_id=user_id, cause=cause, **asdict(grant)))
    return grant_id


def keep(tx: Connection, user_id: uuid.UUID, found: Iterable[Grant], *, cause: str) -> None:
    """Makes the rows say what these grants say, whose things are known by their ids.

    A row that says it already is not touched: who watches a rental just now may be writing it.
    """
    for grant in found:
        values = asdict(grant)
        changed = ("level", "withheld") if grant.video_id else _CHANGES
        tx.execute(
            upsert(grants)
            .values(id=uuid.uuid4(), user_id=user_id, cause=cause, **values)
            .on_conflict_do_update(
                index_elements=[grants.c.source, grants.c.source_id],
                set_={name: values[name] for name in changed}
                | {"user_id": user_id, "cause": cause, "updated_at": func.now()},
                where=or_(
                    grants.c.user_id != user_id,
                    *(grants.c[name].is_distinct_from(values[name]) for name in changed),
                ),
            )
        )


def follow_plans(tx: Connection, user_id: uuid.UUID, plans: Iterable[Plan], *, cause: str) -> None:
    """What was given by a plan's name gives what the plan gives now."""
    for plan in plans:
        tx.execute(
            update(grants)
            .where(
                grants.c.user_id == user_id,
                grants.c.source.in_(("gift", "staff")),
                grants.c.plan == plan.code,
                or_(grants.c.level != plan.level, grants.c.streams != plan.streams),
            )
            .values(level=plan.level, streams=plan.streams, cause=cause, updated_at=func.now())
        )


def withhold(
    tx: Connection, user_id: uuid.UUID, source: str, why: str, *, except_for: Collection[str], cause: str
) -> None:
    """Takes back what came from things of this source, other than these."""
    tx.execute(
        update(grants)
        .where(
            and_(
                grants.c.user_id == user_id,
                grants.c.source == source,
                grants.c.source_id.not_in(except_for),
                grants.c.withheld.is_(None),
            )
        )
        .values(withheld=why, cause=cause, updated_at=func.now())
    )


def revoke(
    tx: Connection, user_id: uuid.UUID, grant_id: uuid.UUID, *, sources: Collection[str], cause: str
) -> bool:
    """Takes one grant back for good; False where the account has none of these sources by this id."""
    found = tx.execute(
        update(grants)
        .where(grants.c.id == grant_id, grants.c.user_id == user_id, grants.c.source.in_(sources))
        .values(withheld="revoked", cause=cause, updated_at=func.now())
    )
    return found.rowcount == 1


def close_gap(tx: Connection, gone: Row[Any], *, now: datetime, cause: str) -> None:
    """Gifts of the same plan that were put behind this one move up by what was left of it, each as long as it was."""
    left = gone.ends_at - max(now, gone.starts_at)
    if left <= timedelta(0):
        return
    tx.execute(
        update(grants)
        .where(
            grants.c.user_id == gone.user_id,
            grants.c.source == "gift",
            grants.c.plan == gone.plan,
            grants.c.withheld.is_(None),
            grants.c.starts_at >= gone.ends_at,
        )
        .values(
            starts_at=grants.c.starts_at - left,
            ends_at=grants.c.ends_at - left,
            cause=cause,
            updated_at=func.now(),
        )
    )


def _grant(row: Row[Any]) -> Grant:
    return Grant(**{name: getattr(row, name) for name in _FIELDS})
