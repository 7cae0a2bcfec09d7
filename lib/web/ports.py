"""What endpoints and services need from outside, as roles."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid access token says: whose it is and which login it came from."""

    user_id: uuid.UUID
    session_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class Caller:
    """Someone whose login is alive in the database."""

    user_id: uuid.UUID
    session_id: uuid.UUID
    role: str


class Tokens(Protocol):
    """Access tokens."""

    def issue(self, claims: Claims, *, now: datetime) -> tuple[str, int]:
        """A signed token and the seconds it lives."""
        ...

    def verify(self, token: str) -> Claims:
        """Raises InvalidTokenError whatever is wrong with it."""
        ...


class TokenVerifier(Protocol):
    """The half of `Tokens` that most functions need."""

    def verify(self, token: str) -> Claims:
        """Raises InvalidTokenError whatever is wrong with it."""
        ...


class Sessions(Protocol):
    """Tells whether a login is still alive."""

    def caller(self, claims: Claims) -> Caller:
        """Raises InvalidTokenError when it ended, UnavailableError when that cannot be asked."""
        ...


class ServiceCallers(Protocol):
    """Machines that call with an OIDC token."""

    def check(self, token: str) -> str:
        """The caller's email.

        Raises:
            InvalidTokenError: not a token of the issuer for this function.
            ForbiddenError: a good token of somebody who may not call.
        """
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work for process-task.

    `name` makes it unique: the same name twice is the same task (Cloud Tasks remembers for hours).
    """

    name: str
    kind: str
    body: Mapping[str, str]


class Tasks(Protocol):
    """A queue that calls process-task until it succeeds."""

    def enqueue(self, task: Task) -> None:
        """Returns when the task is safe with the queue, or was there already.

        Raises:
            UnavailableError: the queue could not be reached.
        """
        ...


class Clock(Protocol):
    def now(self) -> datetime:
        """The time, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)
