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


class AccountAnswer(AnswerModel):
    user: User
    subscription: SubscriptionModel | None
    entitlement: EntitlementModel
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
