"""PostgreSQL goes away in every way, under load: who asks is told to come again, nobody is told something wrong, and
five seconds after its return all is as before. What was said to be done is there."""

import os
import random
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pg8000.native
import pytest
from sqlalchemy import URL, make_url, text

from infra.local.postgres import EmbeddedPostgres
from infra.local.processes import free_port, processes
from infra.local.supervisor import Stack
from lib.config import Environment
from lib.database.engine import Database
from tests.api import refused
from tests.factories import Factory
from tests.faults.conftest import THOROUGH
from tests.faults.counts import tried
from tests.faults.crowd import APART, Answer, Crowd, told
from tests.faults.invariants import broken
from tests.faults.standby import Standby, ask
from tests.faults.wire import FAIR, Weather, Wire

RATE = 60
RECOVERY_SECONDS = 5
# Of how things are after that.
SEEN_SECONDS = 3 if THOROUGH else 1


@dataclass
class Place:
    """A stack of its own, whose database lies behind a wire."""

    stack: Stack
    postgres: EmbeddedPostgres
    url: str
    """Past the wire."""
    wire: Wire
    folder: Path

    @contextmanager
    def factory(self) -> Iterator[Factory]:
        """Through connections of its own, of which none outlives the block: not all that comes can be outlived."""
        database = Database(Environment({"DATABASE_URL": self.stack.database_url}).database())
        with Factory(self.stack, database) as make:
            yield make
        database.dispose()

    def through(self, url: str) -> None:
        at = make_url(url)
        assert at.host is not None
        assert at.port is not None
        self.wire.target = (at.host, at.port)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("down")
    with ExitStack() as ends:
        postgres = EmbeddedPostgres(folder / "primary", durable=False)
        url = ends.enter_context(postgres)
        at = make_url(url)
        assert at.port is not None
        wire = ends.enter_context(Wire(("127.0.0.1", at.port)))
        behind = at.set(port=wire.port).render_as_string(hide_password=False)
        stack = Stack(
            folder / "stack",
            free_port(),
            overrides={"DATABASE_URL": behind},
            durable=False,
            film=False,
            say=lambda line: None,
        )
        stack.start()
        ends.callback(stack.stop)
        yield Place(stack, postgres, url, wire, folder)


Fault = Callable[[Place, float], AbstractContextManager[None]]


@contextmanager
def killed(place: Place, seconds: float) -> Iterator[None]:
    """Ended by kill -9 and started again, as a crashed machine."""
    assert place.postgres.process is not None
    place.postgres.process.kill()
    place.postgres.process.wait(10)
    time.sleep(seconds)
    place.postgres.stop()
    # Its recovery is part of being away.
    place.postgres.start()
    yield


@contextmanager
def restarted(place: Place, seconds: float) -> Iterator[None]:
    """As for maintenance: it ends its connections with a word."""
    place.postgres.stop()
    time.sleep(seconds)
    place.postgres.start()
    yield


@contextmanager
def refusing(place: Place, seconds: float) -> Iterator[None]:
    place.wire.weather = Weather("refused")
    time.sleep(seconds)
    place.wire.weather = FAIR
    yield


@contextmanager
def silent(place: Place, seconds: float) -> Iterator[None]:
    """A network that swallows everything. What was on its way is lost."""
    place.wire.weather = Weather("silent")
    time.sleep(seconds)
    place.wire.weather = FAIR
    yield


@contextmanager
def stopped(place: Place, seconds: float) -> Iterator[None]:
    """SIGSTOP for all of it: connections are taken, and nothing is ever said."""
    assert place.postgres.process is not None
    parent = place.postgres.process.pid
    everyone = [parent, *(pid for pid, found in processes().items() if found.parent == parent)]
    for pid in everyone:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in everyone:
        os.kill(pid, signal.SIGCONT)
    yield


@contextmanager
def crowded(place: Place, seconds: float) -> Iterator[None]:
    """Somebody else has all its connections."""
    at = make_url(place.url)
    taken: list[pg8000.native.Connection] = []
    # Ours too: whoever was cut off would be back first.
    place.wire.weather = Weather("refused")
    time.sleep(0.5)
    while (connection := _connection(at)) is not None:
        taken.append(connection)
    place.wire.weather = FAIR
    time.sleep(seconds)
    for connection in taken:
        connection.close()
    yield


def _connection(at: URL) -> "pg8000.native.Connection | None":
    """One more; None where there is none left."""
    try:
        return pg8000.native.Connection(
            at.username, host="127.0.0.1", port=at.port, database=at.database, password=at.password
        )
    except pg8000.native.DatabaseError as error:
        if error.args[0]["C"] != "53300":
            raise
        return None


@contextmanager
def read_only(place: Place, seconds: float) -> Iterator[None]:
    """As a primary that has become a standby, under connections that are still open."""
    ask(place.url, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    time.sleep(seconds)
    # Its own setting stands in the way of changing it back.
    ask(
        place.url,
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "ALTER SYSTEM RESET default_transaction_read_only",
        "SELECT pg_reload_conf()",
    )
    yield


@contextmanager
def failed_over(place: Place, seconds: float) -> Iterator[None]:
    """The primary is killed, its standby promoted, and the address leads there."""
    standby = Standby(place.folder / "standby", place.url)
    assert place.postgres.process is not None
    yield_after = time.monotonic() + seconds
    try:
        place.postgres.process.kill()
        place.postgres.process.wait(10)
        time.sleep(max(0.0, yield_after - time.monotonic()))
        standby.promote()
        place.through(standby.url)
        place.wire.cut()
        yield
    finally:
        # The next experiment finds things as they were: the old machine, with what the new one has.
        place.wire.weather = Weather("refused")
        standby.stop()
        place.postgres.stop()
        place.postgres.start()
        ask(place.url, "ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()")
        place.through(place.url)
        place.wire.weather = FAIR


# How long each lasts: where there is time for all of it, and in every run of the tests.
ALL: dict[str, tuple[Fault, float]] = {
    "killed": (killed, 6),
    "restarted": (restarted, 3),
    "refusing": (refusing, 10),
    "stopped": (stopped, 8),
    "stopped for long": (stopped, 35),
    "silent": (silent, 8),
    "silent for long": (silent, 35),
    "crowded": (crowded, 8),
    "read-only": (read_only, 8),
    "failed over": (failed_over, 5),
}
SOME: dict[str, tuple[Fault, float]] = {
    "read-only": (read_only, 1.5),
    "failed over": (failed_over, 1),
}
FAULTS = ALL if THOROUGH else SOME


@pytest.mark.parametrize("name", list(FAULTS))
def test_away_under_load(place: Place, dice: random.Random, name: str) -> None:
    fault, seconds = FAULTS[name]
    with place.factory() as make:
        crowd = Crowd(make, dice)
    with crowd.busy(RATE):
        time.sleep(1)
        gone = time.monotonic()
        with fault(place, seconds):
            back = time.monotonic()
            time.sleep(RECOVERY_SECONDS + SEEN_SECONDS)
            during = crowd.answers[:]
            # Here, because a standby is the primary only until the block ends.
            with place.factory() as make:
                lost = crowd.lost(make)
                wrong = broken(make.database)
    before = [each for each in during if each.at + each.seconds < gone]
    late = [each for each in during if each.at > back + RECOVERY_SECONDS]
    meanwhile = [each for each in during if each not in before and each not in late]
    first_right = min(
        (
            each.at + each.seconds
            for each in meanwhile
            if each.right and each.what not in APART and each.at > back
        ),
        default=float("inf"),
    )
    tried(
        f"database {name}",
        seconds_away=round(back - gone, 1),
        **told(meanwhile),
        recovered_after_seconds=round(max(0.0, recovered(meanwhile, back)), 2),
        slowest_seconds=round(max(each.seconds for each in meanwhile), 1),
        median_while_away_seconds=round(statistics.median(each.seconds for each in meanwhile), 3),
    )
    assert [each for each in during if each.wrong] == []
    assert all(each.right for each in before)
    assert [each for each in late if not each.right] == [], "as before, five seconds later"
    assert late
    assert first_right < back + RECOVERY_SECONDS
    assert lost == [], "what was said to be done"
    assert wrong == {}


def recovered(answers: list[Answer], back: float) -> float:
    """How long after its return the last one was told to wait."""
    asked = [each.at + each.seconds - back for each in answers if not each.right and each.what not in APART]
    return max(asked, default=0.0)


def test_a_lock_that_is_not_let_go(place: Place, dice: random.Random) -> None:
    """Somebody's row is held by who does not finish: whoever needs it hears so, and nobody else waits."""
    with place.factory() as make:
        crowd = Crowd(make, dice)
        buyer = make.person()
        make.entitle(buyer)
        with make.database.transaction() as tx:
            tx.execute(text("SELECT FROM billing_accounts WHERE user_id = :u FOR UPDATE"), {"u": buyer.id})
            with crowd.busy(RATE / 3), ThreadPoolExecutor(3) as pool:
                began = time.monotonic()
                asked = [pool.submit(buyer.api.post, "create-checkout", {"plan": "basic"}) for _ in range(3)]
                for answer in asked:
                    refused(answer.result(), 503, "unavailable")
                    assert int(answer.result().headers["Retry-After"]) > 0
                waited = time.monotonic() - began
        # The first in the queue waits ten seconds for who holds the row, the next for the first and then ten for the
        # row again: a lock's timeout is that of each wait. The statement's, fifteen seconds, ends them all.
        assert 9 < waited < 15 + 10
        tried("a lock that is not let go", waited_seconds=round(waited, 1), **told(crowd.answers))
        assert told(crowd.answers)["right"] == len(crowd.answers)
        opened = buyer.api.post("create-checkout", {"plan": "basic"})
        assert opened.status_code == 201, "and then it can be had"
