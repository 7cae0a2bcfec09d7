"""argon2id by argon2-cffi, bounded in how many hashes run at once."""

import base64
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from lib.errors import UnavailableError

# OWASP's minimum for argon2id: 19 MiB, two passes, one lane; 25-30 ms on a cloud CPU.
_MEMORY_KIB, _PASSES, _LANES = 19 * 1024, 2, 1
WAIT_SECONDS = 3.0


def _base64(value: bytes) -> str:
    """As argon2 writes it: without padding."""
    return base64.b64encode(value).decode().rstrip("=")


class Argon2Hasher:
    """Hashes passwords.

    Args:
        slots: hashes at once in this process; each holds 19 MiB. Who waits longer than three seconds for
            a slot is sent away: memory is bounded, and so is the queue.
    """

    def __init__(self, slots: int, *, memory_kib: int = _MEMORY_KIB, passes: int = _PASSES) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=_LANES)
        self._slots = threading.BoundedSemaphore(slots)
        # Each thread that hashes keeps the memory of its last hash. The server's own threads would take turns: an eighth
        # longer, since what the memory held is in no cache by then, and 19 MiB for each of them. They start with the
        # first hash.
        self._threads = ThreadPoolExecutor(slots, "argon2")
        # What unknown accounts are verified against: as dear as any with today's parameters, and the hash of nothing
        # that anybody knows. Not hashed, since every start of login and register would wait for it.
        salt, digest = (_base64(os.urandom(size)) for size in (self._hasher.salt_len, self._hasher.hash_len))
        self._nobody = f"$argon2id$v=19$m={memory_kib},t={passes},p={_LANES}${salt}${digest}"

    def hash(self, password: str) -> str:
        with self._slot():
            return self._threads.submit(self._hasher.hash, password).result()

    def verify(self, password_hash: str | None, password: str) -> bool:
        with self._slot():
            try:
                verified = self._threads.submit(self._hasher.verify, password_hash or self._nobody, password)
                fits = verified.result()
            except (VerificationError, InvalidHashError):
                return False
        return fits and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        return self._hasher.check_needs_rehash(password_hash)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(timeout=WAIT_SECONDS):
            raise UnavailableError("Too many logins at once", retry_after=2)
        try:
            yield
        finally:
            self._slots.release()
