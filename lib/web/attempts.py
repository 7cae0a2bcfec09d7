"""How often something was tried, counted in the database: what throttles guessing."""

from datetime import timedelta

from sqlalchemy import Connection, case, func
from sqlalchemy.dialects.postgresql import insert as upsert

from lib.database.schema import attempts


def count_attempt(tx: Connection, key: str, window: timedelta) -> tuple[int, float]:
    """Counts one more attempt under the key, atomically.

    Returns:
        Attempts in its window, seconds until the window ends.
    """
    now = func.now()
    over = attempts.c.window_ends_at <= now
    statement = upsert(attempts).values(key=key, count=1, window_ends_at=now + window)
    statement = statement.on_conflict_do_update(
        index_elements=[attempts.c.key],
        set_={
            "count": case((over, 1), else_=attempts.c.count + 1),
            "window_ends_at": case((over, now + window), else_=attempts.c.window_ends_at),
        },
    )
    left = func.extract("epoch", attempts.c.window_ends_at - now)
    count, seconds = tx.execute(statement.returning(attempts.c.count, left)).one()
    return count, float(seconds)
