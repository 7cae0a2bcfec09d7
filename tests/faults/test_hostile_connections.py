"""Requests that are odd on the wire: origins, paths, headers, lengths, compression, and bodies that never end.

Against the functions' server as `make run` has it, and one with the image's settings (`infra/service/start.sh`).
"""

import contextlib
import gzip
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.local.processes import free_port
from infra.local.supervisor import Stack
from infra.service.app import ROOT, function_names
from tests.factories import Factory, wait_for
from tests.faults.counts import tried
from tests.faults.hostile import Callers, functions_url

JSON = {"Content-Type": "application/json"}

# A length of none and a chunk of none: a server that takes the other one sees a second request.
SMUGGLED = (
    b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\n\r\nGET /account HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
)


@pytest.fixture(scope="module")
def image(environment: dict[str, str]) -> Iterator[str]:
    """All functions as the image serves them, behind one proxy."""
    port = free_port()
    settings = environment | {
        "PORT": str(port),
        "THREADS": "8",
        "TRUSTED_PROXIES": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    with subprocess.Popen(
        ["sh", "infra/service/start.sh"],
        cwd=ROOT,
        env=settings,
        stdout=subprocess.DEVNULL,
    ) as process:
        address = f"http://127.0.0.1:{port}"

        def healthy() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"{address}/health").status_code == 200
            return False

        try:
            wait_for(healthy, 60)
            yield address
        finally:
            process.terminate()
            process.wait(30)


def raw(address: str, request: bytes, seconds: float = 10) -> bytes:
    """What comes back for these bytes, until the server hangs up or says nothing more."""
    with socket.create_connection(where(address), seconds) as connection:
        connection.sendall(request)
        answer = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while part := connection.recv(65536):
                answer += part
        return answer


def where(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("http://").partition(":")
    return host, int(port)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


def test_origins(http: httpx.Client, stack: Stack, callers: Callers) -> None:
    """Every function, asked by a page and before it is: who is not listed may read nothing."""
    ours = stack.settings.base_url
    strangers = [
        "https://evil.example", "null", "*", "", ours + ".evil.example", ours + "/", ours.upper(), f"{ours}@evil.example",
        ours.replace("http:", "https:"), ours.replace("localhost", "evil.localhost"), f"{ours}, https://evil.example",
        ours.rsplit(":", 1)[0], "file://", f"{ours}\tx",
    ]  # fmt: skip
    tries = 0
    for function in function_names():
        path = "/api-docs/openapi.json" if function == "api-docs" else f"/{function}"
        for origin in [*strangers, ours]:
            asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            for answer in (http.options(path, headers=asked), http.post(path, headers={"Origin": origin})):
                tries += 1
                allowed = {name for name in answer.headers if name.startswith("access-control-")}
                assert "Origin" in answer.headers["Vary"]
                assert "access-control-allow-credentials" not in allowed
                if origin != ours:
                    assert allowed == set(), (function, origin)
                else:
                    assert answer.headers["Access-Control-Allow-Origin"] == ours
    tried("origins", tries=tries, held=tries)


def test_paths(http: httpx.Client, stack: Stack) -> None:
    """A path is a function's name and nothing else; nothing is redirected, and no file is read that is not listed."""
    paths = [
        "//login", "///login", "/login//", "/login/..", "/login/../account", "/../login", "/./login", "/login/.", "/%2e/login",
        "/%2e%2e/login", "/login%2f", "/%2flogin", "/login%2f..%2faccount", "/login%00", "/login%00.json", "/login;x=1",
        "/login.", "/login.json", "/LOGIN", "/Login", "/login%20", "/%20login", "/log%69n", "/login%3f", "/login%23", "/login\\x",
        "/login%5c..", "/login%c0%af", "/login%ff", "/%6cogin%0a", "/get_playback", "/get-playback/", "/login/account",
        "/login/login", "/main.py", "/lib/config.py", "/.env", "/.git/config", "/functions", "/health/", "/healthz", "/health/x",
        "/_", "/__init__", "/favicon.ico", "/robots.txt", "/login/" + "a/" * 2000, "/" + "a" * 6000, "/" + "%00" * 1000,
        *(f"/api-docs/{prefix}{file}"
          for prefix in ("", "assets/", "assets/../", "..%2f", "%2e%2e/", "assets/%2e%2e/", "assets/..%5c", "/", "assets//",
                         "assets/....//", "%2f..%2f", "assets/%252e%252e/")
          for file in ("main.py", "openapi.json.bak", "README.md", ".env", "../../lib/config.py", "%2fetc%2fpasswd",
                       "etc/passwd", "redoc.LICENSE")),
    ]  # fmt: skip
    for path in paths:
        for method in ("GET", "POST"):
            request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            answer = raw(functions_url(stack), request.encode())
            assert 200 <= status(answer) < 500, (path, answer[:300])
            assert b"\r\nlocation:" not in answer.lower(), (path, answer[:300])
            for secret in (b"import ", b"root:", b"MIT License", b"[core]"):
                assert secret not in answer, (path, answer[:300])
    same = {path: http.post(path, json={}).status_code for path in ("/login", "/login/")}
    assert set(same.values()) == {422}, same
    tried("paths", tries=2 * len(paths), held=2 * len(paths))


def test_headers(http: httpx.Client, stack: Stack, callers: Callers) -> None:
    guest, admin = callers.guest(), callers.guest("admin")
    good, other = f"Bearer {guest.token}", f"Bearer {admin.token}"
    address = functions_url(stack)

    def asked(*lines: str, start: str = "GET /account HTTP/1.1") -> int:
        head = "\r\n".join([start, "Host: x", *lines, "Connection: close", "", ""])
        return status(raw(address, head.encode("latin-1")))

    expected: dict[str, tuple[int, set[int]]] = {
        "one": (asked(f"Authorization: {good}"), {200}),
        "two of Authorization": (asked(f"Authorization: {good}", f"Authorization: {other}"), {401}),
        "the same twice": (asked(f"Authorization: {good}", f"Authorization: {good}"), {401}),
        "a bad one first": (asked("Authorization: Bearer x", f"Authorization: {good}"), {401}),
        "none": (asked(), {401}),
        "in small letters": (asked(f"authorization: {good.replace('Bearer', 'bearer')}"), {200}),
        "with an underscore": (asked(f"Authorization_: {good}"), {400, 401}),
        "as the proxy's": (asked(f"Proxy-Authorization: {good}"), {401}),
        "as CGI has it": (asked(f"HTTP_AUTHORIZATION: {good}"), {400, 401}),
        "folded": (asked("Authorization: Bearer", f" {guest.token}"), {400, 401}),
        "with spaces before the colon": (asked(f"Authorization : {good}"), {400, 401}),
        "many": (asked(*(f"X-{number}: x" for number in range(500)), f"Authorization: {good}"), {400, 431}),
        "long": (asked(f"X-Long: {'x' * 100_000}", f"Authorization: {good}"), {400, 431}),
        "a bare line feed": (asked(f"X: a\nAuthorization: {good}"), {200, 400}),
        "a NUL": (asked("X: a\x00b", f"Authorization: {good}"), {200, 400}),
        "no host": (status(raw(address, b"GET /account HTTP/1.1\r\nConnection: close\r\n\r\n")), {400, 401}),
        "HTTP/0.9": (status(raw(address, b"GET /account\r\n\r\n")), {0, 400}),
        "HTTP/9.9": (status(raw(address, b"GET /account HTTP/9.9\r\n\r\n")), {0, 400, 505}),
        "an absolute address": (asked(start="GET http://evil.example/account HTTP/1.1"), {400, 401, 404}),
        "CONNECT": (asked(start="CONNECT evil.example:443 HTTP/1.1"), {400, 404, 405}),
        "another method, overridden": (
            asked(f"Authorization: {good}", "X-HTTP-Method-Override: DELETE", "X-Method-Override: DELETE"),
            {200},
        ),
        "a trace that is none": (
            asked(f"Authorization: {good}", f"traceparent: 00-{'x' * 9000}-1-1"),
            {200, 431},
        ),
        "If-None-Match without end": (
            asked("If-None-Match: " + '"' * 7000, start="GET /list-videos HTTP/1.1"),
            {200},
        ),
        "Expect": (asked(f"Authorization: {good}", "Expect: 200-ok"), {200, 400, 417}),
        "Range": (asked(f"Authorization: {good}", "Range: bytes=0-0,1-1,2-2"), {200}),
    }
    wrong = {name: found for name, (found, fine) in expected.items() if found not in fine}
    assert not wrong
    assert http.get("/account", headers={"Authorization": good}).status_code == 200, "nobody was deleted"
    tried("headers", tries=len(expected), held=len(expected))


@pytest.mark.parametrize("trusted", [0, 1])
def test_addresses_that_are_made_up(http: httpx.Client, image: str, make: Factory, trusted: int) -> None:
    """Who logs in from where, as the account shows it: without a proxy of ours the header is anybody's word."""
    person = make.person()
    with httpx.Client(base_url=image if trusted else functions_url(make.stack), timeout=30) as client:
        for header, believed in {
            "203.0.113.7": "203.0.113.7",
            "1.2.3.4, 203.0.113.8": "203.0.113.8",
            "203.0.113.9,": "203.0.113.9",
            "'; DROP TABLE users; --": None,
            "x" * 5000: None,
            "": None,
            "é": None,
        }.items():
            body = {"email": person.email, "password": "a long walk by the sea", "device_name": "Telephone"}
            answer = client.post(
                "/login", json=body, headers=[(b"X-Forwarded-For", header.encode("latin-1"))]
            )
            assert answer.status_code == 200, answer.text
            known = client.get(
                "/account", headers={"Authorization": f"Bearer {answer.json()['access_token']}"}
            ).json()
            (shown,) = [login["address"] for login in known["sessions"] if login["current"]]
            if trusted and believed:
                assert shown == believed
            elif not trusted:
                assert shown == "127.0.0.1"
            assert len(shown) <= 64
    tried(f"addresses that are made up, {trusted} proxies trusted", tries=7, held=7)


def test_lengths(http: httpx.Client, stack: Stack, image: str) -> None:
    """Lengths that lie, chunks that do, and bodies that are packed: refused or read as what they are."""
    body = json.dumps({"email": "nobody@example.com", "password": "a long walk"}).encode()
    head = "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
    chunked = head + "Transfer-Encoding: chunked\r\n"
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    cases: dict[str, tuple[bytes, set[int]]] = {
        "right": (f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body, {401}),
        "too short": (f"{head}Content-Length: 10\r\n\r\n".encode() + body, {400}),
        "below none": (f"{head}Content-Length: -1\r\n\r\n".encode() + body, {400}),
        "no number": (f"{head}Content-Length: x\r\n\r\n".encode() + body, {400}),
        "with a sign": (f"{head}Content-Length: +{len(body)}\r\n\r\n".encode() + body, {400}),
        "two that differ": (f"{head}Content-Length: 3\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body, {400}),
        "none": (f"{head}\r\n".encode() + body, {422}),
        "chunked": (f"{chunked}\r\n".encode() + chunks, {401}),
        "chunked and a length": (f"{chunked}Content-Length: 4\r\n\r\n".encode() + chunks, {400, 401}),
        "chunked twice": (f"{chunked}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks, {400, 501}),
        "chunked, identity": (f"{chunked}Transfer-Encoding: identity\r\n\r\n".encode() + chunks, {400, 501}),
        "chunks of no size": (f"{chunked}\r\n".encode() + b"x\r\n\r\n", {400}),
        "chunks below none": (f"{chunked}\r\n".encode() + b"-1\r\n\r\n", {400}),
        "too many": (f"{chunked}\r\n".encode() + b"8000\r\n" + b" " * 0x8000 + b"\r\n8001\r\n" + b" " * 0x8001 + b"\r\n0\r\n\r\n", {413}),
        "packed": (
            f"{head}Content-Encoding: gzip\r\nContent-Length: {len(gzip.compress(body))}\r\n\r\n".encode() + gzip.compress(body),
            {400, 415},
        ),
        "packed by a thousand": (
            f"{head}Content-Encoding: gzip\r\nContent-Length: {len(gzip.compress(bytes(10**7)))}\r\n\r\n".encode()
            + gzip.compress(bytes(10**7)),
            {400, 415},
        ),
        "two requests in one": (SMUGGLED, {400, 415, 422}),
    }  # fmt: skip
    for address in (functions_url(stack), image):
        found = {name: status(raw(address, request)) for name, (request, _) in cases.items()}
        assert {name: got for name, got in found.items() if got not in cases[name][1]} == {}
    tried("lengths", tries=2 * len(cases), held=2 * len(cases))


class Slow:
    """Clients that send a byte now and then, and never come to an end."""

    def __init__(self, address: str, number: int, *, in_body: bool) -> None:
        self._stop = threading.Event()
        head = b"POST /login HTTP/1.1\r\nHost: x\r\n"
        if in_body:
            head += b"Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n{"
        self.connections = [socket.create_connection(where(address), 5) for _ in range(number)]
        for connection in self.connections:
            connection.sendall(head)
        self._thread = threading.Thread(target=self._drip, args=(b" " if in_body else b"X",), daemon=True)
        self._thread.start()

    def _drip(self, byte: bytes) -> None:
        while not self._stop.wait(0.5):
            for connection in self.connections:
                with contextlib.suppress(OSError):
                    connection.sendall(byte)

    def __enter__(self) -> "Slow":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for connection in self.connections:
            connection.close()


def served(address: str, number: int = 20) -> list[float | None]:
    """How long others wait meanwhile, in seconds; None: more than three."""
    waits: list[float | None] = []
    for _ in range(number):
        started = time.monotonic()
        try:
            httpx.get(f"{address}/list-plans", timeout=3).raise_for_status()
            waits.append(time.monotonic() - started)
        except httpx.TimeoutException:
            waits.append(None)
            break
    return waits


@pytest.mark.parametrize(
    ("server", "number", "in_body"),
    [
        ("the functions'", 7, True),
        ("the image's", 7, True),
        ("the image's", 7, False),
        ("the gateway's", 300, False),
    ],
)
def test_slow_ones(stack: Stack, image: str, server: str, number: int, in_body: bool) -> None:
    """Each holds one of the eight threads: with one fewer the others are served. What stands in front (here the
    gateway, in the cloud Google's front end) takes a head for itself until it is whole, so of slow heads it bears any.
    """
    addresses = {
        "the functions'": functions_url(stack),
        "the image's": image,
        "the gateway's": gateway(stack),
    }
    with Slow(addresses[server], number, in_body=in_body):
        time.sleep(1)
        waits = served(addresses[server])
    fine = [wait for wait in waits if wait is not None]
    tried(
        f"slow {'bodies' if in_body else 'heads'}, {server} server",
        clients=number,
        tries=len(waits),
        held=len(fine),
        median_ms=round(1000 * statistics.median(fine), 1) if fine else None,
    )
    assert len(fine) == 20


def gateway(stack: Stack) -> str:
    return f"http://127.0.0.1:{stack.port}"
