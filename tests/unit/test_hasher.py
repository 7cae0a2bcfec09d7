"""Password hashing with the real argon2."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from lib.adapters.argon2_hasher import Argon2Hasher
from lib.errors import UnavailableError

PASSWORD = "a long walk by the sea"


@pytest.fixture(scope="module")
def hasher() -> Argon2Hasher:
    return Argon2Hasher(2)


def test_parameters_are_owasp_s(hasher: Argon2Hasher) -> None:
    assert hasher.hash(PASSWORD).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_fits_its_own_password_only(hasher: Argon2Hasher) -> None:
    found = hasher.hash(PASSWORD)
    assert hasher.verify(found, PASSWORD)
    assert not hasher.verify(found, PASSWORD + " ")
    assert not hasher.verify(found, "")


def test_the_same_password_twice_looks_different(hasher: Argon2Hasher) -> None:
    assert hasher.hash(PASSWORD) != hasher.hash(PASSWORD)


@pytest.mark.parametrize("kept", ["", "plain text", "$argon2id$v=19$broken", "$2b$12$abcdefghijklmnopqrstuv"])
def test_what_is_no_hash_fits_nothing(hasher: Argon2Hasher, kept: str) -> None:
    assert not hasher.verify(kept, PASSWORD)


def test_nobody_has_a_password(hasher: Argon2Hasher) -> None:
    """An unknown account is verified all the same, against a hash that is as dear, and never fits."""
    assert not hasher.verify(None, PASSWORD)
    real = hasher.hash(PASSWORD)
    assert not hasher.is_outdated(hasher._nobody)
    assert [len(part) for part in hasher._nobody.split("$")] == [len(part) for part in real.split("$")]
    with pytest.raises(VerifyMismatchError):  # and not InvalidHashError, which would cost nothing
        hasher._hasher.verify(hasher._nobody, PASSWORD)


@pytest.mark.parametrize(
    ("memory", "passes", "outdated"), [(8192, 2, True), (19456, 1, True), (19456, 2, False)]
)
def test_weaker_hashes_are_outdated(
    hasher: Argon2Hasher, memory: int, passes: int, *, outdated: bool
) -> None:
    kept = PasswordHasher(time_cost=passes, memory_cost=memory, parallelism=1).hash(PASSWORD)
    assert hasher.verify(kept, PASSWORD)
    assert hasher.is_outdated(kept) is outdated


def test_unusual_passwords(hasher: Argon2Hasher) -> None:
    for password in ("\x00\x00", "été 🎬", "x" * 1024):
        assert hasher.verify(hasher.hash(password), password)


def test_whoever_asks_it_is_hashed_on_as_many_threads_as_there_are_slots() -> None:
    """Each thread that hashed keeps 19 MiB: many of the server's would keep many."""

    def hashing() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name.startswith("argon2")}

    cheap, others = Argon2Hasher(2, memory_kib=64, passes=1), hashing()
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(cheap.verify, pool.map(cheap.hash, [PASSWORD] * 50), [PASSWORD] * 50))
    assert 0 < len(hashing() - others) <= 2


def test_who_finds_no_slot_is_sent_away() -> None:
    """Two hashes that take long hold both slots; the third gives up waiting, and later all is well."""
    busy = Argon2Hasher(2, memory_kib=19 * 1024, passes=2)
    taken, leave = threading.Barrier(3), threading.Event()

    def hold() -> None:
        with busy._slot():
            taken.wait(10)
            leave.wait(30)

    with ThreadPoolExecutor(3) as pool:
        holders = [pool.submit(hold) for _ in range(2)]
        taken.wait(10)
        try:
            with pytest.raises(UnavailableError) as raised:
                busy.verify(None, PASSWORD)
        finally:
            leave.set()
        assert raised.value.headers == {"Retry-After": "2"}
        for holder in holders:
            holder.result(10)
    assert busy.verify(busy.hash(PASSWORD), PASSWORD)


def test_a_failure_gives_its_slot_back() -> None:
    one = Argon2Hasher(1)
    for _ in range(3):
        assert not one.verify("$argon2id$v=19$broken", PASSWORD)
    assert one.hash(PASSWORD)
