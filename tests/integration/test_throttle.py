"""How often somebody may try from one address. In this process: over HTTP all tests come from one."""

import hashlib
import uuid
from dataclasses import replace

import pytest
from sqlalchemy import func, insert, select

from lib.accounts.service import (
    ATTEMPT_WINDOW,
    ATTEMPTS_PER_ADDRESS,
    REGISTRATIONS_PER_ADDRESS,
    Accounts,
)
from lib.adapters.argon2_hasher import Argon2Hasher
from lib.adapters.jwt_tokens import JwtTokens
from lib.config import Environment
from lib.database.engine import Database
from lib.database.schema import attempts, audit_log
from lib.errors import InvalidCredentialsError, TooManyAttemptsError, TooManyRequestsError
from lib.web.ports import SystemClock
from tests.factories import PASSWORD


class People:
    """Strangers who register and log in from wherever they like."""

    def __init__(self, database: Database, environment: dict[str, str], *, in_cloud: bool = True) -> None:
        self.database = database
        env = Environment(environment)
        hasher = Argon2Hasher(2, memory_kib=64, passes=1)
        settings = replace(env.accounts(), count_loopback=in_cloud)
        self._accounts = Accounts(database, hasher, JwtTokens(env.tokens()), SystemClock(), settings)

    def register(self, address: str) -> uuid.UUID:
        email = f"{uuid.uuid4().hex}@example.com"
        login = self._accounts.register(email=email, password=PASSWORD, name=None, address=address)
        found: uuid.UUID = login.user.id
        return found

    def fail(self, address: str, email: str) -> None:
        """A login with the wrong password, or of nobody."""
        with pytest.raises(InvalidCredentialsError):
            self.log_in(address, email)

    def log_in(self, address: str, email: str) -> None:
        self._accounts.login(email=email, password="not the right one", device_name=None, address=address)

    def tried(self, key: str, times: int) -> None:
        """So many attempts are counted under the key."""
        with self.database.transaction() as tx:
            tx.execute(
                insert(attempts).values(key=key, count=times, window_ends_at=func.now() + ATTEMPT_WINDOW)
            )

    def count(self, key: str) -> int | None:
        with self.database.transaction() as tx:
            return tx.scalar(select(attempts.c.count).where(attempts.c.key == key))


@pytest.fixture
def people(database: Database, environment: dict[str, str]) -> People:
    return People(database, environment)


@pytest.fixture
def prefix() -> str:
    """An IPv6 network that no other test comes from."""
    one = uuid.uuid4().hex
    return f"2001:db8:1{one[:3]}:1{one[3:6]}"


def test_many_accounts_from_one_network(people: People, prefix: str) -> None:
    key = f"register:{prefix}::/64"
    people.register(f"{prefix}::1")
    assert people.count(key) == 1
    with people.database.transaction() as tx:
        tx.execute(attempts.update().where(attempts.c.key == key).values(count=REGISTRATIONS_PER_ADDRESS - 1))
    people.register(f"{prefix}::2")
    with pytest.raises(TooManyRequestsError) as raised:
        people.register(f"{prefix}:ffff:ffff:ffff:ffff")
    assert 0 < int(raised.value.headers["Retry-After"]) <= ATTEMPT_WINDOW.total_seconds() + 1


def test_accounts_that_cannot_be_made_count_too(people: People, prefix: str) -> None:
    people.tried(f"register:{prefix}::/64", REGISTRATIONS_PER_ADDRESS)
    for _ in range(2):
        with pytest.raises(TooManyRequestsError):
            people.register(f"{prefix}::1")
    assert people.count(f"register:{prefix}::/64") == REGISTRATIONS_PER_ADDRESS + 2


def test_who_sits_at_the_machine_is_not_counted(database: Database, environment: dict[str, str]) -> None:
    """In the cloud nobody does."""
    loopback = f"127.{uuid.uuid4().bytes[0]}.{uuid.uuid4().bytes[1]}.7"
    key = f"register:{loopback}"
    People(database, environment, in_cloud=False).register(loopback)
    assert People(database, environment).count(key) is None
    People(database, environment, in_cloud=True).register(loopback)
    assert People(database, environment).count(key) == 1


def test_a_blocked_address_writes_nothing_more(people: People, prefix: str) -> None:
    email = f"{uuid.uuid4().hex}@example.com"
    people.tried(f"address:{prefix}::/64", ATTEMPTS_PER_ADDRESS)
    with pytest.raises(TooManyAttemptsError):
        people.log_in(f"{prefix}::1", email)
    assert people.count("account:" + hashlib.sha256(email.encode()).hexdigest()) is None


def test_logins_from_one_network_are_one_address_s(people: People, prefix: str) -> None:
    for host in ("1", "2:3", "ffff"):
        people.fail(f"{prefix}::{host}", f"{uuid.uuid4().hex}@example.com")
    assert people.count(f"address:{prefix}::/64") == 3


def test_the_audit_log_holds_no_address(people: People, prefix: str) -> None:
    """It cannot be erased from there; sessions have it."""
    user_id = people.register(f"{prefix}::1")
    with people.database.transaction() as tx:
        details = tx.scalars(select(audit_log.c.detail).where(audit_log.c.user_id == user_id)).all()
    assert details
    assert prefix not in str(details)
