"""How Cloud SQL connections are made, given up and cleaned up after, with a connector that does as told."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, cast

import pytest

from lib.config import Environment
from lib.database.cloud_sql import CloudSqlConnections
from lib.errors import UnavailableError
from tests.factories import wait_for

if TYPE_CHECKING:
    from google.cloud.sql.connector import Connector

SETTINGS = Environment({"INSTANCE_CONNECTION_NAME": "p:r:i", "DB_NAME": "n", "DB_USER": "u"}).database()
SECONDS = 0.5


class FakeConnection:
    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


class FakeConnector:
    """Each call of `connect` waits for its gate to be opened."""

    def __init__(self, *, healthy: bool) -> None:
        self.healthy = healthy
        self.closed = False
        self.gates: list[threading.Event] = []
        self.connections: list[FakeConnection] = []

    def connect(self, *_: object, **__: object) -> FakeConnection:
        if self.closed:
            raise RuntimeError("closed")
        gate = threading.Event()
        self.gates.append(gate)
        assert self.healthy or gate.wait(30)
        self.connections.append(FakeConnection())
        return self.connections[-1]

    def close(self) -> None:
        self.closed = True


class Google:
    """Builds connectors, which are healthy or hang."""

    def __init__(self) -> None:
        self.healthy = False
        self.built: list[FakeConnector] = []

    def build(self) -> "Connector":
        self.built.append(FakeConnector(healthy=self.healthy))
        return cast("Connector", self.built[-1])


@pytest.fixture
def google() -> Iterator[Google]:
    before = socket.getdefaulttimeout()
    found = Google()
    yield found
    for connector in found.built:
        for gate in connector.gates:
            gate.set()
    socket.setdefaulttimeout(before)


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as running:
        yield running


def making(google: Google, at_once: int = 8) -> CloudSqlConnections:
    return CloudSqlConnections(SETTINGS, {}, google.build, SECONDS, at_once)


def is_unavailable(attempt: "Future[Any]") -> bool:
    return isinstance(attempt.exception(10), UnavailableError)


def test_one_connector_for_all(google: Google) -> None:
    google.healthy = True
    connections = making(google)
    assert connections.connect() is not connections.connect()
    assert len(google.built) == 1
    assert not google.built[0].closed


def test_what_comes_too_late_is_closed(google: Google) -> None:
    connections = making(google)
    with pytest.raises(UnavailableError):
        connections.connect()
    (connector,) = google.built
    connector.gates[0].set()
    wait_for(lambda: connector.closed)
    assert connector.connections[0].closed


def test_giving_up_concerns_its_own_connector_only(google: Google, executor: ThreadPoolExecutor) -> None:
    """Two hang on the first connector; between one's end and the other's a third gets a new one."""
    connections = making(google)
    first = executor.submit(connections.connect)
    wait([first], SECONDS / 2)
    second = executor.submit(connections.connect)
    assert is_unavailable(first)
    google.healthy = True
    connections.connect()
    assert is_unavailable(second)
    connections.connect()
    assert len(google.built) == 2
    assert not google.built[1].closed


def test_a_connector_is_closed_by_the_last_who_uses_it(google: Google, executor: ThreadPoolExecutor) -> None:
    connections = making(google)
    both = [executor.submit(connections.connect) for _ in range(2)]
    assert all(is_unavailable(attempt) for attempt in both)
    (connector,) = google.built
    one, other = connector.gates
    one.set()
    wait_for(lambda: connector.connections and connector.connections[0].closed)
    assert not connector.closed
    other.set()
    wait_for(lambda: connector.closed)


def test_so_many_at_once(google: Google) -> None:
    """However long the outage, it leaves a bounded number of threads behind; and it ends."""
    connections = making(google, at_once=2)
    for _ in range(4):
        started = time.monotonic()
        with pytest.raises(UnavailableError):
            connections.connect()
        assert time.monotonic() - started < SECONDS * 2
    assert [len(connector.gates) for connector in google.built] == [1, 1]
    google.healthy = True
    google.built[0].gates[0].set()
    connections.connect()
    assert len(google.built) == 3
