"""Attempts that are counted within a transaction; `lib.web.limits` knows what is counted, and needs no SQLAlchemy."""

from sqlalchemy import Connection, text

from lib.errors import Refusal
from lib.web.limits import COUNT, Limit, asked, refusal


def count_attempt(tx: Connection, *limits: Limit) -> Refusal | None:
    """As `lib.web.limits.count`. The refusal is to be raised after the commit, so that refused attempts count."""
    found = tx.execute(text(COUNT), asked(limits)).mappings().one()
    return refusal(limits, dict(found))
