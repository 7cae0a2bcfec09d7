"""A database by URL: in TLS where the server offers it, plain where it does not, and no certificate looked at."""

import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import pytest

from lib.config import Environment
from lib.database.connections import Limits
from lib.database.pool import Pool
from lib.errors import UnavailableError
from tests.fakes.cloud_sql_server import Authority

_ASKED = struct.pack("!ii", 8, 80877103)


class Front:
    """Stands before a PostgreSQL that has no TLS, and answers the question for it. Serves one connection.

    Args:
        says: `S` for yes, `N` for no, nothing to hang up.
        tls: None: what follows a yes is no TLS.
    """

    def __init__(self, postgres: tuple[str, int], says: bytes, tls: ssl.SSLContext | None) -> None:
        self.in_tls = 0
        self._postgres, self._says, self._tls = postgres, says, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "Front":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(20)
        self._listener.close()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        client.settimeout(10)
        with closing(client):
            assert client.recv(8, socket.MSG_WAITALL) == _ASKED
            client.sendall(self._says)
            if self._says == b"N":
                self._pass_on(client)
            elif self._says and self._tls:
                with self._tls.wrap_socket(client, server_side=True) as hidden:
                    self.in_tls += 1
                    self._pass_on(hidden)

    def _pass_on(self, client: socket.socket) -> None:
        """Until one of them hangs up. Client and server take turns."""
        with socket.create_connection(self._postgres, 10) as server, selectors.DefaultSelector() as ready:
            other = {client: server, server: client}
            for side in other:
                ready.register(side, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select(10):
                    side = cast("socket.socket", key.fileobj)
                    data = side.recv(65536)
                    if not data:
                        return
                    other[side].sendall(data)


@contextmanager
def through(url: str, says: bytes, tls: ssl.SSLContext | None = None) -> Iterator[tuple[Pool, Front]]:
    parts = urlsplit(url)
    with Front((str(parts.hostname), int(parts.port or 0)), says, tls) as front:
        address = parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{front.port}").geturl()
        pool = Pool(Environment({"DATABASE_URL": address}).database(), limits=Limits(connect=2))
        try:
            yield pool, front
        finally:
            pool.forget()


def test_a_server_that_offers_tls(apart: str, tmp_path: Path) -> None:
    context = Authority().server_context(tmp_path)
    context.verify_mode = ssl.CERT_NONE
    with through(apart, b"S", context) as (pool, front):
        assert pool.read("SELECT CAST(:number AS int) AS found", number=7) == {"found": 7}
        assert front.in_tls == 1


def test_a_server_that_offers_none(apart: str) -> None:
    with through(apart, b"N") as (pool, front):
        assert pool.read("SELECT CAST(:number AS int) AS found", number=7) == {"found": 7}
        assert front.in_tls == 0


@pytest.mark.parametrize("says", [b"S", b""], ids=["offers it and cannot", "hangs up"])
def test_a_server_that_breaks_off(apart: str, says: bytes) -> None:
    with through(apart, says) as (pool, _), pytest.raises(UnavailableError):
        pool.read("SELECT 1 AS found")
