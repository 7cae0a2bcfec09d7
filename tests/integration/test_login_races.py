"""A login that is being verified while the account changes: it begins with what holds now, or not at all."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from lib.accounts import store
from lib.accounts.logging_in import Logins
from lib.accounts.registering import Registrations
from lib.adapters.argon2_hasher import Argon2Hasher
from lib.adapters.jwt_tokens import JwtTokens
from lib.config import Environment
from lib.database.engine import Database
from lib.database.schema import sessions
from lib.errors import InvalidCredentialsError, UnavailableError
from lib.web.ports import SystemClock
from tests.factories import PASSWORD, wait_for
from tests.fakes.tasks import FakeTasks


class SlowHasher(Argon2Hasher):
    """Something happens between the verified password and the login it opens."""

    def __init__(self) -> None:
        super().__init__(2, memory_kib=64, passes=1)
        self.meanwhile: Callable[[], None] = lambda: None

    def verify(self, password_hash: str | None, password: str) -> bool:
        fits = super().verify(password_hash, password)
        self.meanwhile()
        return fits


class Race:
    def __init__(self, database: Database, environment: dict[str, str]) -> None:
        env = Environment(environment)
        self.database = database
        self.hasher = SlowHasher()
        rules = replace(env.accounts(), count_loopback=False)
        services = (database, self.hasher, JwtTokens(env.tokens()), SystemClock(), rules)
        self._logins = Logins(*services)
        registrations = Registrations(*services, FakeTasks())
        self.email = f"{uuid.uuid4().hex}@example.com"
        login = registrations.register(email=self.email, password=PASSWORD, name=None, address="127.0.0.1")
        assert login is not None
        self.user_id = login.user.id

    def log_in(self) -> None:
        self._logins.login(email=self.email, password=PASSWORD, device_name=None, address="127.0.0.1")

    def waits(self) -> bool:
        """Somebody, for a lock."""
        query = "SELECT 1 AS found FROM pg_stat_activity WHERE datname = current_database() AND "
        return self.database.read(query + "wait_event_type = 'Lock'") is not None

    def logins(self) -> int:
        with self.database.transaction() as tx:
            mine = sessions.c.user_id == self.user_id
            return tx.scalar(select(func.count()).select_from(sessions).where(mine)) or 0


@pytest.fixture
def race(database_apart: Database, environment: dict[str, str]) -> Race:
    return Race(database_apart, environment)


def test_nothing_happens_meanwhile(race: Race) -> None:
    race.log_in()
    assert race.logins() == 2


def test_the_password_is_changed_meanwhile(race: Race) -> None:
    """That ended all logins; one with the old password would outlive it."""

    def change() -> None:
        with race.database.transaction() as tx:
            store.change_user(tx, race.user_id, {"password_hash": race.hasher.hash("another one")})

    race.hasher.meanwhile = change
    with pytest.raises(UnavailableError):
        race.log_in()
    assert race.logins() == 1
    race.hasher.meanwhile = lambda: None
    with pytest.raises(InvalidCredentialsError):
        race.log_in()


def test_a_link_sets_the_password_meanwhile(race: Race) -> None:
    """Both lock the account before they forgive its attempts: neither waits for the other for ever."""
    with ThreadPoolExecutor(1) as pool:
        with race.database.transaction() as tx:
            store.lock_user(tx, race.email)
            login = pool.submit(race.log_in)
            wait_for(race.waits)
            store.forgive_account(tx, race.email, "127.0.0.1")
        login.result(timeout=20)
    assert race.logins() == 2


def test_the_account_is_deleted_meanwhile(race: Race) -> None:
    def leave() -> None:
        with race.database.transaction() as tx:
            store.delete_user(tx, race.user_id)

    race.hasher.meanwhile = leave
    with pytest.raises(InvalidCredentialsError):
        race.log_in()
    assert race.logins() == 0
