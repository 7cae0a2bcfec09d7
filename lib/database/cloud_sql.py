"""Connections to Cloud SQL through Google's connector: IAM login, TLS, no open port.

The connector is imported and built at the first connection (half a second that a cold start without a
query does not pay). Its own `timeout` bounds neither TCP nor TLS, and while one connection hangs there so
do all others of the same connector. So each is made in a thread that is given up when its time is over;
the next attempt gets a new connector. How many threads there are at once is bounded, and how long a
socket of the connector's own making may be silent, so that those given up end by themselves.
"""

import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any

import pg8000.exceptions

from lib.config import DatabaseSettings
from lib.errors import UnavailableError
from lib.unrun import leave_unrun

if TYPE_CHECKING:
    from google.cloud.sql.connector import Connector

CONNECT_SECONDS = 8.0
ATTEMPTS_AT_ONCE = 8


def load_connector() -> "type[Connector]":
    """Google's class, without the clients of the Admin API that it loads for a way of connecting that is not ours (SQL
    Data API): a third of what its import took."""
    leave_unrun("google.cloud.sqladmin_v1beta4")
    from google.cloud.sql.connector import Connector

    return Connector


def _default_connector() -> "Connector":
    return load_connector()(refresh_strategy="lazy")


class _Shared:
    """A connector and how many attempts use it. Closed by the last of them once it is `retired`:
    closed earlier, it would leave the others waiting for ever."""

    def __init__(self, connector: "Connector") -> None:
        self.connector = connector
        self.users = 0
        self.retired = False


class _Attempt:
    """One connection being made. `made` is cancelled when nobody waits for it any more."""

    def __init__(self) -> None:
        self.made: Future[Any] = Future()
        self.using: _Shared | None = None


class CloudSqlConnections:
    """Makes pg8000 connections to one instance.

    Args:
        settings: with instance, name and user; no password means IAM login.
        server_limits: PostgreSQL run-time parameters sent at connection (timeouts).
        connector: builds the connector; tests hand one that looks at a local stand-in.
        seconds: bound on making one connection, everything included.
        at_once: how many may be in the making, those given up included.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        server_limits: Mapping[str, str],
        connector: "Callable[[], Connector]" = _default_connector,
        seconds: float = CONNECT_SECONDS,
        at_once: int = ATTEMPTS_AT_ONCE,
    ) -> None:
        self._settings = settings
        self._limits = dict(server_limits)
        self._build = connector
        self._seconds = seconds
        self._places = threading.BoundedSemaphore(at_once)
        self._lock = threading.Lock()
        self._current: _Shared | None = None

    def connect(self) -> Any:
        """One open pg8000 connection.

        Raises:
            UnavailableError: not within the bound, or Google's side cannot be reached.
            pg8000.exceptions.Error: what the server said.
        """
        deadline = time.monotonic() + self._seconds
        attempt = _Attempt()
        if not self._places.acquire(timeout=self._seconds):
            raise UnavailableError("The database did not answer in time")
        try:
            threading.Thread(
                target=self._make, args=(attempt,), name="cloud-sql-connect", daemon=True
            ).start()
        except BaseException:
            self._places.release()
            raise
        wait([attempt.made], deadline - time.monotonic())
        if attempt.made.cancel():
            if attempt.using is not None:
                attempt.using.retired = True
            raise UnavailableError("The database did not answer in time")
        try:
            return attempt.made.result()
        except pg8000.exceptions.Error:
            raise
        except Exception as error:
            raise UnavailableError("The database cannot be reached") from error

    def _make(self, attempt: _Attempt) -> None:
        """Runs in a thread of its own, however long it takes."""
        made = attempt.made
        try:
            try:
                attempt.using = self._borrow()
                connection = self._connect(attempt.using.connector)
            except Exception as error:
                if made.set_running_or_notify_cancel():
                    made.set_exception(error)
            else:
                # Either it was cancelled before this, or it cannot be any more and will be fetched.
                if made.set_running_or_notify_cancel():
                    made.set_result(connection)
                else:
                    connection.close()
        finally:
            if attempt.using is not None:
                self._give_back(attempt.using, retire=made.cancelled())
            self._places.release()

    def _borrow(self) -> _Shared:
        with self._lock:
            if self._current is None or self._current.retired:
                # Google's code makes the socket itself and sets it no limit: only the process's default
                # reaches it. Whoever sets a timeout on a socket, as all our clients do, is not concerned.
                socket.setdefaulttimeout(self._seconds)
                self._current = _Shared(self._build())
            self._current.users += 1
            return self._current

    def _give_back(self, shared: _Shared, *, retire: bool) -> None:
        with self._lock:
            shared.retired |= retire
            shared.users -= 1
            over = shared.retired and shared.users == 0
        if over:
            shared.connector.close()

    def _connect(self, connector: "Connector") -> Any:
        settings = self._settings
        password = {"password": settings.password} if settings.password else {"enable_iam_auth": True}
        return connector.connect(
            str(settings.instance),
            "pg8000",
            user=settings.user,
            db=settings.name,
            ip_type="PRIVATE" if settings.private_ip else "PUBLIC",
            startup_params=self._limits,
            **password,
        )
