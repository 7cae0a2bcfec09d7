"""The pool of connections among many who ask, while connections die, time out and are forgotten."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from sqlalchemy import text

from lib.config import Environment
from lib.database.connections import Limits
from lib.database.engine import Database
from lib.database.pool import Pool
from lib.errors import UnavailableError
from tests.factories import wait_for

SIZE = 3
ASKERS = 6
TURNS = 20

_BACKENDS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


class Asker:
    """Asks for numbers of its own, now and then in ways that go wrong, and looks whether they come back."""

    def __init__(self, database: Database, seed: int) -> None:
        self._database = database
        self._random = random.Random(seed)  # noqa: S311 - what is tried, nothing secret
        self._ways = (
            *(self.read, self.transaction) * 8,
            self.statement_timeout,
            self.silence,
            self.half_said,
            self.half_read,
            self.ended,
        )
        self.answers = 0

    def ask(self) -> None:
        for _ in range(TURNS):
            with suppress(UnavailableError):
                self._random.choice(self._ways)(self._random.randrange(1 << 30))
                self.answers += 1

    def read(self, number: int) -> None:
        assert self._database.read("SELECT CAST(:number AS int) AS found", number=number) == {"found": number}

    def transaction(self, number: int) -> None:
        with self._database.transaction() as tx:
            tx.execute(text("SELECT set_config('asker.number', :number, true)"), {"number": str(number)})
            many = tx.execute(text("SELECT generate_series(:number, :number + 200)"), {"number": number})
            assert many.scalars().all() == list(range(number, number + 201))
            assert tx.scalar(text("SELECT current_setting('asker.number')")) == str(number)

    def statement_timeout(self, _: int) -> None:
        with self._database.transaction() as tx:
            tx.execute(text("SET LOCAL statement_timeout = 20"))
            tx.execute(text("SELECT pg_sleep(1)"))

    def silence(self, number: int) -> None:
        """The answer comes when nobody waits for it any more."""
        self._database.read("SELECT CAST(:number AS int) AS found, pg_sleep(1)::text", number=number)

    def half_said(self, _: int) -> None:
        with suppress(UnicodeEncodeError), self._database.transaction() as tx:
            tx.execute(text("SELECT CAST(:word AS text)"), {"word": "\ud800"})

    def half_read(self, _: int) -> None:
        """A time that Python has not: the driver gives up in the middle of the answer."""
        with suppress(ValueError):
            self._database.read("SELECT CAST('24:00' AS time) AS midnight, generate_series(1, 3) AS number")

    def ended(self, number: int) -> None:
        """As a thread that is told to end in the middle."""
        with suppress(KeyboardInterrupt), self._database.transaction() as tx:
            tx.execute(text("SELECT CAST(:number AS int)"), {"number": number})
            raise KeyboardInterrupt


@contextmanager
def again_and_again(act: Callable[[], object], every: float) -> Iterator[None]:
    over = threading.Event()

    def keep() -> None:
        while not over.wait(every):
            act()

    running = threading.Thread(target=keep)
    running.start()
    try:
        yield
    finally:
        over.set()
        running.join()


def test_no_answer_reaches_who_did_not_ask_and_no_place_is_lost(apart: str, database_apart: Database) -> None:
    settings = Environment({"DATABASE_URL": apart, "DB_POOL_SIZE": str(SIZE)}).database()
    pool = Pool(settings, limits=Limits(answer=0.5, idle=0.05))
    asked = Database(settings, pool=pool)

    def kill() -> None:
        with database_apart.transaction() as tx:
            tx.execute(text(f"SELECT pg_terminate_backend(pid) {_BACKENDS} ORDER BY random() LIMIT 1"))

    askers = [Asker(asked, seed) for seed in range(ASKERS)]
    with (
        again_and_again(kill, 0.5),
        again_and_again(pool.forget, 0.7),
        ThreadPoolExecutor(ASKERS) as running,
    ):
        for done in [running.submit(asker.ask) for asker in askers]:
            done.result(120)
    assert all(asker.answers for asker in askers)

    # All places are free, and nothing stays open that the pool does not know of.
    for each in [pool.lend() for _ in range(SIZE)]:
        pool.give_back(each)
    asked.dispose()

    def all_closed() -> bool:
        with database_apart.transaction() as tx:
            return bool(tx.scalar(text(f"SELECT count(*) = 0 {_BACKENDS}")))

    wait_for(all_closed)


def test_what_a_migration_changed_is_prepared_again(apart: str) -> None:
    """Warm connections know a function's answer as it was: nobody is refused for that."""
    database = Database(Environment({"DATABASE_URL": apart, "DB_POOL_SIZE": "1"}).database())

    def migrate(*statements: str) -> None:
        with database.transaction() as tx:
            for statement in statements:
                tx.execute(text(statement))

    ask = "SELECT * FROM asked(CAST(:number AS int))"
    migrate(
        "CREATE FUNCTION asked(number int, OUT one int, OUT two int) LANGUAGE sql AS 'SELECT number, number'"
    )
    assert database.read(ask, number=1) == {"one": 1, "two": 1}
    migrate(
        "DROP FUNCTION asked(int)",
        "CREATE FUNCTION asked(number int, OUT one int, OUT three text) LANGUAGE sql AS $$SELECT number, 'three'$$",
    )
    assert database.read(ask, number=2) == {"one": 2, "three": "three"}
    database.dispose()
