"""Connections: one pool a process, transactions at the edge, single reads in one round trip.

With a URL the pool connects by itself; with a Cloud SQL instance it goes through the connector
(`lib.database.cloud_sql`, loaded at the first connection). Every wait is bounded.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from pg8000.exceptions import DatabaseError as DriverDatabaseError
from pg8000.exceptions import InterfaceError as DriverInterfaceError
from pg8000.native import PreparedStatement
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from lib.config import DatabaseSettings
from lib.database.round_trips import round_trips
from lib.errors import UnavailableError

POOL_WAIT_SECONDS = 5
SLOW_WAIT_SECONDS = 2
# Connections of the pool that slow transactions leave to the others.
_KEPT_FREE = 2
# A server that no longer answers is given up after this; every statement is far shorter.
SOCKET_SECONDS = 20
IDLE_SECONDS = 30
_SERVER_LIMITS = {
    "statement_timeout": "15000",
    "lock_timeout": "10000",
    "idle_in_transaction_session_timeout": "60000",
}


class Database:
    """The process's way to PostgreSQL. Building one connects to nothing.

    Args:
        connect: makes the driver's connections in another way than the settings say.
    """

    def __init__(self, settings: DatabaseSettings, connect: Callable[[], Any] | None = None) -> None:
        self._engine = _engine(settings, connect)
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
        """The first row of one statement as a dict, in one round trip.

        The statement is prepared once on each pooled connection and runs in autocommit. It may write
        (a function call may take a lease), but must bear being run twice: a connection found dead is
        replaced and the statement tried once more.

        Args:
            sql: with parameters written `:name`.

        Raises:
            UnavailableError: the database cannot be reached.
        """
        with _reachable():
            try:
                return self._run_prepared(sql, parameters)
            except (DriverInterfaceError, OSError):
                # The server went away: every pooled connection is as dead as this one.
                self._engine.dispose()
                return self._run_prepared(sql, parameters)

    def _run_prepared(self, sql: str, parameters: Mapping[str, object]) -> dict[str, Any] | None:
        connection = self._engine.raw_connection()
        try:
            prepared = connection.info.get(sql)
            if prepared is None:
                prepared = connection.info[sql] = PreparedStatement(connection.driver_connection, sql)
            rows = prepared.run(**parameters)
            columns = [column["name"] for column in prepared.columns]
        except BaseException:
            # Whatever state the connection is in, nobody else gets it.
            connection.invalidate()
            raise
        finally:
            connection.close()
        return dict(zip(columns, rows[0], strict=True)) if rows else None

    def dispose(self) -> None:
        """Close the pooled connections."""
        self._engine.dispose()


# lock not available, query canceled (timeouts), shutdowns, too many connections, deadlock
_TRANSIENT = {"55P03", "57014", "57P01", "57P02", "57P03", "53300", "40P01", "40001", "25P03"}


@contextmanager
def _reachable() -> Iterator[None]:
    """Turns "not reachable" and "busy" into a refusal; faults of our own statements stay faults."""
    try:
        yield
    except PoolTimeoutError:
        raise UnavailableError("The database has no free connection") from None
    except (OperationalError, InterfaceError, DriverInterfaceError, OSError) as error:
        raise UnavailableError("The database cannot be reached") from error
    except DBAPIError as error:
        if error.connection_invalidated or _sqlstate(error.orig) in _TRANSIENT:
            raise UnavailableError("The database is busy") from error
        raise
    except DriverDatabaseError as error:
        if _sqlstate(error) in _TRANSIENT:
            raise UnavailableError("The database is busy") from error
        raise


def _sqlstate(error: BaseException | None) -> str | None:
    """pg8000 puts what the server said into a dict; `C` is the SQLSTATE."""
    said = error.args[0] if error and error.args else None
    return said.get("C") if isinstance(said, dict) else None


def _engine(settings: DatabaseSettings, connect: Callable[[], Any] | None) -> Engine:
    arguments: Mapping[str, object] = {"timeout": SOCKET_SECONDS, "startup_params": _SERVER_LIMITS}
    if settings.instance and connect is None:
        from lib.database.cloud_sql import CloudSqlConnections

        connect = CloudSqlConnections(settings, _SERVER_LIMITS).connect
    engine = create_engine(
        settings.url or "postgresql+pg8000://",
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
        pool_recycle=1800,
        **({"creator": connect} if connect else {"connect_args": arguments}),
    )
    event.listen(engine, "connect", _count_round_trips)
    event.listen(engine, "checkin", _note_idle)
    event.listen(engine, "checkout", _check_if_long_idle)
    return engine


def _note_idle(_connection: object, record: Any) -> None:
    record.info["idle_since"] = time.monotonic()


def _check_if_long_idle(connection: Any, record: Any, _proxy: object) -> None:
    """Asks after a connection that rested: networks drop silent ones. Busy ones cost no round trip."""
    if time.monotonic() - record.info.get("idle_since", math.inf) > IDLE_SECONDS:
        try:
            connection.execute_simple("")
        except (DriverInterfaceError, DriverDatabaseError, OSError):
            raise DisconnectionError from None


def _count_round_trips(connection: Any, _record: object) -> None:
    """pg8000 waits for the server in `handle_messages` and nowhere else."""
    wait = connection.handle_messages

    def counted(context: object) -> object:
        round_trips.set(round_trips.get() + 1)
        return wait(context)

    connection.handle_messages = counted
