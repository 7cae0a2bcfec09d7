"""Base of the answer models: for the documentation and for tests, never loaded to serve."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


class AnswerModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class FieldErrorModel(AnswerModel):
    field: str
    code: str
    message: str


class Problem(BaseModel):
    """A refusal, as application/problem+json (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldErrorModel] | None = None


class SubscriptionModel(AnswerModel):
    plan: str | None
    status: str
    current_period_end: datetime
    cancel_at_period_end: bool
    trial_end: datetime | None


class EntitlementModel(AnswerModel):
    active: bool
    plan: str | None
    level: int
    reason: Literal[
        "subscription",
        "trial",
        "grace",
        "rental",
        "purchase",
        "gift",
        "staff",
        "free",
        "none",
        "payment_failed",
        "canceled",
        "paused",
        "refunded",
        "disputed",
        "expired",
    ]
    until: datetime | None


class ReceivedAnswer(AnswerModel):
    """A webhook's event is safe with us."""

    received: Literal[True]


class AcceptedAnswer(AnswerModel):
    """It was taken note of; a mail says the rest."""


class ReconcileAnswer(AnswerModel):
    found: dict[str, dict[str, int]]
    """What each part found and mended."""
