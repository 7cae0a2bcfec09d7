"""The gateway: passes everything on as it is, both ways, and says so when it cannot."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from infra.local.gateway import Gateway
from infra.local.processes import free_port

Serve = Callable[..., int]


class Upstream:
    """An ASGI server that tells what it was asked, or does what the path says."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.canceled = threading.Event()
        self.first_chunk = threading.Event()
        self.go_on = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        path = scope["raw_path"]
        if path == b"/status":
            await self._answer(
                send, int(scope["query_string"]), [(b"location", b"/elsewhere"), (b"range", b"bytes=0-9")]
            )
        elif path == b"/hang":
            await receive()
            assert (await receive())["type"] == "http.disconnect"
            self.canceled.set()
        elif path == b"/drip":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
            await asyncio.to_thread(self.go_on.wait, 10)
            await send({"type": "http.response.body", "body": b"two"})
        elif path == b"/break":
            await send(
                {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]}
            )
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        elif path == b"/early":
            await self._answer(send, 413, [])
        else:
            await self._echo(scope, receive, send)

    async def _echo(self, scope: Any, receive: Any, send: Any) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
            if size:
                self.first_chunk.set()
        asked = {
            "upstream": self.name,
            "method": scope["method"],
            "target": (scope["raw_path"] + b"?" + scope["query_string"]).decode(),
            "headers": [[name.decode(), value.decode()] for name, value in scope["headers"]],
            "size": size,
        }
        headers = [
            (b"set-cookie", b"a=1"),
            (b"set-cookie", b"b=2"),
            (b"connection", b"x-private"),
            (b"x-private", b"1"),
        ]
        await self._answer(send, 200, headers, json.dumps(asked).encode())

    async def _answer(
        self, send: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b""
    ) -> None:
        if status not in (204, 304):
            headers = [*headers, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def functions() -> Upstream:
    return Upstream("functions")


@pytest.fixture
def gateway(serve: Serve, functions: Upstream) -> Iterator[httpx.Client]:
    app = Gateway(functions_port=serve(functions), sandbox_port=serve(Upstream("sandbox")))
    with httpx.Client(base_url=f"http://127.0.0.1:{serve(app)}", trust_env=False) as client:
        yield client


def raw(client: httpx.Client, request: bytes) -> bytes:
    """What comes back for these very bytes, until the other side closes."""
    with socket.create_connection(
        (client.base_url.host, client.base_url.port or 80), timeout=10
    ) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


@pytest.mark.parametrize(
    ("path", "upstream", "target"),
    [
        ("/login", "functions", "/login?"),
        ("/sandbox/", "sandbox", "/sandbox/?"),
        ("/sandbox", "sandbox", "/sandbox?"),
        ("/sandbox/mux/video/v1/uploads?a=1", "sandbox", "/sandbox/mux/video/v1/uploads?a=1"),
        ("/sandboxed", "functions", "/sandboxed?"),
        ("/docs", "functions", "/api-docs/docs?"),
        ("/redoc", "functions", "/api-docs/redoc?"),
        ("/openapi.json", "functions", "/api-docs/openapi.json?"),
    ],
)
def test_each_path_has_its_server(gateway: httpx.Client, path: str, upstream: str, target: str) -> None:
    asked = gateway.get(path).json()
    assert (asked["upstream"], asked["target"]) == (upstream, target)


def test_path_and_query_arrive_byte_for_byte(gateway: httpx.Client) -> None:
    target = b"/a%2Fb/../%7e//c;d=[e]?x={y}&z=%zz+%20&&'"
    answer = raw(gateway, b"GET " + target + b" HTTP/1.1\r\nHost: streamly\r\nConnection: close\r\n\r\n")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["target"] == target.decode()


def test_headers_are_passed_on_but_for_those_of_one_connection(gateway: httpx.Client) -> None:
    sent = {"Host": "localhost:8000", "X-Forwarded-For": "203.0.113.9", "Connection": "x-hop", "X-Hop": "1"}
    answer = gateway.get("/login", headers={**sent, "TE": "trailers", "X-Kept": "yes"})
    seen = dict(answer.json()["headers"])
    assert (seen["host"], seen["x-forwarded-for"], seen["x-kept"]) == ("localhost:8000", "203.0.113.9", "yes")
    assert not {"connection", "x-hop", "te"} & set(seen)
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert "x-private" not in answer.headers


def test_space_around_a_value_is_not_passed_on(serve: Serve, functions: Upstream) -> None:
    """Given as uvicorn gives it with a parser that leaves it, httptools."""
    gateway = Gateway(functions_port=serve(functions), sandbox_port=1)

    async def spaced(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["headers"] += [(b"authorization", b"Bearer "), (b"x-tab", b"\ta b\t")]
        await gateway(scope, receive, send)

    seen = dict(httpx.get(f"http://127.0.0.1:{serve(spaced)}/login", trust_env=False).json()["headers"])
    assert (seen["authorization"], seen["x-tab"]) == ("Bearer", "a b")


def test_bodies_of_known_and_of_unknown_length_arrive_whole(gateway: httpx.Client) -> None:
    known = gateway.post("/login", content=b"x" * 3_000_000).json()
    assert (known["size"], dict(known["headers"])["content-length"]) == (3_000_000, "3000000")
    chunked = gateway.post("/login", content=iter([b"x" * 1000] * 1000)).json()
    assert (chunked["size"], dict(chunked["headers"])["transfer-encoding"]) == (1_000_000, "chunked")
    empty = gateway.post("/login").json()
    assert (empty["size"], dict(empty["headers"])["content-length"]) == (0, "0")


def test_an_upload_is_not_collected_first(gateway: httpx.Client, functions: Upstream) -> None:
    def content() -> Iterator[bytes]:
        yield b"first"
        assert functions.first_chunk.wait(10)
        yield b"second"

    assert gateway.put("/upload", content=content()).json()["size"] == 11


def test_an_answer_is_not_collected_first(gateway: httpx.Client, functions: Upstream) -> None:
    with gateway.stream("GET", "/drip") as answer:
        chunks = answer.iter_raw()
        assert next(chunks) == b"one"
        functions.go_on.set()
        assert b"".join(chunks) == b"two"


def test_expect_100_continue_is_answered(gateway: httpx.Client) -> None:
    head = b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
    answer = raw(gateway, head + b"Connection: close\r\n\r\nhi")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("status", [200, 201, 204, 301, 303, 304, 308, 404, 429, 500, 503])
def test_every_status_is_the_clients_business(gateway: httpx.Client, status: int) -> None:
    answer = gateway.put(f"/status?{status}", content=b"part")
    assert answer.status_code == status
    assert (answer.headers["location"], answer.headers["range"], answer.content) == (
        "/elsewhere",
        "bytes=0-9",
        b"",
    )


def test_head_is_answered_without_a_body_and_the_connection_stays_good(gateway: httpx.Client) -> None:
    head = gateway.head("/login")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    assert gateway.get("/login").json()["method"] == "GET"


def test_a_refusal_before_the_body_was_read_is_seen(gateway: httpx.Client) -> None:
    assert gateway.post("/early", content=b"x" * 200_000).status_code == 413


def test_a_client_that_hangs_up_ends_the_call(gateway: httpx.Client, functions: Upstream) -> None:
    with pytest.raises(httpx.ReadTimeout):
        gateway.get("/hang", timeout=0.3)
    assert functions.canceled.wait(10)


def test_an_answer_that_breaks_off_is_not_made_to_look_whole(gateway: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        gateway.get("/break")


@pytest.mark.parametrize("path", ["/login", "/sandbox/"])
def test_a_server_that_is_down_is_a_503_to_try_again(serve: Serve, path: str) -> None:
    app = Gateway(functions_port=free_port(), sandbox_port=free_port())
    answer = httpx.post(f"http://127.0.0.1:{serve(app)}{path}", content=b"{}", trust_env=False)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id"}
    assert (problem["status"], problem["code"]) == (503, "unavailable")


def test_many_calls_at_once_each_get_their_own_answer(gateway: httpx.Client) -> None:
    async def calls() -> list[str]:
        limits = httpx.Limits(max_connections=100)
        # Two hundred wait for the others' connections: on a busy machine longer than five seconds.
        async with httpx.AsyncClient(
            base_url=gateway.base_url, limits=limits, timeout=60, trust_env=False
        ) as client:
            answers = await asyncio.gather(*(client.get(f"/call/{number}") for number in range(300)))
            return [answer.json()["target"] for answer in answers]

    assert asyncio.run(calls()) == [f"/call/{number}?" for number in range(300)]


@pytest.mark.parametrize(
    "path",
    ["/", "/watch/5f0c", "/checkout/success?session_id=x", "/pages/main.js", "/pages/vendor/hls.min.mjs"],
)
def test_pages_are_served_under_a_strict_policy(gateway: httpx.Client, path: str) -> None:
    answer = gateway.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert gateway.head(path).headers["content-length"] == str(len(answer.content))


def test_no_file_but_the_clients_is_served(gateway: httpx.Client) -> None:
    for path in (
        "/pages/",
        "/pages/index.html",
        "/pages/../gateway.py",
        "/pages/%2e%2e/gateway.py",
        "/watch/",
    ):
        # Not a page, so the functions are asked.
        assert gateway.get(path).json()["upstream"] == "functions"
