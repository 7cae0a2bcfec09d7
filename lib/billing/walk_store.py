"""Queries for comparing with the provider: how far a walk has come, and what our rows say about a page of it."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert

from lib.billing.entitlement import LIVE_STATUSES
from lib.billing.store import withdrawn
from lib.config import Plan
from lib.database.schema import (
    billing_accounts,
    checkouts,
    entitlements,
    grants,
    sold_prices,
    subscriptions,
    users,
    videos,
    walks,
)


def position(tx: Connection, name: str, first: Mapping[str, Any]) -> dict[str, Any]:
    """Where the walk stands; it begins at `first`."""
    tx.execute(upsert(walks).values(name=name, position=dict(first)).on_conflict_do_nothing())
    found: dict[str, Any] = tx.execute(select(walks.c.position).where(walks.c.name == name)).scalar_one()
    return found


def advance(tx: Connection, name: str, *, before: Mapping[str, Any], then: Mapping[str, Any]) -> bool:
    """Moves the walk on, unless somebody else has."""
    moved = (
        update(walks)
        .where(walks.c.name == name, walks.c.position == dict(before))
        .values(position=dict(then), updated_at=func.now())
    )
    return tx.execute(moved).rowcount == 1


def users_of_customers(tx: Connection, customer_ids: Collection[str]) -> dict[str, uuid.UUID]:
    rows = tx.execute(
        select(billing_accounts.c.stripe_customer_id, billing_accounts.c.user_id).where(
            billing_accounts.c.stripe_customer_id.in_(customer_ids)
        )
    )
    return {row.stripe_customer_id: row.user_id for row in rows}


def known_users(tx: Connection, user_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, str | None]:
    """Those of them that have an account with us, each with the customer it has."""
    joined = users.outerjoin(billing_accounts, billing_accounts.c.user_id == users.c.id)
    rows = tx.execute(
        select(users.c.id, billing_accounts.c.stripe_customer_id)
        .select_from(joined)
        .where(users.c.id.in_(user_ids))
    )
    return {row.id: row.stripe_customer_id for row in rows}


def subscription_rows(tx: Connection, stripe_ids: Collection[str]) -> dict[str, Row[Any]]:
    rows = tx.execute(select(subscriptions).where(subscriptions.c.stripe_id.in_(stripe_ids)))
    return {row.stripe_id: row for row in rows}


def live_between(tx: Connection, *, after: datetime | None, until: datetime) -> dict[str, uuid.UUID]:
    """Subscriptions that live by our rows and began in this time, each with its user."""
    conditions = [subscriptions.c.created_at <= until, subscriptions.c.status.in_(LIVE_STATUSES)]
    if after is not None:
        conditions.append(subscriptions.c.created_at > after)
    rows = tx.execute(select(subscriptions.c.stripe_id, subscriptions.c.user_id).where(and_(*conditions)))
    return {row.stripe_id: row.user_id for row in rows}


def entitled(tx: Connection, user_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Those of them for whom it was ever worked out what they may watch."""
    return set(tx.scalars(select(entitlements.c.user_id).where(entitlements.c.user_id.in_(user_ids))))


def of_former_plans(
    tx: Connection, plans: Sequence[Plan], *, after: uuid.UUID | None, limit: int
) -> list[uuid.UUID]:
    """Accounts with a grant that gives something else than its plan gives now, or whose price had no plan then."""
    gives = [(plan.code, plan.level, plan.streams) for plan in plans]
    differs = tuple_(grants.c.plan, grants.c.level, grants.c.streams).not_in(gives)
    bought = and_(grants.c.source == "subscription", differs)
    # What is given stays as it was given where there is no such plan any more.
    given = and_(
        grants.c.source.in_(("gift", "staff")), grants.c.plan.in_([plan.code for plan in plans]), differs
    )
    unsold = and_(grants.c.source == "subscription", grants.c.plan.is_(None), grants.c.withheld == "none")
    found = (
        select(grants.c.user_id)
        .distinct()
        .where(
            grants.c.ends_at > func.now(),
            or_(and_(grants.c.withheld.is_(None), or_(bought, given)), unsold),
        )
        .order_by(grants.c.user_id)
        .limit(limit)
    )
    return list(tx.scalars(found if after is None else found.where(grants.c.user_id > after)))


def prices_sold(tx: Connection, price_ids: Collection[str]) -> set[str]:
    return set(tx.scalars(select(sold_prices.c.price_id).where(sold_prices.c.price_id.in_(price_ids))))


def overdue_checkouts(tx: Connection, *, older: timedelta, limit: int) -> list[Row[Any]]:
    """Pages that are open by our rows and ended long ago, or sell a film that was withdrawn, the oldest first:
    `user_id`, `stripe_session_id`."""
    ended = checkouts.c.expires_at < func.now() - older
    return list(
        tx.execute(
            select(checkouts.c.user_id, checkouts.c.stripe_session_id)
            .outerjoin(videos, videos.c.id == checkouts.c.video_id)
            .where(checkouts.c.state == "open", or_(ended, withdrawn()))
            .order_by(checkouts.c.expires_at)
            .limit(limit)
        )
    )
