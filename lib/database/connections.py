"""The driver's connections: how one is made, how long it is waited for, how its waits are counted.

With a URL they are made here; with a Cloud SQL instance through the connector (`lib.database.cloud_sql`, loaded
at the first connection). Knows the driver and nothing of SQLAlchemy, which a function that only reads does not load.
"""

import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pg8000.dbapi
from pg8000.converters import TIMESTAMPTZ, timestamptz_in
from pg8000.core import FLUSH_MSG, NULL_BYTE, SYNC_MSG, Context, _flush, _write, make_params
from pg8000.exceptions import InterfaceError

from lib.config import DatabaseSettings
from lib.database.round_trips import round_trips
from lib.errors import UnavailableError

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
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


class Connections:
    """Makes connections. Building one connects to nothing.

    Args:
        connect: makes the driver's connections in another way than the settings say.
    """

    def __init__(self, settings: DatabaseSettings, connect: Callable[[], Any] | None, limits: Limits) -> None:
        self._settings = settings
        self._limits = limits
        self._connect = connect or (self._through_the_connector() if settings.instance else self._by_url)

    def open(self) -> Any:
        """One open connection of the driver, watched.

        Raises:
            UnavailableError: the database cannot be reached.
            pg8000.exceptions.DatabaseError: what the server said.
        """
        try:
            connection = self._connect()
        except (InterfaceError, OSError) as error:
            raise UnavailableError("The database cannot be reached") from error
        wait_at_most(connection, self._limits.answer)
        _watch(connection)
        _say_at_once(connection)
        connection.register_in_adapter(TIMESTAMPTZ, _moment)
        return connection

    def _through_the_connector(self) -> Callable[[], Any]:
        from lib.database.cloud_sql import CloudSqlConnections

        return CloudSqlConnections(self._settings, _SERVER_LIMITS).connect

    def _by_url(self) -> Any:
        """As the URL says. The socket is made here: the driver forgets its own where TLS is not
        agreed on."""
        named = _named(str(self._settings.url)) | {
            "timeout": self._limits.connect,
            "startup_params": _SERVER_LIMITS,
        }
        if "unix_sock" in named:
            return pg8000.dbapi.connect(**named, ssl_context=False)
        host = named.get("host", "localhost")
        sock = socket.create_connection((host, named.get("port", 5432)), self._limits.connect)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock = _with_tls_if_offered(sock, host)
            return pg8000.dbapi.connect(**named, sock=sock, ssl_context=False)
        except BaseException:
            sock.close()
            raise


def _with_tls_if_offered(sock: socket.socket, host: str) -> socket.socket:
    """As the driver does it where nothing is said: encrypted if the server can, and no certificate looked at. But it
    loads all the authorities there are for that, 25 ms for each connection.

    https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
    """
    sock.sendall(_SSL_REQUEST)
    if sock.recv(1) != b"S":
        return sock
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock, server_hostname=host)


def _named(url: str) -> dict[str, Any]:
    """What the driver is told of a URL, by its names; what stands in the query it is told as it is."""
    parts = urlsplit(url)
    found: dict[str, Any] = {
        "user": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "host": parts.hostname,
        "port": parts.port,
        "database": parts.path[1:] or None,
    }
    return {name: value for name, value in found.items() if value} | dict(parse_qsl(parts.query))


def wait_at_most(connection: Any, seconds: float) -> None:
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
            raise InterfaceError("network error") from error

    connection.handle_messages = counted


def _say_at_once(connection: Any) -> None:
    """Makes a statement one round trip.

    pg8000 sends what a statement is, what it is given and that it should run one after the other, and waits for an
    answer to each. The protocol takes all three together
    (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY): what goes wrong in one of
    them skips the rest. What is sent is what the driver's own method sends.

    After each part pg8000 also asks for what is answered so far, which the server would send anyway at the end of
    the statement: three small packets for one, and three times a thread gives up its turn to read them.
    """
    connection._sock = _AnsweredAtOnce(connection._sock)  # noqa: SLF001 - what the driver writes goes through it

    def execute_unnamed(
        statement: str, vals: Sequence[object] = (), oids: Sequence[int] = (), stream: object = None
    ) -> Context:
        context = Context(statement, stream=stream)
        connection.send_PARSE(NULL_BYTE, statement, oids)
        connection.send_DESCRIBE_STATEMENT(NULL_BYTE)
        connection.send_BIND(NULL_BYTE, make_params(connection.py_types, vals))
        connection.send_EXECUTE()
        _write(connection._sock, SYNC_MSG)  # noqa: SLF001 - nothing public ends a message
        _flush(connection._sock)  # noqa: SLF001
        connection.handle_messages(context)
        return context

    connection.execute_unnamed = execute_unnamed


class _AnsweredAtOnce:
    """The driver's buffered socket without its demands to be answered at once. Each statement ends with a SYNC,
    which is answered in any case."""

    __slots__ = ("_write", "close", "flush", "read")

    def __init__(self, sock: Any) -> None:
        self._write = sock.write
        self.read, self.flush, self.close = sock.read, sock.flush, sock.close

    def write(self, data: bytes) -> None:
        if data is not FLUSH_MSG:
            self._write(data)


def _moment(text: str) -> Any:
    """A `timestamptz`, read by the interpreter; what it cannot read (infinity, years before Christ) by the driver."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return timestamptz_in(text)
