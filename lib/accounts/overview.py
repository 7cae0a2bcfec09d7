"""account: all that a person sees of it, at one moment."""

import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from lib.accounts import store
from lib.accounts.ports import Membership
from lib.database.engine import Database


@dataclass(frozen=True, slots=True)
class Overview:
    """All that `account` shows, read in one transaction."""

    user: Row[Any]
    subscription: dict[str, Any] | None
    entitlement: dict[str, Any]
    films: list[dict[str, Any]]
    sessions: list[Row[Any]]


class Overviews:
    """What a person sees of their own account."""

    def __init__(self, database: Database, membership: Membership) -> None:
        self._database = database
        self._membership = membership

    def of(self, user_id: uuid.UUID) -> Overview:
        """Raises InvalidTokenError when the user is gone."""
        with self._database.transaction() as tx:
            # Else a sync that commits between two of these could show a new right beside an old bill.
            store.read_one_snapshot(tx)
            user = store.user_by_id(tx, user_id)
            subscription, entitlement = self._membership.of(tx, user_id, user.role)
            films = self._membership.films(tx, user_id)
            return Overview(user, subscription, entitlement, films, store.live_sessions(tx, user_id))
