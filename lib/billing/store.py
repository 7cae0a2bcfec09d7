"""Queries over billing accounts, checkouts, subscriptions and entitlements. Grants have grants.py."""

import hashlib
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, exists, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from lib.billing.entitlement import Entitlement
from lib.billing.ports import CheckoutSession, PaidSubscription
from lib.database.schema import (
    audit_log,
    billing_accounts,
    checkouts,
    entitlements,
    sold_prices,
    subscriptions,
    trial_cards,
    users,
    videos,
)
from lib.errors import InvalidTokenError


def lock_account(tx: Connection, user_id: uuid.UUID) -> Row[Any]:
    """The user's billing row, made if there is none, locked until the transaction ends.

    Not the user row: whoever syncs with the provider must not hold up logins.

    Raises:
        InvalidTokenError: the user was deleted since their token was checked.
    """
    mine = select(billing_accounts).where(billing_accounts.c.user_id == user_id)
    # Of who has no row yet the user is looked at, and a deletion under way waited for. Of others not: the
    # deletion locks the user first and this row after.
    rowless = select(users.c.id).where(users.c.id == user_id, ~mine.exists())
    made = upsert(billing_accounts).from_select(
        [billing_accounts.c.user_id], rowless.with_for_update(read=True, key_share=True, of=users)
    )
    tx.execute(made.on_conflict_do_nothing())
    row = tx.execute(mine.with_for_update()).first()
    if row is None:
        raise InvalidTokenError
    return row


def hold_user(tx: Connection, user_id: uuid.UUID) -> None:
    """The user is not deleted until the transaction ends. Before `lock_account`, for rows that will name the user:
    a deletion locks in this order.

    Raises:
        InvalidTokenError: the user was deleted since their token was checked.
    """
    user = select(users.c.id).where(users.c.id == user_id)
    if tx.execute(user.with_for_update(read=True, key_share=True)).first() is None:
        raise InvalidTokenError


def user_of_customer(tx: Connection, customer_id: str) -> uuid.UUID | None:
    return tx.scalar(
        select(billing_accounts.c.user_id).where(billing_accounts.c.stripe_customer_id == customer_id)
    )


def customer_of(tx: Connection, user_id: uuid.UUID) -> str | None:
    """The provider's id of the user, unless there is none or it was deleted there."""
    return tx.scalar(
        select(billing_accounts.c.stripe_customer_id).where(
            billing_accounts.c.user_id == user_id, billing_accounts.c.customer_deleted.is_(False)
        )
    )


def is_user(tx: Connection, user_id: uuid.UUID) -> bool:
    return tx.execute(select(users.c.id).where(users.c.id == user_id)).first() is not None


def email_of(tx: Connection, user_id: uuid.UUID) -> str:
    return str(tx.execute(select(users.c.email).where(users.c.id == user_id)).scalar_one())


def begin_customer(tx: Connection, user_id: uuid.UUID) -> None:
    """A customer is about to be made, by a key that stays until its id is kept."""
    attempt = func.coalesce(billing_accounts.c.customer_attempt, func.gen_random_uuid())
    tx.execute(
        update(billing_accounts)
        .where(billing_accounts.c.user_id == user_id)
        .values(customer_attempt=attempt, customer_begun_at=func.now())
    )


def keep_customer(tx: Connection, user_id: uuid.UUID, customer_id: str) -> None:
    tx.execute(
        update(billing_accounts)
        .where(billing_accounts.c.user_id == user_id)
        .values(
            stripe_customer_id=customer_id,
            customer_deleted=False,
            customer_attempt=None,
            customer_begun_at=None,
        )
    )


def films_bought(tx: Connection, user_id: uuid.UUID) -> bool:
    """Whether the account ever opened a page for a film, or has not been compared yet, so that it may have."""
    asked = select(checkouts.c.user_id).where(
        checkouts.c.user_id == user_id, checkouts.c.video_id.is_not(None)
    )
    unknown = select(billing_accounts.c.user_id).where(
        billing_accounts.c.user_id == user_id, billing_accounts.c.synced_at.is_(None)
    )
    return bool(tx.scalar(select(or_(exists(asked), exists(unknown)))))


def checkouts_opened(tx: Connection, user_id: uuid.UUID) -> int:
    return tx.execute(
        select(func.count()).select_from(checkouts).where(checkouts.c.user_id == user_id)
    ).scalar_one()


def open_checkout(tx: Connection, user_id: uuid.UUID) -> Row[Any] | None:
    return tx.execute(
        select(checkouts).where(checkouts.c.user_id == user_id, checkouts.c.state == "open")
    ).first()


def owns_checkout(tx: Connection, user_id: uuid.UUID, session_id: str) -> bool:
    return (
        tx.scalar(
            select(func.count())
            .select_from(checkouts)
            .where(checkouts.c.user_id == user_id, checkouts.c.stripe_session_id == session_id)
        )
        == 1
    )


def add_checkout(
    tx: Connection,
    user_id: uuid.UUID,
    *,
    plan: str | None,
    video_id: uuid.UUID | None,
    promotion_code: str | None,
    session: CheckoutSession,
) -> None:
    tx.execute(
        insert(checkouts).values(
            stripe_session_id=session.id,
            user_id=user_id,
            plan=plan,
            video_id=video_id,
            promotion_code=promotion_code,
            url=session.url,
            expires_at=session.expires_at,
        )
    )


def known_videos(tx: Connection, video_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Which of them there are; a database that was rebuilt may lack some."""
    return set(tx.scalars(select(videos.c.id).where(videos.c.id.in_(video_ids)))) if video_ids else set()


def claim_trial_card(tx: Connection, card: str, subscription_id: str) -> str:
    """The subscription whose trial this card was first used for: this one, if the card is new.

    Two trials with one card at once take turns here.
    """
    card_hash = hashlib.sha256(card.encode()).digest()
    tx.execute(
        upsert(trial_cards)
        .values(card_hash=card_hash, subscription_id=subscription_id)
        .on_conflict_do_nothing()
    )
    return str(
        tx.execute(
            select(trial_cards.c.subscription_id).where(trial_cards.c.card_hash == card_hash)
        ).scalar_one()
    )


def find_video(tx: Connection, video_id: uuid.UUID) -> Row[Any] | None:
    """A film that is there now: neither deleted nor outside the time its admin gave it."""
    return tx.execute(
        select(videos).where(
            videos.c.id == video_id,
            videos.c.deleted_at.is_(None),
            or_(videos.c.available_from.is_(None), videos.c.available_from <= func.now()),
            or_(videos.c.available_until.is_(None), videos.c.available_until > func.now()),
        )
    ).first()


def withdrawn() -> ColumnElement[bool]:
    """Of a film, beside its row: whether nobody should pay for it, since it is not shown any more.

    One that is only announced is still to come.
    """
    return or_(
        videos.c.deleted_at.is_not(None),
        videos.c.status == "removed",
        videos.c.published.is_(False),
        videos.c.available_until <= func.now(),
    )


def is_withdrawn(tx: Connection, video_id: uuid.UUID) -> bool:
    return bool(tx.scalar(select(withdrawn()).where(videos.c.id == video_id)))


def close_checkout(tx: Connection, session_id: str, state: str) -> None:
    """The page's address goes: it is of no use any more."""
    tx.execute(
        update(checkouts).where(checkouts.c.stripe_session_id == session_id).values(state=state, url=None)
    )


def replace_subscriptions(
    tx: Connection, user_id: uuid.UUID, found: Sequence[tuple[PaidSubscription, str | None]]
) -> None:
    """Makes the rows say what the provider says. `found` pairs each subscription with its plan code.

    A subscription that is not listed any more is over: its customer was deleted, or replaced.
    """
    tx.execute(
        update(subscriptions)
        .where(
            subscriptions.c.user_id == user_id,
            subscriptions.c.stripe_id.not_in([subscription.id for subscription, _ in found]),
        )
        .values(status="canceled", payment_missed_at=None, synced_at=func.now())
    )
    for subscription, plan in found:
        values = {
            "user_id": user_id,
            "plan": plan,
            "price_id": subscription.price_id,
            "status": subscription.status,
            "paused": subscription.paused,
            "cancel_at_period_end": subscription.cancel_at_period_end,
            "cancel_at": subscription.cancel_at,
            "current_period_end": subscription.current_period_end,
            "trial_end": subscription.trial_end,
            "payment_missed_at": subscription.payment_missed_at,
            "created_at": subscription.created_at,
            "synced_at": func.now(),
        }
        tx.execute(
            upsert(subscriptions)
            .values(stripe_id=subscription.id, **values)
            .on_conflict_do_update(index_elements=[subscriptions.c.stripe_id], set_=values)
        )


def remember_prices(tx: Connection, sold: Mapping[str, str]) -> None:
    """price id -> plan code, as their lookup keys say now."""
    known = plans_sold_by(tx, sold)
    for price_id, plan in sorted(sold.items()):
        if known.get(price_id) == plan:
            # Not even locked, as ON CONFLICT would: all accounts that pay this price would wait for this one.
            continue
        tx.execute(
            upsert(sold_prices)
            .values(price_id=price_id, plan=plan)
            .on_conflict_do_update(
                index_elements=[sold_prices.c.price_id],
                set_={"plan": plan},
                where=sold_prices.c.plan != plan,
            )
        )


def add_prices(tx: Connection, sold: Mapping[str, str]) -> None:
    """price id -> plan code, for those that were never met; what is known stays as it is."""
    if sold:
        rows = [{"price_id": price_id, "plan": plan} for price_id, plan in sorted(sold.items())]
        tx.execute(upsert(sold_prices).values(rows).on_conflict_do_nothing())


def plans_sold_by(tx: Connection, price_ids: Collection[str]) -> dict[str, str]:
    """price id -> plan code, for those that were met before."""
    rows = tx.execute(
        select(sold_prices.c.price_id, sold_prices.c.plan).where(sold_prices.c.price_id.in_(price_ids))
    )
    return {row.price_id: row.plan for row in rows}


def subscriptions_of(tx: Connection, user_id: uuid.UUID) -> list[Row[Any]]:
    """Newest first."""
    return list(
        tx.execute(
            select(subscriptions)
            .where(subscriptions.c.user_id == user_id)
            .order_by(subscriptions.c.created_at.desc(), subscriptions.c.stripe_id.desc())
        )
    )


def entitlement_of(tx: Connection, user_id: uuid.UUID) -> Row[Any] | None:
    return tx.execute(select(entitlements).where(entitlements.c.user_id == user_id)).first()


def keep_entitlement(tx: Connection, user_id: uuid.UUID, found: Entitlement) -> bool:
    """Keeps the account's entitlement; True where it differs from the one before."""
    before = entitlement_of(tx, user_id)
    values: dict[str, Any] = asdict(found)
    if before is not None and {key: getattr(before, key) for key in values} == values:
        return False
    values["updated_at"] = func.now()
    tx.execute(
        upsert(entitlements)
        .values(user_id=user_id, **values)
        .on_conflict_do_update(index_elements=[entitlements.c.user_id], set_=values)
    )
    return True


def keep_synced(tx: Connection, user_id: uuid.UUID, *, deleted: bool) -> None:
    """The account was compared with the provider just now, which has or has not deleted its customer."""
    tx.execute(
        update(billing_accounts)
        .where(billing_accounts.c.user_id == user_id)
        .values(synced_at=func.now(), customer_deleted=deleted)
    )


def record(
    tx: Connection,
    kind: str,
    user_id: uuid.UUID | None,
    actor: str,
    detail: dict[str, Any],
    *,
    address: str = "",
) -> None:
    """A line of the audit log, about this user or about nobody in particular."""
    tx.execute(
        insert(audit_log).values(
            kind=kind, user_id=user_id, actor=actor, detail=detail, address=address or None
        )
    )
