"""What accounts need from outside."""

import uuid
from typing import Any, Protocol

from sqlalchemy import Connection

from lib.web.ports import Tokens

__all__ = ["Closures", "Hasher", "Membership", "Tokens"]


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
        self, tx: Connection, user_id: uuid.UUID, role: str
    ) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """`subscription` (or None) and `entitlement` as the contract writes them."""
        ...


class Closures(Protocol):
    """What an account leaves to be ended elsewhere when it is deleted."""

    def note(self, tx: Connection, user_id: uuid.UUID) -> None:
        """Within the deletion, before the account goes: keeps what has to be ended after it."""
        ...

    def hand_on(self, user_id: uuid.UUID) -> None:
        """After the deletion's commit: sees that it is ended soon. Whatever fails here is made up for later."""
        ...
