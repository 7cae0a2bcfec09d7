"""PLANS that changed: whose grants say what a plan gave before, found by our own rows alone."""

import hashlib
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from lib.billing import walk_store
from lib.billing.syncs import enqueue_sync
from lib.config import Plan
from lib.database.engine import Database
from lib.web.ports import Clock, Tasks

NAME = "plans"
AT_ONCE = 500
# Looked at again, since functions are deployed one after another: one that still had the former PLANS may have
# synced an account meanwhile.
EVERY = timedelta(hours=1)


class PlanChanges:
    """Has accounts synced whose grants differ from PLANS in what their plan gives: reconcile's part.

    Stripe knows nothing of levels and streams, so no comparison with it would see this.

    Args:
        at_once: how many accounts one call finds; the next goes on from there.
    """

    def __init__(
        self, database: Database, tasks: Tasks, plans: Sequence[Plan], clock: Clock, at_once: int = AT_ONCE
    ) -> None:
        self._database = database
        self._tasks = tasks
        self._plans = plans
        self._clock = clock
        self._at_once = at_once

    def reconcile(self) -> dict[str, int]:
        """How many accounts were found in this call."""
        with self._database.transaction() as tx:
            before = walk_store.position(tx, NAME, self._beginning())
        at = before
        if before["plans"] != self._mark() or (before["done"] and self._is_old(before)):
            at = self._beginning()
        if at["done"]:
            return {"plans_changed": 0}
        after = at["after"] and uuid.UUID(at["after"])
        with self._database.transaction() as tx:
            found = walk_store.of_former_plans(tx, self._plans, after=after, limit=self._at_once)
        for user_id in found:
            if not enqueue_sync(self._tasks, user_id, occasion=f"plans {at['plans']} {at['began']}"):
                return {"plans_changed": 0}
        then = at | ({"after": str(found[-1])} if len(found) == self._at_once else {"done": True})
        with self._database.transaction() as tx:
            walk_store.advance(tx, NAME, before=before, then=then)
        return {"plans_changed": len(found)}

    def _beginning(self) -> dict[str, Any]:
        return {
            "plans": self._mark(),
            "began": self._clock.now().isoformat(),
            "done": False,
            "after": None,
        }

    def _is_old(self, position: dict[str, Any]) -> bool:
        return self._clock.now() - datetime.fromisoformat(position["began"]) >= EVERY

    def _mark(self) -> str:
        gives = sorted((plan.code, plan.lookup_key, plan.level, plan.streams) for plan in self._plans)
        return hashlib.sha256(repr(gives).encode()).hexdigest()[:16]
