"""The process's connections: lent and given back, and single reads on them in one round trip.

SQLAlchemy's own pool would do, but loading SQLAlchemy costs a cold start more than all else that get-playback
needs. Functions with transactions put it on top of this one (`lib.database.engine`): one pool a process.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import Any

from pg8000.exceptions import DatabaseError, InterfaceError
from pg8000.native import PreparedStatement

from lib.config import DatabaseSettings
from lib.database.connections import Connections, Limits, wait_at_most
from lib.errors import UnavailableError

POOL_WAIT_SECONDS = 5
# Servers and networks tire of connections that are too old.
RECYCLE_SECONDS = 1800


class Pooled:
    """One connection, and what was prepared on it.

    `driver.close` gives it back, for those who only know how to close. `spoiled`: in a state nobody knows, so that
    nobody else gets it.
    """

    __slots__ = ("driver", "generation", "idle_since", "is_lent", "made_at", "prepared", "spoiled")

    def __init__(self, driver: Any, generation: int) -> None:
        self.driver = driver
        self.generation = generation
        self.made_at = self.idle_since = time.monotonic()
        self.is_lent = True
        self.spoiled = False
        self.prepared: dict[str, tuple[PreparedStatement, list[str]]] = {}

    def shut(self) -> None:
        """Really closes it; one that is broken is as good as closed."""
        with suppress(Exception):
            type(self.driver).close(self.driver)


class Pool:
    """At most `settings.pool_size` connections. Building one connects to nothing.

    A process that forks has to do so before its first connection, as gunicorn does without `--preload`: parent and
    child would read each other's answers.

    Args:
        connect: makes the driver's connections in another way than the settings say.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        connect: Callable[[], Any] | None = None,
        limits: Limits = Limits(),
    ) -> None:
        self._connections = Connections(settings, connect, limits)
        self._limits = limits
        self._places = threading.BoundedSemaphore(settings.pool_size)
        # The one that was used last is lent first: few are kept warm, with what was prepared on them.
        self._idle: deque[Pooled] = deque()
        self._generation = 0
        self._lock = threading.Lock()

    def lend(self) -> Pooled:
        """A connection that nobody else has, until it is given back.

        Raises:
            UnavailableError: none is free within `POOL_WAIT_SECONDS`, or no new one can be made.
        """
        if not self._places.acquire(timeout=POOL_WAIT_SECONDS):
            raise UnavailableError("The database has no free connection")
        try:
            pooled = self._rested() or self._opened()
        except BaseException:
            self._places.release()
            raise
        pooled.is_lent = True
        return pooled

    def give_back(self, pooled: Pooled) -> None:
        """Twice does no harm, as long as nobody else has got it in between."""
        with self._lock:
            if not pooled.is_lent:
                return
            pooled.is_lent = False
        if pooled.spoiled or pooled.generation != self._generation:
            pooled.shut()
        else:
            pooled.idle_since = time.monotonic()
            self._idle.append(pooled)
        self._places.release()

    def forget(self) -> None:
        """No connection made before this is lent again: what took one of them took the others too."""
        with self._lock:
            self._generation += 1
        with suppress(IndexError):
            while True:
                self._idle.pop().shut()

    def read(self, sql: str, **parameters: object) -> dict[str, Any] | None:
        """The first row of one statement as a dict, in one round trip.

        The statement is prepared once on each connection and runs in autocommit. It may write
        (a function call may take a lease), but must bear being run twice: a connection found dead is
        replaced and the statement tried once more. Silence is no death: it is waited for once. A statement that
        was prepared before a migration changed what it answers is prepared again.

        Args:
            sql: with parameters written `:name`.

        Raises:
            UnavailableError: the database cannot be reached.
        """
        with reachable():
            try:
                return self._run(sql, parameters)
            except InterfaceError as error:
                if isinstance(error.__cause__, TimeoutError):
                    raise
                self.forget()
                return self._run(sql, parameters)
            except DatabaseError as error:
                if sqlstate(error) != _CHANGED:
                    self.forget_if_read_only(error)
                    raise
                # Nothing ran. The other connections know the statement as it was, too.
                self.forget()
                return self._run(sql, parameters)

    def forget_if_read_only(self, error: BaseException) -> None:
        """A primary that became a standby reads only: the address may lead to another by now."""
        if sqlstate(error) == _READ_ONLY:
            self.forget()

    def _run(self, sql: str, parameters: Mapping[str, object]) -> dict[str, Any] | None:
        pooled = self.lend()
        try:
            known = pooled.prepared.get(sql)
            if known is None:
                statement = PreparedStatement(pooled.driver, sql)
                known = pooled.prepared[sql] = statement, [column["name"] for column in statement.cols]
            statement, columns = known
            rows = statement.run(**parameters)
        except BaseException:
            pooled.spoiled = True
            raise
        finally:
            self.give_back(pooled)
        return dict(zip(columns, rows[0], strict=True)) if rows else None

    def _rested(self) -> Pooled | None:
        """One that is there already, asked after if it rested long: networks drop silent ones. Busy ones cost no
        round trip."""
        while True:
            try:
                pooled = self._idle.pop()
            except IndexError:
                return None
            now = time.monotonic()
            if pooled.generation != self._generation or now - pooled.made_at > RECYCLE_SECONDS:
                pooled.shut()
            elif now - pooled.idle_since <= self._limits.idle or self._still_there(pooled):
                return pooled
            else:
                pooled.shut()
                # None of the others is waited for.
                self.forget()

    def _still_there(self, pooled: Pooled) -> bool:
        wait_at_most(pooled.driver, self._limits.connect)
        try:
            pooled.driver.execute_simple("")
        except (InterfaceError, DatabaseError):
            return False
        wait_at_most(pooled.driver, self._limits.answer)
        return True

    def _opened(self) -> Pooled:
        generation = self._generation
        pooled = Pooled(self._connections.open(), generation)
        pooled.driver.close = partial(self.give_back, pooled)
        return pooled


@cache
def open_pool(settings: DatabaseSettings) -> Pool:
    """The process's one pool for this database: functions that share a process share it."""
    return Pool(settings)


_READ_ONLY = "25006"
# "cached plan must not change result type"
_CHANGED = "0A000"
# lock not available, query canceled (timeouts), shutdowns, too many connections, deadlock, idle for too long
TRANSIENT = {"55P03", "57014", "57P01", "57P02", "57P03", "53300", "40P01", "40001", "25P03", _READ_ONLY}


@contextmanager
def reachable() -> Iterator[None]:
    """Turns "not reachable" and "busy" into a refusal; faults of our own statements stay faults."""
    try:
        yield
    except InterfaceError as error:
        raise UnavailableError("The database cannot be reached") from error
    except DatabaseError as error:
        if sqlstate(error) in TRANSIENT:
            raise UnavailableError("The database is busy") from error
        raise


def sqlstate(error: BaseException | None) -> str | None:
    """pg8000 puts what the server said into a dict; `C` is the SQLSTATE."""
    said = error.args[0] if error and error.args else None
    return said.get("C") if isinstance(said, dict) else None
