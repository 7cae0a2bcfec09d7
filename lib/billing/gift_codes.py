"""Queries over gift codes. A code is found by its hash alone."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select, update

from lib.database.schema import gift_codes


def add(
    tx: Connection,
    hashes: Sequence[bytes],
    *,
    plan: str,
    days: int,
    note: str | None,
    expires_at: datetime | None,
    made_by: str,
) -> None:
    terms = {"plan": plan, "days": days, "note": note, "expires_at": expires_at, "made_by": made_by}
    tx.execute(insert(gift_codes), [{"code_hash": code_hash, **terms} for code_hash in hashes])


def redeem(tx: Connection, code_hash: bytes, user_id: uuid.UUID) -> Row[Any] | None:
    """Marks the code as redeemed; None where it cannot be. Of two at once one waits here, and gets None."""
    return tx.execute(
        update(gift_codes)
        .where(
            gift_codes.c.code_hash == code_hash,
            gift_codes.c.redeemed_at.is_(None),
            or_(gift_codes.c.expires_at.is_(None), gift_codes.c.expires_at > func.now()),
        )
        .values(redeemed_at=func.now(), redeemed_by=user_id)
        .returning(*gift_codes.c)
    ).first()


def find(tx: Connection, code_hash: bytes) -> Row[Any] | None:
    return tx.execute(select(gift_codes).where(gift_codes.c.code_hash == code_hash)).first()
