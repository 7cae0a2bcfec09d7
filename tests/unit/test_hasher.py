"""Password hashing with the real argon2."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from argon2.low_level import Type, ffi, hash_secret

from infra.service.app import ROOT
from lib.adapters import argon2_hasher
from lib.adapters.argon2_hasher import Argon2Hasher
from lib.errors import UnavailableError

PASSWORD = "a long walk by the sea"
# Memory comes in pieces of this size, and cheap hashes need less.
PAGE = 2 * 1024 * 1024


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


@pytest.mark.parametrize(
    "kept",
    [
        "",
        "plain text",
        "$argon2id$v=19$broken",
        "$2b$12$abcdefghijklmnopqrstuv",
        "$argon2id$v=19$m=0,t=2,p=1$c29tZXRoaW5nc2FsdHk$AAAA",
        "$argon2id$v=19$m=64,t=0,p=1$c29tZXRoaW5nc2FsdHk$AAAA",
        "$argon2id$v=19$m=-64,t=1,p=1$c29tZXRoaW5nc2FsdHk$AAAA",
        "$argon2id$v=19$m=64,t=2,p=1$c29tZ$AAAA",
        "$argon2id$v=19$m=64,t=2,p=1$c29tZXRoaW5nc2FsdHk$",
        "$argon2id$v=19$m=64,t=2,p=1$$AAAA",
        "$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXRoaW5nc2FsdHk$AAAA",
        "$argon2id$v=19$m=4294967296,t=2,p=1$c29tZXRoaW5nc2FsdHk$AAAA",
        f"$argon2id$v=19$m=19456,t=2,p=1${'!' * 22}${'A' * 43}",
        f"$argon2id$v=19$m=19456,t=2,p=1${'é' * 22}${'A' * 43}",
        "$argon2id$v=19$m=64,t=2,p=1$c29tZXRoaW5nc2FsdHk$!!!!",
    ],
)
def test_what_is_no_hash_fits_nothing(hasher: Argon2Hasher, kept: str) -> None:
    assert not hasher.verify(kept, PASSWORD)


def test_nobody_has_a_password(hasher: Argon2Hasher) -> None:
    """An unknown account is verified all the same, against a hash that is as dear, and never fits."""
    assert not hasher.verify(None, PASSWORD)
    real = hasher.hash(PASSWORD)
    assert not hasher.is_outdated(hasher._nobody)
    assert [len(part) for part in hasher._nobody.split("$")] == [len(part) for part in real.split("$")]
    with pytest.raises(VerifyMismatchError):  # and not InvalidHashError, which would cost nothing
        PasswordHasher().verify(hasher._nobody, PASSWORD)


@pytest.mark.parametrize(
    ("memory", "passes", "outdated"), [(8192, 2, True), (19456, 1, True), (19456, 2, False)]
)
def test_weaker_hashes_are_outdated(
    hasher: Argon2Hasher, memory: int, passes: int, *, outdated: bool
) -> None:
    kept = PasswordHasher(time_cost=passes, memory_cost=memory, parallelism=1).hash(PASSWORD)
    assert hasher.verify(kept, PASSWORD)
    assert hasher.is_outdated(kept) is outdated


@pytest.mark.parametrize("kind", list(Type))
@pytest.mark.parametrize(
    ("memory", "passes", "lanes"), [(64, 1, 1), (8192, 3, 4), (19456, 2, 1), (32768, 1, 2)]
)
def test_the_library_s_hashes_are_verified(
    hasher: Argon2Hasher, kind: Type, memory: int, passes: int, lanes: int
) -> None:
    """Of any parameters and kind, and without a version, as the first ones were."""
    kept = PasswordHasher(time_cost=passes, memory_cost=memory, parallelism=lanes, type=kind).hash(PASSWORD)
    assert hasher.verify(kept, PASSWORD)
    assert not hasher.verify(kept, PASSWORD.upper())
    first = hash_secret(PASSWORD.encode(), b"something salty!", passes, memory, lanes, 32, kind, version=16)
    assert hasher.verify(first.decode(), PASSWORD)
    assert hasher.verify(first.decode().replace("$v=16", ""), PASSWORD)


def test_the_library_verifies_its_hashes(hasher: Argon2Hasher) -> None:
    for password in (PASSWORD, "", "\x00", "été 🎬", "x" * 1024):
        assert PasswordHasher().verify(hasher.hash(password), password)
    with pytest.raises(VerifyMismatchError):
        PasswordHasher().verify(hasher.hash(PASSWORD), PASSWORD.upper())


def test_hashes_of_a_thread_share_its_memory_which_is_wiped_each_time() -> None:
    one = Argon2Hasher(1, memory_kib=64, passes=1)

    def memory() -> Any:
        return one._threads.submit(lambda: argon2_hasher._kept.memory).result()

    found = one.hash(PASSWORD)
    first = memory()
    assert len(first) == PAGE
    used = 64 * 1024
    first[0:used] = b"\xff" * used  # so that it shows whether it is used
    assert one.verify(found, PASSWORD)
    assert memory() is first
    assert bytes(ffi.buffer(first)[0:used]) == bytes(used)
    # One of other days takes what it needs for itself.
    dearer = PasswordHasher(time_cost=1, memory_cost=4096, parallelism=1).hash(PASSWORD)
    assert one.verify(dearer, PASSWORD)
    assert memory() is first


def test_argon2_is_lent_no_more_than_there_is() -> None:
    one = Argon2Hasher(1, memory_kib=64, passes=1)
    one.hash(PASSWORD)

    def lent(size: int) -> bool:
        address = ffi.new("uint8_t **")
        assert argon2_hasher._lend(address, size) == 0
        return bool(address[0])

    found = [one._threads.submit(lent, size).result() for size in (PAGE, PAGE + 1)]
    assert found == [True, False]


def test_without_memory_nobody_is_told_that_their_password_is_wrong() -> None:
    """An address space that has no room: 503 for who logs in, and all is well once there is."""
    code = """
import resource
from lib.adapters.argon2_hasher import Argon2Hasher
from lib.errors import UnavailableError
cheap, dear = Argon2Hasher(1, memory_kib=64, passes=1), Argon2Hasher(1, memory_kib=2**20, passes=1)
kept = cheap.hash("a long walk")
most = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (2**29, most[1]))
for ask in (lambda: dear.hash("a long walk"), lambda: dear.verify(None, "a long walk")):
    try:
        print(ask())
    except UnavailableError as error:
        print(error.headers["Retry-After"], cheap.verify(kept, "a long walk"))
"""
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == "2 True\n2 True\n"


def test_hashes_where_no_code_may_be_made_at_run_time() -> None:
    """Linux refuses this process pages that may be written and executed, as hardened systems do.

    Since 6.3 (PR_SET_MDWE); older ones and other systems refuse nothing, and memory is lent.
    """
    code = """
import ctypes
prctl = getattr(ctypes.CDLL(None), "prctl", None)
refused = prctl is not None and prctl(65, 1, 0, 0, 0) == 0
from lib.adapters import argon2_hasher
lent = argon2_hasher._ALLOCATE != argon2_hasher.ffi.NULL
hasher = argon2_hasher.Argon2Hasher(1)
print(hasher.verify(hasher.hash("a long walk"), "a long walk"), lent is not refused)
"""
    hashed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert hashed.stdout == "True True\n"


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


def test_who_comes_to_no_slot_is_sent_away() -> None:
    """The slot is busy for long: who waits gives up, is not hashed later either, and later all is well."""
    busy = Argon2Hasher(1, memory_kib=64, passes=1)
    taken, leave = threading.Event(), threading.Event()

    def hold() -> None:
        taken.set()
        leave.wait(30)

    def wiped() -> bool:
        """Whether argon2 has used its memory since it was filled."""
        used = bytes(ffi.buffer(argon2_hasher._kept.memory)[0 : 64 * 1024]) == bytes(64 * 1024)
        argon2_hasher._kept.memory[0 : 64 * 1024] = b"\xff" * 64 * 1024
        return used

    kept = busy.hash(PASSWORD)
    assert busy._threads.submit(wiped).result()
    holder = busy._threads.submit(hold)
    taken.wait(10)
    try:
        with pytest.raises(UnavailableError) as raised:
            busy.verify(kept, PASSWORD)
    finally:
        leave.set()
    assert raised.value.headers == {"Retry-After": "2"}
    holder.result(10)
    assert not busy._threads.submit(wiped).result()
    assert busy.verify(kept, PASSWORD)
    assert busy._threads.submit(wiped).result()


def test_whose_hash_has_begun_is_waited_for() -> None:
    """A hash that takes longer than anybody waits for a slot is not given up."""
    slow = Argon2Hasher(1, memory_kib=64, passes=1)

    def hash_for_long() -> str:
        threading.Event().wait(argon2_hasher.WAIT_SECONDS + 0.5)
        return "done"

    assert slow._result(slow._threads.submit(hash_for_long)) == "done"


def test_first_come_first_served() -> None:
    """Eight who ask again as soon as they have their answer share one slot; none is passed by.

    Exactly so, each would have had 39 when the first has 40; threads are late now and then.
    """
    one, rounds = Argon2Hasher(1, memory_kib=2048, passes=1), 40
    had, together = [0] * 8, threading.Barrier(8)
    seen: list[int] = []

    def ask(number: int) -> None:
        together.wait(10)
        for _ in range(rounds):
            one.hash(PASSWORD)
            had[number] += 1
        seen.append(min(had))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    assert seen[0] > rounds / 4, "of who had least when the first was done"


def test_a_failure_gives_its_slot_back() -> None:
    one = Argon2Hasher(1)
    for _ in range(3):
        assert not one.verify("$argon2id$v=19$broken", PASSWORD)
    assert one.hash(PASSWORD)
