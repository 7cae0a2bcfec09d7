"""A yes costs get-playback one round trip to PostgreSQL, a login two: counted on the wire, by a proxy in between."""

import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import text

from infra.local.processes import free_port
from lib.accounts.logging_in import Logins
from lib.accounts.registering import Registrations
from lib.adapters.argon2_hasher import Argon2Hasher
from lib.adapters.jwt_tokens import JwtTokens
from lib.billing.receiving import StripeInbox
from lib.config import Environment
from lib.database.engine import Database
from lib.database.pool import Pool
from lib.errors import EmailTakenError, InvalidCredentialsError
from lib.web.ports import SystemClock
from tests.billing import SECRET, event, signed
from tests.factories import PASSWORD, Factory, Person, wait_for
from tests.fakes.tasks import FakeTasks

ROOT = Path(__file__).resolve().parents[2]


class CountingProxy:
    """Passes TCP connections on to a server and counts the turns: each time a client speaks that has heard
    the server since it spoke last, or not spoken yet. However much it says at once, it waits once.
    """

    def __init__(self, host: str, port: int) -> None:
        self.turns = 0
        self.connections = 0
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._stop, wake = socket.socketpair()
        self._selector.register(wake, selectors.EVENT_READ)
        self._others: dict[socket.socket, socket.socket] = {}
        self._clients: set[socket.socket] = set()
        self._waiting: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def instead_of(self, database_url: str) -> str:
        """The URL of the same database, through here."""
        url = urlsplit(database_url)
        return url._replace(netloc=f"{url.netloc.rpartition(':')[0]}:{self.port}").geturl()

    def stop(self) -> None:
        self._stop.close()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                end = key.fileobj
                assert isinstance(end, socket.socket)
                if end is self._listener:
                    self._connect(end.accept()[0])
                elif end in self._others:
                    self._pass_on(end)
                elif end.fileno() != -1:
                    self._close([end, self._listener, *self._others])
                    return

    def _connect(self, client: socket.socket) -> None:
        server = socket.create_connection(self._server)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(end, selectors.EVENT_READ)
        self._others |= {client: server, server: client}
        self._clients.add(client)
        self.connections += 1

    def _pass_on(self, end: socket.socket) -> None:
        other = self._others[end]
        piece = end.recv(1 << 16)
        if not piece:
            for closed in (end, other):
                self._others.pop(closed)
                self._selector.unregister(closed)
                closed.close()
            return
        if end in self._clients and end not in self._waiting:
            self.turns += 1
            self._waiting.add(end)
        elif end not in self._clients:
            self._waiting.discard(other)
        other.sendall(piece)

    def _close(self, ends: list[socket.socket]) -> None:
        for end in ends:
            end.close()
        self._selector.close()


@pytest.fixture(scope="module")
def proxy(environment: dict[str, str]) -> Iterator[CountingProxy]:
    url = urlsplit(environment["DATABASE_URL"])
    assert url.hostname
    assert url.port
    running = CountingProxy(url.hostname, url.port)
    yield running
    running.stop()


class GetPlayback:
    """The function in a process of its own, served as the cloud serves it, its database behind the proxy."""

    def __init__(self, environment: dict[str, str], proxy: CountingProxy, log: Path) -> None:
        through = proxy.instead_of(environment["DATABASE_URL"])
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        framework = str(Path(sys.executable).with_name("functions-framework"))
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [framework, "--target", "get-playback", "--host", "127.0.0.1", "--port", str(port)],
                env=environment | {"DATABASE_URL": through, "PATH": os.environ["PATH"]},
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            return httpx.options(self.url).status_code == 204
        except httpx.TransportError:
            return False

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged about its requests."""
        lines = [line for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [line for line in map(json.loads, lines) if line.get("method") == "GET"]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(15)


@pytest.fixture(scope="module")
def function(
    environment: dict[str, str], proxy: CountingProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GetPlayback]:
    running = GetPlayback(environment, proxy, tmp_path_factory.mktemp("function") / "log")
    wait_for(running.answers)
    yield running
    running.stop()


@pytest.fixture
def person(make: Factory) -> Person:
    found = make.person()
    make.entitle(found)
    return found


def trips(function: GetPlayback, proxy: CountingProxy, person: Person, **query: Any) -> tuple[int, int, int]:
    """Ask once: the status, the turns on the wire, the round trips it logs."""
    before, logged = proxy.turns, len(function.lines())
    headers = {"Authorization": f"Bearer {person.api.token}"}
    status = httpx.get(function.url, params=query, headers=headers, timeout=30).status_code
    turns = proxy.turns - before
    (line,) = wait_for(lambda: function.lines()[logged:])
    assert line["status"] == status
    return status, turns, line["round_trips"]


def test_a_yes_is_one_round_trip_once_warm(
    function: GetPlayback, proxy: CountingProxy, person: Person, make: Factory
) -> None:
    trips(function, proxy, person, video_id=make.video())
    connections = proxy.connections
    film = make.video()
    assert trips(function, proxy, person, video_id=film) == (200, 1, 1)
    assert trips(function, proxy, person, video_id=film) == (200, 1, 1), "renewed"
    assert proxy.connections == connections >= 1


def test_a_takeover_and_each_refusal_take_no_more(
    function: GetPlayback, proxy: CountingProxy, person: Person, make: Factory
) -> None:
    films = [make.video() for _ in range(3)]
    opened = [person.api.get("get-playback", video_id=film).json() for film in films[:2]]
    trips(function, proxy, person, video_id=films[0])
    assert trips(function, proxy, person, video_id=films[2]) == (429, 1, 1)
    takeover = opened[0]["session_id"]
    assert trips(function, proxy, person, video_id=films[2], takeover=takeover) == (200, 1, 1)
    stranger = make.person()
    assert trips(function, proxy, stranger, video_id=films[0]) == (402, 1, 1)
    assert trips(function, proxy, stranger, video_id="nonsense") == (404, 1, 1)
    assert trips(function, proxy, stranger) == (422, 0, 0)


def test_a_bad_token_never_reaches_the_database(
    function: GetPlayback, proxy: CountingProxy, make: Factory
) -> None:
    before = proxy.turns
    video = str(make.video())
    for token in ("nonsense", f"{make.person().api.token}x"):
        response = httpx.get(
            function.url, params={"video_id": video}, headers={"Authorization": f"Bearer {token}"}
        )
        assert response.status_code == 401
    assert proxy.turns == before


def test_the_counter_counts_what_costs_more(environment: dict[str, str], proxy: CountingProxy) -> None:
    """A transaction of one statement, with parameters or without, shows as three turns, preparing as two."""
    through = proxy.instead_of(environment["DATABASE_URL"])
    opened = Database(Environment({"DATABASE_URL": through}).database())

    def turns(act: Callable[[], object]) -> int:
        before = proxy.turns
        act()
        return proxy.turns - before

    def transaction() -> None:
        with opened.transaction() as tx:
            assert (
                tx.scalar(text("SELECT :one || ' and ' || :two"), {"one": "begin", "two": "end"})
                == "begin and end"
            )

    transaction()
    assert turns(transaction) == 3
    assert turns(lambda: opened.read("SELECT 1 AS one")) == 2
    assert turns(lambda: opened.read("SELECT 1 AS one")) == 1
    opened.dispose()


def test_an_event_is_kept_in_one(environment: dict[str, str], proxy: CountingProxy) -> None:
    through = proxy.instead_of(environment["DATABASE_URL"])
    pool = Pool(Environment({"DATABASE_URL": through}).database())
    inbox = StripeInbox(pool, FakeTasks(), SystemClock(), (SECRET,))

    def turns(payload: bytes) -> int:
        before = proxy.turns
        inbox.receive(payload, signed(payload))
        return proxy.turns - before

    turns(event("cus_of_nobody"))
    assert turns(event("cus_of_nobody", "some.other.type")) == 1
    known = event("cus_of_nobody")
    assert turns(known) == 1
    assert turns(known) == 3, "again: known, then prepared and enqueued anew"
    assert turns(known) == 2
    pool.forget()


@pytest.mark.parametrize("verified_only", [False, True], ids=["open", "verified"])
def test_an_account_and_a_login_are_two(
    environment: dict[str, str], proxy: CountingProxy, verified_only: bool
) -> None:
    """One before the password is hashed, one after it."""
    env = Environment(environment)
    pool = Pool(Environment({"DATABASE_URL": proxy.instead_of(environment["DATABASE_URL"])}).database())
    rules = replace(env.accounts(), count_loopback=True, verified_only=verified_only)
    hasher = Argon2Hasher(1, memory_kib=64, passes=1)
    services = (pool, hasher, JwtTokens(env.tokens()), SystemClock())
    registrations = Registrations(*services, rules, FakeTasks())
    logins = Logins(*services, replace(rules, verified_only=False))
    network = f"2001:db8:{uuid.uuid4().hex[:4]}:1::"

    def turns(act: Callable[[], object]) -> int:
        before = proxy.turns
        act()
        return proxy.turns - before

    def register(email: str) -> None:
        registrations.register(email=email, password=PASSWORD, name=None, address=f"{network}1")

    def log_in(email: str, password: str = PASSWORD, host: str = "1", device: str | None = None) -> None:
        logins.login(email=email, password=password, device_name=device, address=f"{network}{host}")

    def is_refused(email: str) -> None:
        with pytest.raises(InvalidCredentialsError):
            log_in(email, "not the right one")

    def is_taken(email: str) -> None:
        with pytest.raises(EmailTakenError):
            register(email)

    first, second = (f"{uuid.uuid4().hex}@example.com" for _ in range(2))
    register(first)
    log_in(first)
    assert turns(lambda: register(second)) == 2
    assert turns(lambda: register(first) if verified_only else is_taken(first)) == 2
    assert turns(lambda: log_in(second)) == 2
    assert turns(lambda: log_in(second, host="2", device="Laptop")) == 2
    assert turns(lambda: is_refused(second)) == 1
    assert turns(lambda: is_refused(f"{uuid.uuid4().hex}@example.com")) == 1
    pool.forget()
