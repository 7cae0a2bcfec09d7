"""argon2id by argon2-cffi, bounded in how many hashes run at once and in the memory they have."""

import base64
import hmac
import mmap
import os
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from argon2 import Parameters, PasswordHasher, extract_parameters
from argon2.exceptions import HashingError, VerificationError
from argon2.low_level import ARGON2_VERSION, Type, core, error_to_str, ffi

from lib.adapters.shared import shared
from lib.errors import UnavailableError

# OWASP's minimum for argon2id: 19 MiB, two passes, one lane; 25-30 ms on a cloud CPU.
_MEMORY_KIB, _PASSES, _LANES = 19 * 1024, 2, 1
_SALT_BYTES, _DIGEST_BYTES = 16, 32
_LARGE_PAGE = 2 * 1024 * 1024
WAIT_SECONDS = 3.0
_NO_MEMORY = "No memory for another login"
# argon2's, from its argon2.h.
_OK, _MEMORY_ALLOCATION_ERROR = 0, -22

_LIBRARY = PasswordHasher()

Found = TypeVar("Found")

# Each thread's memory for hashing, kept from one hash to the next (0024 in docs/decisions).
_kept = threading.local()


def _have(size: int) -> None:
    """Sees to it that the calling thread has so many bytes. argon2 wipes them after each hash."""
    if len(getattr(_kept, "memory", b"")) < size:
        # Whole large pages, which Linux is asked for where it has them: a hash is some percent quicker.
        whole = -(-size // _LARGE_PAGE) * _LARGE_PAGE
        pages = mmap.mmap(-1, whole, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if sys.platform == "linux":
            with suppress(OSError):
                pages.madvise(mmap.MADV_HUGEPAGE)
        _kept.memory = ffi.from_buffer("uint8_t[]", pages)


def _lend(address: Any, size: int) -> int:
    """argon2 asks for memory. Where there is too little it gets none, and says so."""
    address[0] = _kept.memory if size <= len(_kept.memory) else ffi.NULL
    return _OK


def _take_back(address: Any, size: int) -> None:
    """argon2 needs it no more; the thread keeps it."""


# Pointers to these two, for as long as the process lives.
try:
    _ALLOCATE = ffi.callback("int(uint8_t **, size_t)", _lend)
    _FREE = ffi.callback("void(uint8_t *, size_t)", _take_back)
except MemoryError:
    # A hardened system allows no code that is made at run time: argon2 asks the C library.
    _ALLOCATE = _FREE = ffi.NULL


def _digest(parameters: Parameters, password: bytes, salt: bytes) -> bytes:
    """argon2 of a password, in the calling thread's memory.

    Raises:
        UnavailableError: there is no memory for it.
    """
    if _ALLOCATE:
        try:
            _have(parameters.memory_cost * 1024)
        except OSError as error:
            raise UnavailableError(_NO_MEMORY, retry_after=2) from error
    digest = ffi.new("uint8_t[]", parameters.hash_len)
    context = ffi.new(
        "argon2_context *",
        {
            "out": digest,
            "outlen": parameters.hash_len,
            "pwd": ffi.from_buffer("uint8_t[]", password),
            "pwdlen": len(password),
            "salt": ffi.from_buffer("uint8_t[]", salt),
            "saltlen": len(salt),
            "t_cost": parameters.time_cost,
            "m_cost": parameters.memory_cost,
            "lanes": parameters.parallelism,
            "threads": parameters.parallelism,
            "version": parameters.version,
            "allocate_cbk": _ALLOCATE,
            "free_cbk": _FREE,
        },
    )
    status = core(context, parameters.type.value)
    if status == _MEMORY_ALLOCATION_ERROR:
        raise UnavailableError(_NO_MEMORY, retry_after=2)
    if status != _OK:
        raise HashingError(error_to_str(status))
    return bytes(ffi.buffer(digest))


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def _encoded(parameters: Parameters, salt: bytes, digest: bytes) -> str:
    """As argon2 writes a hash of type id down."""
    costs = f"m={parameters.memory_cost},t={parameters.time_cost},p={parameters.parallelism}"
    texts = (base64.b64encode(value).decode().rstrip("=") for value in (salt, digest))
    return "$".join(("", "argon2id", f"v={parameters.version}", costs, *texts))


def _fits(parameters: Parameters, password_hash: str, password: bytes) -> bool:
    """Whether it is this password's hash. What is no hash is nobody's."""
    try:
        if extract_parameters(password_hash) != parameters:
            # Of other days, replaced once its owner has logged in: the library's, with memory for it alone.
            return _LIBRARY.verify(password_hash, password)
        salt, digest = (_decoded(text) for text in password_hash.split("$")[-2:])
    except (VerificationError, ValueError):
        return False
    return hmac.compare_digest(_digest(parameters, password, salt), digest)


class Argon2Hasher:
    """Hashes passwords.

    Args:
        slots: hashes at once in this process; each holds 20 MiB. Who comes to none within three seconds is
            sent away: memory is bounded, and so is the queue.
    """

    def __init__(self, slots: int, *, memory_kib: int = _MEMORY_KIB, passes: int = _PASSES) -> None:
        self._parameters = Parameters(
            Type.ID, ARGON2_VERSION, _SALT_BYTES, _DIGEST_BYTES, passes, memory_kib, _LANES
        )
        # Threads of its own, since each keeps memory. The server's would take turns: an eighth longer, what the memory
        # held being in no cache by then. They start with the first hash, and who came first is served first.
        self._threads = ThreadPoolExecutor(slots, "argon2")
        # What unknown accounts are verified against: as dear as any with today's parameters, and the hash of nothing
        # that anybody knows. Not hashed, since every start of login and register would wait for it.
        self._nobody = _encoded(self._parameters, os.urandom(_SALT_BYTES), os.urandom(_DIGEST_BYTES))

    def hash(self, password: str) -> str:
        salt = os.urandom(_SALT_BYTES)
        digest = self._result(self._threads.submit(_digest, self._parameters, password.encode(), salt))
        return _encoded(self._parameters, salt, digest)

    def verify(self, password_hash: str | None, password: str) -> bool:
        kept = password_hash or self._nobody
        fits = self._result(self._threads.submit(_fits, self._parameters, kept, password.encode()))
        return fits and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        return extract_parameters(password_hash) != self._parameters

    @staticmethod
    def _result(asked: Future[Found]) -> Found:
        with suppress(TimeoutError):
            return asked.result(WAIT_SECONDS)
        if asked.cancel():
            raise UnavailableError("Too many logins at once", retry_after=2)
        return asked.result()


@shared
def password_hasher(slots: int) -> Argon2Hasher:
    """The process's hasher with so many slots, which functions that share a process share."""
    return Argon2Hasher(slots)
