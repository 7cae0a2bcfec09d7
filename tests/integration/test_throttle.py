"""How often somebody may try from one address. In this process: over HTTP all tests come from one."""

import hashlib
import threading
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import func, insert, select

from lib.accounts.addresses import network
from lib.accounts.limits import ATTEMPTS_PER_ACCOUNT, ATTEMPTS_PER_ADDRESS, REGISTRATIONS_PER_ADDRESS
from lib.accounts.logging_in import Logins
from lib.accounts.login import Login
from lib.accounts.outbox import Outbox
from lib.accounts.refreshing import Refreshing
from lib.accounts.registering import Registrations
from lib.accounts.store import StoredSessions
from lib.adapters.argon2_hasher import Argon2Hasher
from lib.adapters.jwt_tokens import JwtTokens
from lib.config import Environment
from lib.database.engine import Database
from lib.database.schema import attempts, audit_log
from lib.errors import InvalidCredentialsError, Refusal, TooManyAttemptsError, TooManyRequestsError
from lib.web.limits import WINDOW
from lib.web.ports import SystemClock
from tests.factories import PASSWORD
from tests.fakes.tasks import FakeTasks


class People:
    """Strangers who register and log in from wherever they like."""

    def __init__(self, database: Database, environment: dict[str, str], *, in_cloud: bool = True) -> None:
        self.database = database
        env = Environment(environment)
        hasher = Argon2Hasher(2, memory_kib=64, passes=1)
        settings = replace(env.accounts(), count_loopback=in_cloud)
        services = (database, hasher, JwtTokens(env.tokens()), SystemClock(), settings)
        self._registrations, self._logins = Registrations(*services, FakeTasks()), Logins(*services)

    def register(self, address: str) -> uuid.UUID:
        email = f"{uuid.uuid4().hex}@example.com"
        login = self._registrations.register(email=email, password=PASSWORD, name=None, address=address)
        assert login is not None
        return login.user.id

    def fail(self, address: str, email: str) -> None:
        """A login with the wrong password, or of nobody."""
        with pytest.raises(InvalidCredentialsError):
            self.log_in(address, email)

    def log_in(self, address: str, email: str) -> None:
        self._logins.login(email=email, password="not the right one", device_name=None, address=address)

    def tried(self, key: str, times: int) -> None:
        """So many attempts are counted under the key."""
        with self.database.transaction() as tx:
            tx.execute(insert(attempts).values(key=key, count=times, window_ends_at=func.now() + WINDOW))

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
    assert 0 < int(raised.value.headers["Retry-After"]) <= WINDOW.total_seconds() + 1


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


def test_a_success_takes_its_own_attempt_back_and_no_other(siege: "Siege") -> None:
    """Else a household that logs in often would lock itself out, or a guesser clear the count with an own account."""
    siege.registrations.register(email=siege.email, password=PASSWORD, name=None, address=siege.home)
    here = "address:" + network(siege.home)
    with pytest.raises(InvalidCredentialsError):
        siege.log_in(siege.home, "not the right one")
    for _ in range(3):
        siege.log_in(siege.home)
    with siege.database.transaction() as tx:
        assert tx.scalar(select(attempts.c.count).where(attempts.c.key == here)) == 1
        account = attempts.c.key.contains(hashlib.sha256(siege.email.encode()).hexdigest())
        assert tx.scalar(select(func.count()).select_from(attempts).where(account)) == 0


def test_the_audit_log_says_from_where(people: People, prefix: str) -> None:
    user_id = people.register(f"{prefix}::1")
    with people.database.transaction() as tx:
        (line,) = tx.execute(select(audit_log).where(audit_log.c.user_id == user_id)).all()
    assert (line.kind, line.address) == ("registered", f"{prefix}::1")
    assert prefix not in str(line.detail), "where it cannot be forgotten"


# -- many against one -------------------------------------------------------------------------------------


class CountingHasher(Argon2Hasher):
    """Argon2, cheap, that knows how often it was asked to verify."""

    def __init__(self) -> None:
        super().__init__(8, memory_kib=64, passes=1)
        self._lock = threading.Lock()
        self.verified = 0

    def verify(self, password_hash: str | None, password: str) -> bool:
        with self._lock:
            self.verified += 1
        return super().verify(password_hash, password)


class Siege:
    """Fifty addresses that try a thousand passwords on one account."""

    def __init__(self, database: Database, environment: dict[str, str]) -> None:
        env = Environment(environment)
        self.database = database
        self.hasher = CountingHasher()
        self.tokens = JwtTokens(env.tokens())
        settings = replace(env.accounts(), count_loopback=True)
        services = (database, self.hasher, self.tokens, SystemClock(), settings)
        self.registrations, self.logins = Registrations(*services, FakeTasks()), Logins(*services)
        self.refreshing = Refreshing(database, self.tokens, SystemClock(), settings, Outbox(None))
        self.email = f"{uuid.uuid4().hex}@example.com"
        one = uuid.uuid4().hex
        self.addresses = [f"2001:db8:{one[:4]}:{number:x}::1" for number in range(1, 51)]
        self.home = f"2001:db8:{one[4:8]}:ffff::1"

    def attempt(self, number: int) -> type[Refusal] | None:
        """One wrong password, from the addresses in turn; how it was refused."""
        try:
            self.log_in(self.addresses[number % 50], f"guess number {number}")
        except Refusal as refusal:
            return type(refusal)
        return None

    def run(self) -> Counter[type[Refusal] | None]:
        with ThreadPoolExecutor(4) as pool:
            return Counter(pool.map(self.attempt, range(1000)))

    def log_in(self, address: str, password: str = PASSWORD) -> Login:
        return self.logins.login(email=self.email, password=password, device_name=None, address=address)


@pytest.fixture
def siege(database: Database, environment: dict[str, str]) -> Siege:
    return Siege(database, environment)


@pytest.mark.parametrize("known", [True, False], ids=["an account", "an email of nobody"])
def test_of_a_thousand_wrong_passwords_ten_are_hashed(siege: Siege, known: bool) -> None:
    if known:
        siege.registrations.register(email=siege.email, password=PASSWORD, name=None, address=siege.home)
    found = siege.run()
    assert found == {InvalidCredentialsError: ATTEMPTS_PER_ACCOUNT, TooManyAttemptsError: 990}
    assert siege.hasher.verified == ATTEMPTS_PER_ACCOUNT


def test_the_owner_gets_in_at_home_meanwhile_and_stays_in(siege: Siege) -> None:
    login = siege.registrations.register(email=siege.email, password=PASSWORD, name=None, address=siege.home)
    assert login is not None
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(siege.attempt, range(100)))
    # Elsewhere even the right password waits, for a quarter of an hour.
    with pytest.raises(TooManyAttemptsError):
        siege.log_in(siege.addresses[0])
    # What is open stays open.
    renewed = siege.refreshing.refresh(login.refresh_token, address=siege.home)
    assert StoredSessions(siege.database).caller(siege.tokens.verify(renewed.access_token))
    # At home, the same household's network in IPv6, it opens; and that makes the account's count begin anew.
    siege.log_in(siege.home.replace("::1", "::abcd"))
    assert siege.attempt(0) is InvalidCredentialsError


def test_at_home_too_nobody_guesses_for_long(siege: Siege) -> None:
    siege.registrations.register(email=siege.email, password=PASSWORD, name=None, address=siege.home)
    for _ in range(ATTEMPTS_PER_ACCOUNT):
        with pytest.raises(InvalidCredentialsError):
            siege.log_in(siege.home, "not the right one")
    with pytest.raises(TooManyAttemptsError):
        siege.log_in(siege.home)
    assert siege.hasher.verified == ATTEMPTS_PER_ACCOUNT


def test_a_failure_makes_no_place_a_home(siege: Siege) -> None:
    siege.registrations.register(email=siege.email, password=PASSWORD, name=None, address=siege.home)
    stranger = siege.addresses[0]
    for _ in range(ATTEMPTS_PER_ACCOUNT):
        with pytest.raises(InvalidCredentialsError):
            siege.log_in(stranger, "not the right one")
    for address in (stranger, siege.addresses[1]):
        with pytest.raises(TooManyAttemptsError):
            siege.log_in(address)
    assert siege.hasher.verified == ATTEMPTS_PER_ACCOUNT
