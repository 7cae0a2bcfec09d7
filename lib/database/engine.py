"""Transactions: SQLAlchemy over the process's pool, opened at the edge. Every wait is bounded."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

from pg8000.exceptions import Error as DriverError
from pg8000.exceptions import InterfaceError as DriverInterfaceError
from sqlalchemy import Connection, Engine, ExceptionContext, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from lib.config import DatabaseSettings
from lib.database.connections import Limits
from lib.database.pool import TRANSIENT, Pool, Pooled, open_pool, reachable, sqlstate
from lib.errors import UnavailableError

SLOW_WAIT_SECONDS = 2
# Connections of the pool that slow transactions leave to the others.
_KEPT_FREE = 2


class Database:
    """The process's way to PostgreSQL. Building one connects to nothing.

    Args:
        connect: makes the driver's connections in another way than the settings say.
        pool: one that others use too; `connect` and `limits` are its own then.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        connect: Callable[[], Any] | None = None,
        limits: Limits = Limits(),
        *,
        pool: Pool | None = None,
    ) -> None:
        self._pool = pool or Pool(settings, connect, limits)
        self._engine = _engine(self._pool)
        self._slow = threading.BoundedSemaphore(max(1, settings.pool_size - _KEPT_FREE))

    @contextmanager
    def transaction(self, *, slow: bool = False) -> Iterator[Connection]:
        """One transaction: committed at the end of the block, rolled back if it raises.

        Args:
            slow: the block waits for somebody outside (a provider) while it holds its connection. In a
                process only so many of these run at once that two connections are left for all else
                (one slow transaction may always run): a provider that hangs stops no check of a token.
                Not to be opened within another transaction.

        Raises:
            UnavailableError: the database cannot be reached, a lock was not had in time, or too many slow
                transactions are running and none ended within `SLOW_WAIT_SECONDS`.
        """
        with self._slow_lane() if slow else nullcontext(), _reachable(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _slow_lane(self) -> Iterator[None]:
        if not self._slow.acquire(timeout=SLOW_WAIT_SECONDS):
            raise UnavailableError("Too much is waiting for somebody else", retry_after=5)
        try:
            yield
        finally:
            self._slow.release()

    def read(self, sql: str, **parameters: object) -> dict[str, Any] | None:
        """The first row of one statement, in one round trip: see `Pool.read`."""
        return self._pool.read(sql, **parameters)

    def dispose(self) -> None:
        """Close the pooled connections."""
        self._pool.forget()


@cache
def open_database(settings: DatabaseSettings) -> Database:
    """The process's one way to this database: functions that share a process share its pool."""
    return Database(settings, pool=open_pool(settings))


@contextmanager
def _reachable() -> Iterator[None]:
    """As `reachable`, of what SQLAlchemy makes of the driver's errors."""
    try:
        with reachable():
            yield
    except (OperationalError, InterfaceError) as error:
        raise UnavailableError("The database cannot be reached") from error
    except DBAPIError as error:
        if error.connection_invalidated or sqlstate(error.orig) in TRANSIENT:
            raise UnavailableError("The database is busy") from error
        raise


def is_duplicate(error: DBAPIError) -> bool:
    """Whether a unique constraint refused it; to the driver all of the server's errors are one class."""
    return sqlstate(error.orig) == "23505"


def _engine(pool: Pool) -> Engine:
    """SQLAlchemy keeps no connection itself: what it closes goes back to the pool."""

    def connect() -> Any:
        pooled = pool.lend()
        pooled.driver.pooled = pooled
        return pooled.driver

    def spoil(driver: Any, _record: object, error: BaseException | None) -> None:
        """It is about to close one whose state it does not know, or that is lost."""
        pooled: Pooled = driver.pooled
        pooled.spoiled = True
        if isinstance(error, DriverInterfaceError):
            pool.forget()

    def notice_if_read_only(context: ExceptionContext) -> None:
        pool.forget_if_read_only(context.original_exception)

    engine = create_engine("postgresql+pg8000://", creator=connect, poolclass=NullPool)
    event.listen(engine, "invalidate", spoil)
    event.listen(engine, "handle_error", _give_up_if_half_said)
    event.listen(engine, "handle_error", notice_if_read_only)
    return engine


def _give_up_if_half_said(context: ExceptionContext) -> None:
    """A statement that failed on our side, such as one with text that UTF-8 cannot write, was half said by then.
    Whoever got the connection next would read answers that are not theirs: nobody gets it.
    """
    if not isinstance(context.original_exception, DriverError):
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False
