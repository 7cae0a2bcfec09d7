"""What accounts' functions answer, for the documentation and for tests."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import RootModel

from lib.web.answers import AnswerModel, EntitlementModel, SubscriptionModel


class User(AnswerModel):
    id: UUID
    email: str
    name: str | None
    role: Literal["viewer", "admin"]
    email_verified: bool
    created_at: datetime


class LoginAnswer(AnswerModel):
    user: User
    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str
    refresh_expires_in: int


class Session(AnswerModel):
    id: UUID
    device_name: str | None
    address: str | None
    created_at: datetime
    last_used_at: datetime
    current: bool


class HeldFilm(AnswerModel):
    video_id: UUID
    title: str
    reason: Literal["rental", "purchase"]
    until: datetime | None
    """Null for a film that was bought. Of a rental that was not begun: until when it can be."""
    window_hours: int | None
    """How long a rental lasts from its first play on."""
    first_played_at: datetime | None


class AccountAnswer(AnswerModel):
    user: User
    subscription: SubscriptionModel | None
    entitlement: EntitlementModel
    films: list[HeldFilm]
    """Rented or bought by themselves, newest first, five hundred at most."""
    sessions: list[Session]


class ExportAnswer(AnswerModel):
    exported_at: datetime
    held: dict[str, list[dict[str, Any]]]
    """Table -> its rows about the caller, without hashes and seals."""


class AccountOrExport(RootModel[AccountAnswer | ExportAnswer]):
    pass


class Key(AnswerModel):
    kty: Literal["EC"]
    crv: Literal["P-256"]
    use: Literal["sig"]
    alg: Literal["ES256"]
    kid: str
    x: str
    y: str


class KeySetAnswer(AnswerModel):
    keys: list[Key]
