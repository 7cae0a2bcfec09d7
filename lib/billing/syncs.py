"""Accounts synced without an event: asked for here, done by process-task."""

import hashlib
import uuid
from datetime import timedelta
from typing import Any

from lib.billing import store, walk_store
from lib.billing.kinds import SYNC_ACCOUNT
from lib.billing.sync import Sync
from lib.database.engine import Database
from lib.errors import UnavailableError
from lib.web import log
from lib.web.operation import as_uuid
from lib.web.ports import Clock, Task, Tasks

# The provider ends a page at its time; the news of it takes a moment.
OVERDUE_AFTER = timedelta(minutes=5)
OVERDUE_AT_ONCE = 100


def enqueue_sync(tasks: Tasks, user_id: uuid.UUID, *, occasion: str) -> bool:
    """A task to sync the account; False where the queue was out of reach, which is logged.

    Args:
        occasion: on the same one the account is synced once, however often this is called.
    """
    digest = hashlib.sha256(f"{user_id} {occasion}".encode()).hexdigest()[:32]
    body = {"user_id": str(user_id), "actor": occasion.partition(" ")[0]}
    try:
        tasks.enqueue(Task(f"{digest}-sync", SYNC_ACCOUNT, body))
    except UnavailableError as error:
        log.line("ERROR", "sync left for later", {"user_id": user_id, "error": log.places(error)})
        return False
    return True


class AccountSyncs:
    """process-task's part of it."""

    def __init__(self, database: Database, sync: Sync) -> None:
        self._database = database
        self._sync = sync

    def process(self, body: dict[str, Any]) -> None:
        """Makes an account say what the provider says; of somebody who is not there any more, nothing.

        Args:
            body: `{"user_id": …, "actor": …}`: who goes into the audit log as the one that asked.

        Raises:
            UnavailableError: the provider is out of reach.
        """
        user_id = as_uuid(body["user_id"])
        with self._database.transaction(slow=True) as tx:
            if user_id is not None and store.is_user(tx, user_id):
                self._sync.account(tx, user_id, actor=str(body.get("actor", "sync-account")))


class OverdueCheckouts:
    """Payment pages that ended without our being told, and those for films that were withdrawn: reconcile's part."""

    def __init__(self, database: Database, tasks: Tasks, clock: Clock) -> None:
        self._database = database
        self._tasks = tasks
        self._clock = clock

    def reconcile(self) -> dict[str, int]:
        """How many there are; each is asked about once an hour until it is closed."""
        with self._database.transaction() as tx:
            overdue = walk_store.overdue_checkouts(tx, older=OVERDUE_AFTER, limit=OVERDUE_AT_ONCE)
        hour = f"{self._clock.now():%Y-%m-%dT%H}"
        for page in overdue:
            if not enqueue_sync(
                self._tasks, page.user_id, occasion=f"overdue-checkout {page.stripe_session_id} {hour}"
            ):
                break
        return {"overdue": len(overdue)}
