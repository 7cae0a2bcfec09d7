"""Connections: one pool a process, transactions at the edge, single reads in one round trip.

With a URL the pool connects by itself; with a Cloud SQL instance it goes through the connector
(`lib.database.cloud_sql`, loaded at the first connection). Every wait is bounded.
"""

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import pg8000.dbapi
from pg8000.exceptions import DatabaseError as DriverDatabaseError
from pg8000.exceptions import InterfaceError as DriverInterfaceError
from pg8000.native import PreparedStatement
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from lib.config import DatabaseSettings
from lib.database.round_trips import round_trips
from lib.errors import UnavailableError

POOL_WAIT_SECONDS = 5
SLOW_WAIT_SECONDS = 2
# Connections of the pool that slow transactions leave to the others.
_KEPT_FREE = 2
_SERVER_LIMITS = {
    "statement_timeout": "15000",
    "lock_timeout": "10000",
    "idle_in_transaction_session_timeout": "60000",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a silent server is waited for, in seconds.

    Args:
        connect: each wait while a connection is made, or asked after its rest.
        answer: each wait for an answer on it; the functions' statements are far shorter.
        idle: a connection that rested longer is asked whether it is still there.
    """

    connect: float = 5
    answer: float = 20
    idle: float = 30


class Database:
    """The process's way to PostgreSQL. Building one connects to nothing.

    Args:
        connect: makes the driver's connections in another way than the settings say.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        connect: Callable[[], Any] | None = None,
        limits: Limits = Limits(),
    ) -> None:
        self._engine = _engine(settings, connect, limits)
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
        replaced and the statement tried once more. Silence is no death: it is waited for once.

        Args:
            sql: with parameters written `:name`.

        Raises:
            UnavailableError: the database cannot be reached.
        """
        with _reachable():
            try:
                return self._run_prepared(sql, parameters)
            except DriverInterfaceError as error:
                if isinstance(error.__cause__, TimeoutError):
                    raise
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


@cache
def open_database(settings: DatabaseSettings) -> Database:
    """The process's one way to this database: functions that share a process share its pool."""
    return Database(settings)


# lock not available, query canceled (timeouts), shutdowns, too many connections, deadlock
_TRANSIENT = {"55P03", "57014", "57P01", "57P02", "57P03", "53300", "40P01", "40001", "25P03"}


@contextmanager
def _reachable() -> Iterator[None]:
    """Turns "not reachable" and "busy" into a refusal; faults of our own statements stay faults."""
    try:
        yield
    except PoolTimeoutError:
        raise UnavailableError("The database has no free connection") from None
    except (OperationalError, InterfaceError, DriverInterfaceError) as error:
        raise UnavailableError("The database cannot be reached") from error
    except DBAPIError as error:
        if error.connection_invalidated or _sqlstate(error.orig) in _TRANSIENT:
            raise UnavailableError("The database is busy") from error
        raise
    except DriverDatabaseError as error:
        if _sqlstate(error) in _TRANSIENT:
            raise UnavailableError("The database is busy") from error
        raise


def is_duplicate(error: DBAPIError) -> bool:
    """Whether a unique constraint refused it; to the driver all of the server's errors are one class."""
    return _sqlstate(error.orig) == "23505"


def _sqlstate(error: BaseException | None) -> str | None:
    """pg8000 puts what the server said into a dict; `C` is the SQLSTATE."""
    said = error.args[0] if error and error.args else None
    return said.get("C") if isinstance(said, dict) else None


def _engine(settings: DatabaseSettings, connect: Callable[[], Any] | None, limits: Limits) -> Engine:
    if settings.instance and connect is None:
        from lib.database.cloud_sql import CloudSqlConnections

        connect = CloudSqlConnections(settings, _SERVER_LIMITS).connect
    engine = create_engine(
        settings.url or "postgresql+pg8000://",
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
        pool_recycle=1800,
        connect_args={"timeout": limits.connect, "startup_params": _SERVER_LIMITS},
    )

    def opened(_dialect: object, _record: object, _positional: object, named: dict[str, Any]) -> Any:
        try:
            connection = connect() if connect else _connect(named)
        except (DriverInterfaceError, OSError) as error:
            raise UnavailableError("The database cannot be reached") from error
        _wait_at_most(connection, limits.answer)
        _watch(connection)
        return connection

    def check_if_long_idle(connection: Any, record: Any, _proxy: object) -> None:
        """Asks after a connection that rested: networks drop silent ones. Busy ones cost no round trip."""
        if time.monotonic() - record.info.get("idle_since", math.inf) > limits.idle:
            _wait_at_most(connection, limits.connect)
            try:
                connection.execute_simple("")
            except (DriverInterfaceError, DriverDatabaseError):
                # What took this one took the others too: none of them is waited for again.
                raise InvalidatePoolError from None
            _wait_at_most(connection, limits.answer)

    event.listen(engine, "do_connect", opened)
    event.listen(engine, "checkin", _note_idle)
    event.listen(engine, "checkout", check_if_long_idle)
    return engine


def _connect(named: dict[str, Any]) -> Any:
    """As the URL says. The socket is made here: the driver forgets its own where TLS is not agreed on."""
    if "unix_sock" in named:
        return pg8000.dbapi.connect(**named)
    address = (named.get("host", "localhost"), named.get("port", 5432))
    sock = socket.create_connection(address, named["timeout"])
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return pg8000.dbapi.connect(**named, sock=sock)
    except BaseException:
        sock.close()
        raise


def _note_idle(_connection: object, record: Any) -> None:
    record.info["idle_since"] = time.monotonic()


def _wait_at_most(connection: Any, seconds: float) -> None:
    """Bounds each wait on a connection.

    The socket is private to pg8000, but nothing public reaches it: `timeout` is for connecting and all
    that follows alike, and a socket given to the driver is another one once it speaks TLS.
    """
    connection._usock.settimeout(seconds)  # noqa: SLF001


def _watch(connection: Any) -> None:
    """Counts the waits, and makes losing the connection one kind of error.

    pg8000 waits for the server in `handle_messages` and nowhere else. Of the socket's errors it passes on
    some as they are; "network error" is what it calls the others, and how SQLAlchemy knows them.
    """
    wait = connection.handle_messages

    def counted(context: object) -> object:
        round_trips.set(round_trips.get() + 1)
        try:
            return wait(context)
        except OSError as error:
            raise DriverInterfaceError("network error") from error

    connection.handle_messages = counted
