"""A login as its client gets it, and how one begins."""

import hashlib
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from lib.accounts.ports import Tokens
from lib.config import AccountSettings
from lib.web.ports import Claims


@dataclass(frozen=True, slots=True)
class User:
    """What a client is told of an account."""

    id: uuid.UUID
    email: str
    name: str | None
    role: str
    email_verified_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "User":
        return cls(**{field.name: row[field.name] for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class Login:
    """A login that lives. The refresh token exists here and with the client, nowhere else."""

    user: User
    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int


@dataclass(frozen=True, slots=True)
class NewLogin:
    """A login that is about to begin: made by who begins it, so that it begins once however often it is asked for."""

    id: uuid.UUID
    refresh_token: str
    begins_at: datetime
    lifetime: timedelta
    idle: timedelta

    @classmethod
    def now(cls, now: datetime, settings: AccountSettings) -> "NewLogin":
        lifetime, idle = timedelta(days=settings.refresh_days), timedelta(days=settings.idle_days)
        return cls(uuid.uuid4(), secrets.token_urlsafe(32), now, lifetime, idle)

    def kept(self) -> dict[str, object]:
        """What the database is told of it: of its refresh token the hash."""
        return {
            "session_id": self.id,
            "expires_at": self.begins_at + self.lifetime,
            "token_hash": hashlib.sha256(self.refresh_token.encode()).digest(),
            "token_expires_at": self.begins_at + min(self.lifetime, self.idle),
        }

    def of(self, user: User, tokens: Tokens) -> Login:
        """For the client, once it has begun."""
        access_token, expires_in = tokens.issue(Claims(user.id, self.id), now=self.begins_at)
        lifetime = int(self.lifetime.total_seconds())
        return Login(user, access_token, expires_in, self.refresh_token, lifetime)
