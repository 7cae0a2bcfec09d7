"""How long rows are kept: what is over and of no more use is deleted, in small batches.

Not here: users and what they bought and watched. The audit log gives no line back, but where somebody was.
"""

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import ColumnElement, Delete, Table, Update, and_, delete, func, null, or_, select, update

from lib.database.engine import Database
from lib.database.schema import attempts, audit_log, idempotency_keys, inbox, links, mails, sessions

# As long as the answers may be used: see lib/web/idempotency.py.
ANSWERS_KEPT = timedelta(hours=24)
# Who logged in from where, and the refresh tokens of that login. Spent tokens stay as long as their login
# does: presented again, they tell of a thief.
LOGINS_KEPT = timedelta(days=30)
# Stripe sends an event again for days, and lists it for a month.
EVENTS_KEPT = timedelta(days=90)
# Long enough to find out what became of one that somebody misses.
MAILS_KEPT = timedelta(days=30)
# Long enough to look into what somebody noticed late.
ADDRESSES_KEPT = timedelta(days=90)

BATCH = 1000
BATCHES = 10


def _over() -> dict[Table, ColumnElement[bool]]:
    """Table -> which of its rows are over."""
    now = func.now()
    long_ago = now - LOGINS_KEPT
    return {
        attempts: attempts.c.window_ends_at < now,
        idempotency_keys: idempotency_keys.c.created_at < now - ANSWERS_KEPT,
        sessions: or_(sessions.c.expires_at < long_ago, sessions.c.revoked_at < long_ago),
        inbox: inbox.c.processed_at < now - EVENTS_KEPT,
        mails: mails.c.settled_at < now - MAILS_KEPT,
        links: links.c.expires_at < now,
    }


class Retention:
    """Deletes what is over: reconcile's work for the database.

    Args:
        batch: rows deleted in one transaction, so that nobody waits long for its locks.
        batches: of one table in one call; what is left is for the next.
    """

    def __init__(self, database: Database, batch: int = BATCH, batches: int = BATCHES) -> None:
        self._database = database
        self._batch = batch
        self._batches = batches

    def purge(self) -> Mapping[str, int]:
        """Table -> how many of its rows were deleted; of the audit log, how many forgot their address."""
        deleted = {table.name: self._purge(table, over) for table, over in _over().items()}
        return deleted | {audit_log.name: self._forget_addresses()}

    def _forget_addresses(self) -> int:
        placed = and_(audit_log.c.address.is_not(None), audit_log.c.at < func.now() - ADDRESSES_KEPT)
        old = select(audit_log.c.id).where(placed).order_by(audit_log.c.at).limit(self._batch)
        return self._in_batches(
            update(audit_log).where(audit_log.c.id.in_(old.scalar_subquery())).values(address=null())
        )

    def _purge(self, table: Table, over: ColumnElement[bool]) -> int:
        key = list(table.primary_key)
        # Locked before it is deleted: a row that is being renewed just now is left alone.
        doomed = select(*key).where(over).limit(self._batch).with_for_update(skip_locked=True).cte("doomed")
        statement = delete(table).where(and_(*(column == doomed.c[column.name] for column in key)))
        return self._in_batches(statement)

    def _in_batches(self, statement: Delete | Update) -> int:
        """Runs it until it finds less than a batch."""
        changed = 0
        for _ in range(self._batches):
            with self._database.transaction() as tx:
                found = tx.execute(statement).rowcount
            changed += found
            if found < self._batch:
                break
        return changed
