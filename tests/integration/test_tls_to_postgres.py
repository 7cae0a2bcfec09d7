"""A database by URL: in TLS where the server offers it, plain where it does not, and no certificate looked at."""

import asyncio
import ssl
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from lib.config import Environment
from lib.database.connections import Limits
from lib.database.pool import Pool
from lib.errors import UnavailableError
from tests.fakes.cloud_sql_server import Authority

_ASKED = struct.pack("!ii", 8, 80877103)


class Front:
    """Stands before a PostgreSQL that has no TLS, and answers the question for it.

    Args:
        says: `S` for yes, `N` for no, nothing to hang up.
        tls: None: what follows a yes is no TLS.
    """

    def __init__(self, postgres: tuple[str, int], says: bytes, tls: ssl.SSLContext | None) -> None:
        self.in_tls = 0
        self.port = 0
        self._postgres, self._says, self._tls = postgres, says, tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    @contextmanager
    def open(self) -> Iterator["Front"]:
        self._thread.start()
        server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(server.close)
            self._run(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    async def _end(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _run(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            assert await reader.readexactly(8) == _ASKED
            writer.write(self._says)
            await writer.drain()
            if self._says == b"S" and self._tls:
                await writer.start_tls(self._tls)
                self.in_tls += 1
            if self._says and (self._says == b"N" or self._tls):
                there, back = await asyncio.open_connection(*self._postgres)
                await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
        writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@contextmanager
def through(url: str, says: bytes, tls: ssl.SSLContext | None = None) -> Iterator[tuple[Pool, Front]]:
    parts = urlsplit(url)
    with Front((str(parts.hostname), int(parts.port or 0)), says, tls).open() as front:
        address = parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{front.port}").geturl()
        yield Pool(Environment({"DATABASE_URL": address}).database(), limits=Limits(connect=2)), front


def test_a_server_that_offers_tls(apart: str, tmp_path: Path) -> None:
    context = Authority().server_context(tmp_path)
    context.verify_mode = ssl.CERT_NONE
    with through(apart, b"S", context) as (pool, front):
        assert pool.read("SELECT CAST(:number AS int) AS found", number=7) == {"found": 7}
        assert front.in_tls == 1
        pool.forget()


def test_a_server_that_offers_none(apart: str) -> None:
    with through(apart, b"N") as (pool, front):
        assert pool.read("SELECT CAST(:number AS int) AS found", number=7) == {"found": 7}
        assert front.in_tls == 0
        pool.forget()


@pytest.mark.parametrize("says", [b"S", b""], ids=["offers it and cannot", "hangs up"])
def test_a_server_that_breaks_off(apart: str, says: bytes) -> None:
    with through(apart, says) as (pool, _), pytest.raises(UnavailableError):
        pool.read("SELECT 1 AS found")
