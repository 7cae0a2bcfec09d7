"""The gateway's side towards one server behind it: HTTP/1.1 over a pool of connections.

Small because a general client does much per request that a gateway has no use for, and because an answer
has to be passed on while the request is still being sent, which general clients do not do.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import h11

Headers = list[tuple[bytes, bytes]]

CONNECT_SECONDS = 2
POOL_SECONDS = 30
STALL_SECONDS = 60  # without a byte moving either way
IDLE_SECONDS = 4  # less than the servers keep an idle connection, so that none closes while being used
MOST_CONNECTIONS = 200
_CHUNK = 65536


class UpstreamError(Exception):
    """The server is not there, stalls, or breaks off."""


class ClientGoneError(Exception):
    """The client hung up while its body was being read."""


class Upstream:
    """One server on 127.0.0.1."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self._port = port
        self._idle: list[_Connection] = []
        self._free = asyncio.Semaphore(MOST_CONNECTIONS)

    async def send(
        self, method: bytes, target: bytes, headers: Headers, body: AsyncIterator[bytes] | None
    ) -> "Exchange":
        """Send a request; returns once the head of the answer is there, to be closed by the caller.

        Args:
            headers: Lower-case names; they say how long the body is, or that it is chunked.
            body: Read as the server takes it; None for none.

        Raises:
            UpstreamError: There is no answer.
            ClientGoneError: From `body`.
        """
        try:
            async with asyncio.timeout(POOL_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise UpstreamError("all connections are in use") from None
        try:
            exchange = Exchange(self, await self._connection())
            try:
                await exchange.begin(h11.Request(method=method, target=target, headers=headers), body)
            except BaseException:
                await exchange.abort()
                raise
        except BaseException as error:
            self._free.release()
            if isinstance(error, OSError | h11.ProtocolError):
                raise UpstreamError(repr(error)) from error
            raise
        return exchange

    async def aclose(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    async def _connection(self) -> "_Connection":
        while self._idle:
            connection = self._idle.pop()
            if connection.is_fresh():
                return connection
            connection.close()
        async with asyncio.timeout(CONNECT_SECONDS):
            return _Connection(*await asyncio.open_connection("127.0.0.1", self._port, limit=_CHUNK))

    def give_back(self, connection: "_Connection") -> None:
        """Called once by an exchange that is over."""
        self._free.release()
        if connection.can_be_used_again():
            self._idle.append(connection)
        else:
            connection.close()


class Exchange:
    """One request and its answer, of which `status` and `headers` are known."""

    def __init__(self, upstream: Upstream, connection: "_Connection") -> None:
        self._upstream = upstream
        self._connection = connection
        self._sending: asyncio.Task[None] | None = None
        self.status = 0
        self.headers: Headers = []

    async def begin(self, request: h11.Request, body: AsyncIterator[bytes] | None) -> None:
        """Send the request and read the head of its answer, whichever ends first."""
        await self._connection.write(request)
        if body is None:
            await self._connection.write(h11.EndOfMessage())
            await self._read_head()
            return
        self._sending = asyncio.create_task(self._send(body))
        reading = asyncio.create_task(self._read_head())
        try:
            await asyncio.wait({self._sending, reading}, return_when=asyncio.FIRST_COMPLETED)
            if self._sending.done():
                self._sending.result()
            await reading
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, OSError, h11.ProtocolError):
                await reading

    async def chunks(self) -> AsyncIterator[bytes]:
        """The answer's body.

        Raises:
            UpstreamError: It breaks off or stalls.
        """
        try:
            while not isinstance(event := await self._connection.read(), h11.EndOfMessage):
                if isinstance(event, h11.Data):
                    yield bytes(event.data)
        except (OSError, h11.ProtocolError) as error:
            raise UpstreamError(repr(error)) from error

    async def aclose(self) -> None:
        """Give the connection back; closed first if either side is not through with it."""
        await self._end_sending()
        self._upstream.give_back(self._connection)

    async def abort(self) -> None:
        """Close the connection of an exchange that did not begin."""
        await self._end_sending()
        self._connection.close()

    async def _end_sending(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            with suppress(asyncio.CancelledError, ClientGoneError):
                await self._sending

    async def _send(self, body: AsyncIterator[bytes]) -> None:
        try:
            async for chunk in body:
                await self._connection.write(h11.Data(data=chunk))
            await self._connection.write(h11.EndOfMessage())
        except (OSError, h11.ProtocolError):
            # It takes no more, or the client sent less than it said; what the server answers counts.
            self._connection.spoil()

    async def _read_head(self) -> None:
        while not isinstance(event := await self._connection.read(), h11.Response):
            if isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError("closed without an answer")
        self.status, self.headers = event.status_code, list(event.headers)


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = h11.Connection(h11.CLIENT)
        self._used_at = time.monotonic()
        self._spoiled = False

    async def write(self, event: h11.Event) -> None:
        data = self._protocol.send(event)
        if data:
            self._writer.write(data)
            async with asyncio.timeout(STALL_SECONDS):
                await self._writer.drain()

    async def read(self) -> h11.Event:
        while (event := self._protocol.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(STALL_SECONDS):
                self._protocol.receive_data(await self._reader.read(_CHUNK))
        if not isinstance(event, h11.Event):
            raise ConnectionResetError("the server said more than its answer")
        return event

    def spoil(self) -> None:
        """Not to be used for another request."""
        self._spoiled = True

    def is_fresh(self) -> bool:
        idle = time.monotonic() - self._used_at
        return idle < IDLE_SECONDS and not self._reader.at_eof() and not self._writer.is_closing()

    def can_be_used_again(self) -> bool:
        """Whether both sides are through and willing; makes it ready for the next request."""
        if self._spoiled or {self._protocol.our_state, self._protocol.their_state} != {h11.DONE}:
            return False
        self._protocol.start_next_cycle()
        self._used_at = time.monotonic()
        return self.is_fresh()

    def close(self) -> None:
        self._writer.close()
