"""The one door of the local machine: pages, the sandbox and the functions behind one port.

Requests and answers are passed on as they are, streaming both ways, path and query byte for byte;
redirects are the client's business. `Host` stays the client's. `X-Forwarded-For` is neither added nor
removed: the functions trust no proxy here (`TRUSTED_PROXIES` 0).
"""

import argparse
import asyncio
import json
import logging
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import uvicorn

from infra.local.page_files import page_file, page_headers
from infra.local.upstream import ClientGoneError, Headers, Upstream, UpstreamError

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - asked for by name, GATEWAY_HOST  # nosec B104
DOCUMENTATION = {
    b"/docs": b"/api-docs/docs",
    b"/redoc": b"/api-docs/redoc",
    b"/openapi.json": b"/api-docs/openapi.json",
}

# RFC 9110, 7.6.1; with Expect, which uvicorn has already answered.
HOP_BY_HOP = {
    b"connection",
    b"expect",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
}


class _RequestBody:
    """The client's body, read as the upstream takes it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.consumed = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            if chunk := message.get("body", b""):
                yield chunk
            more = message.get("more_body", False)
        self.consumed.set()


class Gateway:
    """The ASGI application."""

    def __init__(self, *, functions_port: int, sandbox_port: int) -> None:
        self._functions = Upstream("functions", functions_port)
        self._sandbox = Upstream("sandbox", sandbox_port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            path: bytes = scope["raw_path"]
            file = page_file(path) if scope["method"] in ("GET", "HEAD") else None
            if file is not None:
                await _send_whole(send, 200, page_headers(file), file.read_bytes())
            else:
                await self._forward(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._functions.aclose()
        await self._sandbox.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    def _route(self, path: bytes) -> tuple[Upstream, bytes]:
        """Which server answers, and under which path."""
        if path == b"/sandbox" or path.startswith(b"/sandbox/"):
            return self._sandbox, path
        return self._functions, DOCUMENTATION.get(path, path)

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        upstream, target = self._route(scope["raw_path"])
        if scope["query_string"]:
            target += b"?" + scope["query_string"]
        headers, has_body = _request_headers(scope["headers"])
        body = _RequestBody(receive) if has_body else None
        passing = asyncio.create_task(self._pass(upstream, scope, target, headers, body, send))
        watching = asyncio.create_task(_client_hangs_up(receive, body))
        try:
            await asyncio.wait({passing, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            passing.cancel()
            watching.cancel()
            ends = await asyncio.gather(passing, watching, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception) and not isinstance(end, ClientGoneError):
                raise end

    async def _pass(
        self,
        upstream: Upstream,
        scope: Scope,
        target: bytes,
        headers: Headers,
        body: _RequestBody | None,
        send: Send,
    ) -> None:
        try:
            answer = await upstream.send(
                scope["method"].encode(), target, headers, None if body is None else body.chunks()
            )
        except UpstreamError as error:
            log.warning("%s: no answer to %s %r (%r)", upstream.name, scope["method"], target, error)
            await _send_unavailable(send, upstream.name)
            return
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": answer.status,
                    "headers": _end_to_end(answer.headers),
                }
            )
            async for chunk in answer.chunks():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except UpstreamError as error:
            # Without its last message uvicorn cuts the connection: the client sees the break as one.
            log.warning("%s: broke off answering %s %r (%r)", upstream.name, scope["method"], target, error)
        finally:
            await answer.aclose()


async def _client_hangs_up(receive: Receive, body: _RequestBody | None) -> None:
    """Return once the client is gone. While a body is being read, its reader notices."""
    if body is not None:
        await body.consumed.wait()
    while (await receive())["type"] != "http.disconnect":
        pass


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers without those meant for one connection only.

    Some of uvicorn's parsers leave a value's trailing space, which belongs to none (RFC 9110, 5.5) and which h11
    does not send on.
    """
    headers = [(name.lower(), value.strip(b" \t")) for name, value in headers]
    named = {
        part.strip().lower() for name, value in headers if name == b"connection" for part in value.split(b",")
    }
    return [(name, value) for name, value in headers if name not in HOP_BY_HOP | named]


def _request_headers(headers: Headers) -> tuple[Headers, bool]:
    """What to send on, and whether a body comes with it."""
    kept = _end_to_end(headers)
    if any(name == b"transfer-encoding" for name, _ in headers):
        # Whoever sends both means chunked (RFC 9112, 6.3).
        kept = [(name, value) for name, value in kept if name != b"content-length"]
        return [*kept, (b"transfer-encoding", b"chunked")], True
    return kept, any(name == b"content-length" and value.strip() != b"0" for name, value in kept)


async def _send_unavailable(send: Send, name: str) -> None:
    problem = {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": f"The {name} process does not answer right now; it is started again by itself.",
        "code": "unavailable",
        "request_id": str(uuid.uuid4()),
    }
    headers = [(b"content-type", b"application/problem+json"), (b"retry-after", b"1")]
    await _send_whole(send, 503, headers, json.dumps(problem).encode())


async def _send_whole(send: Send, status: int, headers: Headers, body: bytes) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def gateway_sockets(host: str, port: int) -> list[socket.socket]:
    """Bound to the port on `host` and, where there is one, ::1: `localhost` may mean either.

    Args:
        host: 127.0.0.1, or 0.0.0.0 for every address of the machine, which is for containers.

    Raises:
        OSError: The port is taken on one of them.
    """
    sockets = [_listen(socket.AF_INET, host, port)]
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return sockets
    try:
        sockets.append(_listen(socket.AF_INET6, "::1", port))
    except OSError:
        sockets[0].close()
        raise
    return sockets


def _listen(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    # The protocol is named because asyncio sets TCP_NODELAY only where it is; without, answers take 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(512)
    except OSError:
        listening.close()
        raise
    return listening


def main() -> None:
    """`python -m infra.local.gateway --host H --port P --functions-port F --sandbox-port S`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default=LOOPBACK)
    for name in ("--port", "--functions-port", "--sandbox-port"):
        parser.add_argument(name, type=int, required=True)
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    server = uvicorn.Server(
        uvicorn.Config(
            Gateway(functions_port=given.functions_port, sandbox_port=given.sandbox_port),
            lifespan="on",
            log_config=None,
            access_log=False,
            # The upstream's own are passed on.
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
        )
    )
    server.run(sockets=gateway_sockets(given.host, given.port))


if __name__ == "__main__":
    main()
