"""What billing's functions answer, for the documentation and for tests."""

from datetime import datetime
from typing import Literal

from lib.web.answers import AnswerModel, EntitlementModel, SubscriptionModel


class CheckoutAnswer(AnswerModel):
    checkout_url: str
    session_id: str
    expires_at: datetime


class MembershipAnswer(AnswerModel):
    subscription: SubscriptionModel | None
    entitlement: EntitlementModel


class RedeemAnswer(AnswerModel):
    entitlement: EntitlementModel


class PortalAnswer(AnswerModel):
    portal_url: str


class Price(AnswerModel):
    amount: int
    """In the currency's smallest unit."""
    currency: str
    interval: Literal["day", "week", "month", "year"]


class PlanModel(AnswerModel):
    code: str
    name: str
    level: int
    price: Price
    trial_days: int
    streams: int


class PlansAnswer(AnswerModel):
    plans: list[PlanModel]
