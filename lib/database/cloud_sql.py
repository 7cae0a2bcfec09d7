"""Connections to Cloud SQL through Google's connector: IAM login, TLS, no open port.

The connector is imported and built at the first connection (half a second that a cold start without a
query does not pay). Its own `timeout` bounds neither TCP nor TLS nor anything after, so each connection is made in a thread
that is given up, together with its connector, when the time is over, and its socket gets a limit.
"""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pg8000.exceptions

from lib.config import DatabaseSettings
from lib.errors import UnavailableError

if TYPE_CHECKING:
    from google.cloud.sql.connector import Connector

CONNECT_SECONDS = 8.0
SOCKET_SECONDS = 20.0


def _default_connector() -> "Connector":
    from google.cloud.sql.connector import Connector

    return Connector(refresh_strategy="lazy")


class CloudSqlConnections:
    """Makes pg8000 connections to one instance.

    Args:
        settings: with instance, name and user; no password means IAM login.
        server_limits: PostgreSQL run-time parameters sent at connection (timeouts).
        connector: builds the connector; tests hand one that looks at a local stand-in.
        seconds: bound on making one connection, everything included.
        socket_seconds: bound on each wait for an answer on it.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        server_limits: Mapping[str, str],
        connector: "Callable[[], Connector]" = _default_connector,
        seconds: float = CONNECT_SECONDS,
        socket_seconds: float = SOCKET_SECONDS,
    ) -> None:
        self._settings = settings
        self._limits = dict(server_limits)
        self._build = connector
        self._seconds = seconds
        self._socket_seconds = socket_seconds
        self._lock = threading.Lock()
        self._connector: Connector | None = None

    def connect(self) -> Any:
        """One open pg8000 connection.

        Raises:
            UnavailableError: not within the bound, or Google's side cannot be reached.
            pg8000.exceptions.Error: what the server said.
        """
        done = threading.Event()
        outcome: list[Any] = []
        failure: list[Exception] = []
        given_up = threading.Event()

        def attempt() -> None:
            try:
                connection = self._connect()
                if given_up.is_set():
                    connection.close()
                outcome.append(connection)
            except Exception as error:
                failure.append(error)
            finally:
                done.set()

        threading.Thread(target=attempt, name="cloud-sql-connect", daemon=True).start()
        if not done.wait(self._seconds):
            given_up.set()
            # Its event loop may be stuck in that connection: the next attempt gets a new one.
            self._connector = None
            raise UnavailableError("The database did not answer in time")
        if failure:
            if isinstance(failure[0], pg8000.exceptions.Error):
                raise failure[0]
            raise UnavailableError("The database cannot be reached") from failure[0]
        return outcome[0]

    def _connect(self) -> Any:
        settings = self._settings
        with self._lock:
            connector = self._connector
            if connector is None:
                connector = self._connector = self._build()
        password = {"password": settings.password} if settings.password else {"enable_iam_auth": True}
        connection = connector.connect(
            str(settings.instance),
            "pg8000",
            user=settings.user,
            db=settings.name,
            ip_type="PRIVATE" if settings.private_ip else "PUBLIC",
            startup_params=self._limits,
            **password,
        )
        # The driver sets none on a socket that it is given.
        connection._usock.settimeout(self._socket_seconds)  # noqa: SLF001
        return connection
