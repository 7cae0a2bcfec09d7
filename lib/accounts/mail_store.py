"""Queries over mails and the links they carry."""

import hashlib
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, select, update

from lib.database.schema import links, mails, users

# Mails of an account that carry a link -> what the link is for.
PURPOSES = {"verification": "verify", "email_change": "change", "already_registered": "reset"}


def add_mail(
    tx: Connection,
    kind: str,
    *,
    user_id: uuid.UUID | None,
    email: str | None,
    facts: Mapping[str, Any],
    due_in: timedelta,
) -> uuid.UUID:
    mail_id = uuid.uuid4()
    tx.execute(
        insert(mails).values(
            id=mail_id,
            user_id=user_id,
            email=email,
            kind=kind,
            facts=dict(facts),
            due_at=func.now() + due_in,
        )
    )
    return mail_id


def waiting_mail(tx: Connection, mail_id: uuid.UUID) -> Row[Any] | None:
    """The mail as it is, if it waits. It is nobody's yet."""
    return tx.execute(select(mails).where(mails.c.id == mail_id, mails.c.state == "waiting")).first()


def claim_mail(tx: Connection, mail_id: uuid.UUID) -> Row[Any] | None:
    """The mail, which is the caller's to send now. None: it is settled, or in somebody else's hands."""
    claimed = (
        update(mails)
        .where(mails.c.id == mail_id, mails.c.state == "waiting")
        .values(state="sending", attempts=mails.c.attempts + 1, claimed_at=func.now())
    )
    return tx.execute(claimed.returning(*mails.c)).first()


def settle_mail(tx: Connection, mail_id: uuid.UUID, state: str, error: str | None = None) -> bool:
    """Nothing is to be done about it any more. False: somebody else settled it meanwhile."""
    settled = (
        update(mails)
        .where(mails.c.id == mail_id, mails.c.state == "sending")
        .values(state=state, settled_at=func.now(), last_error=error, email=None, facts={})
    )
    return tx.execute(settled.returning(mails.c.id)).first() is not None


def put_mail_back(tx: Connection, mail_id: uuid.UUID, *, error: str, due_in: timedelta) -> None:
    """It was not taken, and may be tried again."""
    tx.execute(
        update(mails)
        .where(mails.c.id == mail_id, mails.c.state == "sending")
        .values(state="waiting", last_error=error, due_at=func.now() + due_in)
    )


def take_due_mails(tx: Connection, *, due_in: timedelta, limit: int) -> list[tuple[uuid.UUID, int]]:
    """Mails that wait and are due, each with the number of its next task; due again later."""
    due = (
        select(mails.c.id)
        .where(mails.c.state == "waiting", mails.c.due_at <= func.now())
        .order_by(mails.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken = (
        update(mails)
        .where(mails.c.id.in_(due.scalar_subquery()))
        .values(enqueues=mails.c.enqueues + 1, due_at=func.now() + due_in)
    )
    return [(row.id, row.enqueues) for row in tx.execute(taken.returning(mails.c.id, mails.c.enqueues))]


def give_up_mails(tx: Connection, *, older: timedelta) -> list[Row[Any]]:
    """Those that wait so long that nobody waits for them any more: failed."""
    over = and_(mails.c.state == "waiting", mails.c.created_at < func.now() - older)
    given_up = update(mails).where(over).values(state="failed", settled_at=func.now(), email=None, facts={})
    return list(tx.execute(given_up.returning(mails.c.id, mails.c.kind, mails.c.last_error)))


def doubt_mails(tx: Connection, *, older: timedelta) -> list[Row[Any]]:
    """Those whose sender must be dead by now: whether they were taken is unknown."""
    over = and_(mails.c.state == "sending", mails.c.claimed_at < func.now() - older)
    doubted = (
        update(mails)
        .where(over)
        .values(state="unknown", settled_at=func.now(), last_error="died", email=None, facts={})
    )
    return list(tx.execute(doubted.returning(mails.c.id, mails.c.kind, mails.c.last_error)))


def newest_mails(tx: Connection, *, state: str | None, limit: int) -> list[Row[Any]]:
    """Of this state, or of any; newest first."""
    found = select(mails) if state is None else select(mails).where(mails.c.state == state)
    return list(tx.execute(found.order_by(mails.c.created_at.desc(), mails.c.id).limit(limit)))


def drop_mails_to(tx: Connection, email: str) -> None:
    """Those on their way to the address alone, whoever has it."""
    tx.execute(delete(mails).where(mails.c.email == email, mails.c.user_id.is_(None)))


def hash_of(token: str) -> bytes:
    """What is kept of a link's token."""
    return hashlib.sha256(token.encode(errors="replace")).digest()


def addressee(tx: Connection, *, user_id: uuid.UUID | None, email: str | None) -> Row[Any] | None:
    """The account, by id or else by address, kept as it is until the transaction ends."""
    whose = users.c.id == user_id if user_id else users.c.email == email
    return tx.execute(select(users).where(whose).with_for_update(key_share=True)).first()


def add_link(
    tx: Connection,
    token_hash: bytes,
    *,
    user_id: uuid.UUID,
    purpose: str,
    email: str | None,
    lives: timedelta,
) -> None:
    """Args: email: the address to be, with the purpose "change"."""
    tx.execute(
        insert(links).values(
            token_hash=token_hash,
            user_id=user_id,
            purpose=purpose,
            email=email,
            expires_at=func.now() + lives,
        )
    )


def whose_link(tx: Connection, token_hash: bytes, purpose: str) -> Row[Any] | None:
    """The user of a link that works. It goes on working."""
    return tx.execute(
        select(users)
        .join(links, links.c.user_id == users.c.id)
        .where(links.c.token_hash == token_hash, links.c.purpose == purpose, links.c.expires_at > func.now())
    ).first()


def use_link(tx: Connection, token_hash: bytes, *purposes: str) -> Row[Any] | None:
    """The link, which nobody can use any more. None: it does not work. Of many at once one gets it."""
    used = delete(links).where(
        links.c.token_hash == token_hash, links.c.purpose.in_(purposes), links.c.expires_at > func.now()
    )
    return tx.execute(used.returning(*links.c)).first()


def drop_link(tx: Connection, token_hash: bytes) -> None:
    """It was mailed to nobody."""
    tx.execute(delete(links).where(links.c.token_hash == token_hash))


def end_links(tx: Connection, user_id: uuid.UUID, *purposes: str) -> None:
    """No link of these purposes, or with none named no link at all, works for the user any more.

    Whoever changes a password or an address calls it: what was mailed before, perhaps at a thief's wish and
    to a thief's address, is not to undo that. Nor is what is still on its way: those mails are needless now, since
    sending one would make its link anew.

    Args:
        user_id: whose row the caller has locked.
    """
    kinds = [kind for kind, purpose in PURPOSES.items() if not purposes or purpose in purposes]
    tx.execute(
        update(mails)
        .where(mails.c.user_id == user_id, mails.c.kind.in_(kinds), mails.c.state.in_(("waiting", "sending")))
        .values(state="needless", settled_at=func.now(), email=None, facts={})
    )
    ended = delete(links).where(links.c.user_id == user_id)
    tx.execute(ended.where(links.c.purpose.in_(purposes)) if purposes else ended)


def verify_email(tx: Connection, user_id: uuid.UUID) -> bool:
    """False where it was verified already."""
    verified = (
        update(users)
        .where(users.c.id == user_id, users.c.email_verified_at.is_(None))
        .values(email_verified_at=func.now())
    )
    return tx.execute(verified.returning(users.c.id)).first() is not None
