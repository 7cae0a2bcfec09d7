"""Queries over what accounts that are gone left at the payment provider."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from lib.database.schema import billing_accounts, closures


def lock_customer(tx: Connection, user_id: uuid.UUID) -> Row[Any, Any] | None:
    """What the account may have at the provider, with its row locked if there is one: `stripe_customer_id`, also of
    one that was deleted there, and `customer_begun_at`, when one was begun whose id is not known."""
    found = select(billing_accounts.c.stripe_customer_id, billing_accounts.c.customer_begun_at)
    return tx.execute(found.where(billing_accounts.c.user_id == user_id).with_for_update()).first()


def add_closure(
    tx: Connection, user_id: uuid.UUID, customer_id: str | None, begun_at: datetime | None
) -> None:
    tx.execute(
        insert(closures).values(user_id=user_id, stripe_customer_id=customer_id, customer_begun_at=begun_at)
    )


def enqueues_of_closure(tx: Connection, user_id: uuid.UUID) -> int | None:
    """The number of its task; None where nothing is left."""
    return tx.scalar(select(closures.c.enqueues).where(closures.c.user_id == user_id))


def lock_closure(tx: Connection, user_id: uuid.UUID) -> Row[Any, Any] | None:
    """What is left, as `lock_customer` told it, locked until the transaction ends; None where nothing is."""
    found = select(closures.c.stripe_customer_id, closures.c.customer_begun_at)
    return tx.execute(found.where(closures.c.user_id == user_id).with_for_update()).first()


def remove_closure(tx: Connection, user_id: uuid.UUID) -> None:
    tx.execute(delete(closures).where(closures.c.user_id == user_id))


def take_left_closures(tx: Connection, *, older: timedelta, limit: int) -> list[tuple[uuid.UUID, int]]:
    """Closures whose task seems lost, each with its next enqueue number; `older` as for events."""
    patience = older * func.power(2, func.least(closures.c.enqueues - 1, 6))
    left = (
        select(closures.c.user_id)
        .where(closures.c.enqueued_at < func.now() - patience)
        .order_by(closures.c.enqueued_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = tx.execute(
        update(closures)
        .where(closures.c.user_id.in_(left.scalar_subquery()))
        .values(enqueues=closures.c.enqueues + 1, enqueued_at=func.now())
        .returning(closures.c.user_id, closures.c.enqueues)
    )
    return [(row.user_id, row.enqueues) for row in rows]
