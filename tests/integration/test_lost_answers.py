"""login and register whose connection is lost before the database's answer comes: asked again, and nothing done twice."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Connection, text

from lib.accounts import store
from lib.accounts.logging_in import Logins
from lib.accounts.login import Login
from lib.accounts.outbox import Outbox
from lib.accounts.refreshing import Refreshing
from lib.accounts.registering import Registrations
from lib.accounts.store import StoredSessions
from lib.adapters.argon2_hasher import Argon2Hasher
from lib.adapters.jwt_tokens import JwtTokens
from lib.config import AccountSettings, Environment
from lib.database.engine import Database
from lib.database.pool import Pool
from lib.database.reads import Reads
from lib.errors import EmailNotVerifiedError, EmailTakenError
from lib.web.ports import SystemClock
from tests.factories import PASSWORD, wait_for
from tests.fakes.tasks import FakeTasks
from tests.faults.deaths import is_done
from tests.faults.wire import Moment, Wire

HOME, ELSEWHERE = "192.0.2.7", "198.51.100.9"
# Of the two calls that login and register make.
COUNTING, DOING = 1, 2

FACTS = """
    SELECT 'login' AS what, count(*) AS many FROM sessions WHERE user_id = :user
    UNION ALL
    SELECT 'token', count(*) FROM refresh_tokens r JOIN sessions s ON s.id = r.session_id WHERE s.user_id = :user
    UNION ALL SELECT 'noted ' || kind, count(*) FROM audit_log WHERE user_id = :user GROUP BY kind
    UNION ALL SELECT 'mail ' || kind, count(*) FROM mails WHERE user_id = :user GROUP BY kind
"""


class GivenUpError(Exception):
    """So that a transaction is taken back."""


class Place:
    """The services, their pool behind a wire on which the answer to one statement is lost."""

    def __init__(self, database: Database, environment: dict[str, str], url: str) -> None:
        self.database = database
        self._environment = Environment(environment)
        self._ran = self._lost = 0
        at = urlsplit(url)
        self.wire = Wire((str(at.hostname), int(at.port or 0)), self._watch)
        through = at._replace(netloc=f"{at.netloc.rpartition(':')[0]}:{self.wire.port}").geturl()
        self._pool = Pool(Environment({"DATABASE_URL": through}).database())
        self.reads: Reads = self._pool
        self.tasks = FakeTasks()
        self.email = f"{uuid.uuid4().hex}@example.com"

    def lose(self, statement: int) -> None:
        """The answer to the so-and-so-manyth from now on."""
        self._ran, self._lost = 0, statement

    def close(self) -> None:
        self._pool.forget()
        self.wire.close()

    def _watch(self, heard: bytes, moment: Moment) -> bool:
        # What is only prepared changes nothing.
        if heard[:1] != b"B":
            return True
        if moment == "before":
            self._ran += 1
            return True
        if self._ran != self._lost:
            return True
        wait_for(lambda: is_done(self.database))
        return False

    def ran(self) -> int:
        return self._ran

    def register(self, *, verified_only: bool = False) -> Login | None:
        services = self._services(passes=1, verified_only=verified_only)
        found = Registrations(*services, self.tasks)
        return found.register(email=self.email, password=PASSWORD, name="Ada", address=HOME)

    def log_in(self, *, passes: int = 1, verified_only: bool = False) -> Login:
        logins = Logins(*self._services(passes=passes, verified_only=verified_only))
        return logins.login(email=self.email, password=PASSWORD, device_name="Laptop", address=ELSEWHERE)

    def _services(
        self, *, passes: int, verified_only: bool
    ) -> tuple[Reads, Argon2Hasher, JwtTokens, SystemClock, AccountSettings]:
        rules = replace(self._environment.accounts(), verified_only=verified_only, count_loopback=True)
        hasher = Argon2Hasher(2, memory_kib=64, passes=passes)
        return self.reads, hasher, JwtTokens(self._environment.tokens()), SystemClock(), rules

    def works(self, login: Login | None) -> bool:
        """Both of its tokens do."""
        assert login is not None
        tokens, rules = JwtTokens(self._environment.tokens()), self._environment.accounts()
        StoredSessions(self.database).caller(tokens.verify(login.access_token))
        refreshing = Refreshing(self.database, tokens, SystemClock(), rules, Outbox(None))
        return refreshing.refresh(login.refresh_token, address=HOME).user == login.user

    def facts(self) -> dict[str, int]:
        with self.database.transaction() as tx:
            user = store.user_by_email(tx, self.email)
            assert user is not None
            return {row.what: row.many for row in tx.execute(text(FACTS), {"user": user.id})}


@pytest.fixture
def place(database_apart: Database, environment: dict[str, str], apart: str) -> Iterator[Place]:
    made = Place(database_apart, environment, apart)
    yield made
    made.close()


BEGUN = {"login": 1, "token": 1, "noted registered": 1, "mail verification": 1}
AGAIN = BEGUN | {"login": 2, "token": 2, "noted logged_in": 1, "mail new_device": 1}


@pytest.mark.parametrize("lost", [COUNTING, DOING])
def test_an_account_is_made_once(place: Place, lost: int) -> None:
    place.lose(lost)
    login = place.register()
    assert place.ran() == 3
    assert place.facts() == BEGUN
    assert len(place.tasks.queued) == 1
    assert place.works(login)


def test_an_account_that_was_there_is_nobody_s_to_take(place: Place) -> None:
    place.register()
    place.lose(DOING)
    with pytest.raises(EmailTakenError):
        place.register()
    assert place.facts() == BEGUN


@pytest.mark.parametrize("lost", [COUNTING, DOING])
def test_with_verified_addresses_one_mail_goes_out(place: Place, lost: int) -> None:
    place.lose(lost)
    assert place.register(verified_only=True) is None
    new = {"login": 0, "token": 0, "noted registered": 1, "mail verification": 1}
    assert place.facts() == new
    place.lose(lost)
    assert place.register(verified_only=True) is None
    assert place.facts() == new | {"noted registered_again": 1, "mail already_registered": 1}
    assert len(place.tasks.queued) == 2


@pytest.mark.parametrize("passes", [1, 2], ids=["a hash of today", "an outdated one"])
@pytest.mark.parametrize("lost", [COUNTING, DOING])
def test_a_login_begins_once(place: Place, lost: int, passes: int) -> None:
    place.register()
    place.lose(lost)
    login = place.log_in(passes=passes)
    assert place.ran() == 3
    assert place.facts() == AGAIN
    assert place.works(login)


@pytest.mark.parametrize("passes", [1, 2], ids=["a hash of today", "an outdated one"])
def test_who_is_not_verified_hears_it(place: Place, passes: int) -> None:
    place.register(verified_only=True)
    place.lose(DOING)
    with pytest.raises(EmailNotVerifiedError):
        place.log_in(passes=passes, verified_only=True)
    assert place.facts()["login"] == 0


# -- while the first of the two goes on -------------------------------------------------------------------


class Doubled:
    """Runs each statement twice at once, as it happens to one that goes on without its connection."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, sql: str, **parameters: object) -> dict[str, Any] | None:
        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(self._database.read, sql, **parameters) for _ in range(2)]
        first, second = (one.result() for one in both)
        assert first == second
        return second


def is_held_up(
    place: Place, act: Callable[[], Login | None], hold: Callable[[Connection], object]
) -> Login | None:
    """What comes of a call, both of whose runs wait for what `hold` holds until it is given up."""
    waiting = """
        SELECT count(*) AS many FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
    """
    with ThreadPoolExecutor(1) as pool:
        try:
            with place.database.transaction() as tx:
                hold(tx)
                done = pool.submit(act)
                wait_for(lambda: place.database.read(waiting) == {"many": 2})
                raise GivenUpError
        except GivenUpError:
            return done.result(timeout=20)


def test_a_login_begins_once_of_two_at_once(place: Place) -> None:
    place.register()
    place.reads = Doubled(place.database)
    login = is_held_up(place, place.log_in, lambda tx: store.lock_user(tx, place.email))
    assert place.facts() == AGAIN
    assert place.works(login)


def test_an_account_is_made_once_of_two_at_once(place: Place) -> None:
    """Somebody who gave up had the address for a moment."""

    def have_it(tx: Connection) -> None:
        store.add_user(tx, email=place.email, name=None, password_hash="$argon2id$not-for-long")

    place.reads = Doubled(place.database)
    login = is_held_up(place, place.register, have_it)
    assert place.facts() == BEGUN
    assert place.works(login)


def test_with_verified_addresses_one_mail_goes_out_of_two_at_once(place: Place) -> None:
    place.register()
    place.reads = Doubled(place.database)
    is_held_up(place, lambda: place.register(verified_only=True), lambda tx: store.lock_user(tx, place.email))
    assert place.facts() == BEGUN | {"noted registered_again": 1, "mail already_registered": 1}
