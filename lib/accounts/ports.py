"""What accounts need from outside."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from lib.web.ports import Tokens

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = [
    "Closures",
    "Hasher",
    "Letter",
    "Mail",
    "MailDelayedError",
    "MailError",
    "MailInDoubtError",
    "MailRefusedError",
    "Membership",
    "Templates",
    "Tokens",
    "Words",
]


class Hasher(Protocol):
    """Password hashing: slow on purpose, bounded in how much of it runs at once."""

    def hash(self, password: str) -> str:
        """An argon2id hash in its standard text form. Raises UnavailableError when too many run."""
        ...

    def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether they fit. None takes as long as a real one and never fits."""
        ...

    def is_outdated(self, password_hash: str) -> bool:
        """Whether it was made with weaker parameters than today's."""
        ...


class Membership(Protocol):
    """What an account pays for, as billing tells it."""

    def of(
        self, tx: "Connection", user_id: uuid.UUID, role: str
    ) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """`subscription` (or None) and `entitlement` as the contract writes them."""
        ...

    def films(self, tx: "Connection", user_id: uuid.UUID) -> list[dict[str, Any]]:
        """Films that were paid for by themselves and can be watched, each as `account` answers it."""
        ...


class Closures(Protocol):
    """What an account leaves to be ended elsewhere when it is deleted."""

    def note(self, tx: "Connection", user_id: uuid.UUID) -> None:
        """Within the deletion, before the account goes: keeps what has to be ended after it."""
        ...

    def hand_on(self, user_id: uuid.UUID) -> None:
        """After the deletion's commit: sees that it is ended soon. Whatever fails here is made up for later."""
        ...


@dataclass(frozen=True, slots=True)
class Words:
    """What a mail says, in both forms."""

    subject: str
    text: str
    html: str


class Templates(Protocol):
    """What each kind of mail says."""

    def write(self, kind: str, facts: Mapping[str, str | None], link: str | None) -> Words:
        """The words of a mail of this kind, in which no fact of a stranger's choice can do harm."""
        ...


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail, ready to leave. Two with one id are one and the same to whoever looks."""

    id: uuid.UUID
    to: str
    words: Words


class MailError(Exception):
    """A mail that is not known to have been taken. `code` is a word or an SMTP status, never the server's text."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class MailDelayedError(MailError):
    """It was not taken, and may be tried again."""


class MailRefusedError(MailError):
    """It was not taken, and never will be."""


class MailInDoubtError(MailError):
    """It was handed over, and nobody said whether it was taken."""


class Mail(Protocol):
    """The way out for mails."""

    def send(self, letter: Letter) -> None:
        """Returns once the mail server has taken it.

        Raises:
            MailDelayedError, MailRefusedError, MailInDoubtError
        """
        ...
