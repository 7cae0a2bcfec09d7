"""create-checkout, confirm-checkout, create-portal: requests and answers."""

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from lib.billing.service import Checkouts, Confirmations, Portal
from lib.errors import (
    AlreadyBoughtError,
    AlreadySubscribedError,
    InvalidPromotionCodeError,
    NoCustomerError,
    NotForSaleError,
    NotFoundError,
    UnknownPlanError,
    VideoNotFoundError,
    VideoNotReadyError,
)
from lib.web.bodies import Body, NoBody, Text
from lib.web.operation import Answer, Call, Operation, Who, as_uuid, rfc3339

ShortText = Annotated[Text, StringConstraints(min_length=1, max_length=255)]


class CreateCheckoutBody(Body):
    """Either a plan or one film."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"type": "string"}}}
                for name in ("plan", "video_id")
            ]
        }
    )

    video_id: ShortText | None = None
    plan: ShortText | None = Field(default=None, validate_default=True)
    promotion_code: ShortText | None = None

    @field_validator("plan", mode="after")
    @classmethod
    def _one_of_them(cls, plan: str | None, info: ValidationInfo) -> str | None:
        # A video_id that is bad itself is not here.
        if "video_id" in info.data:
            if plan is None and info.data["video_id"] is None:
                raise PydanticCustomError("missing", "Field required, or video_id")
            if plan is not None and info.data["video_id"] is not None:
                raise PydanticCustomError("one_of", "Give either plan or video_id")
        return plan


class ConfirmCheckoutBody(Body):
    session_id: ShortText


CREATE_CHECKOUT = Operation(
    function="create-checkout",
    method="POST",
    tag="Billing",
    summary="Open a page to pay for a plan, or for one film",
    description="While one is open for the same wish, that one is answered with 200.",
    who=Who.USER,
    body=CreateCheckoutBody,
    answers={
        201: "lib.billing.answers:CheckoutAnswer",
        200: "lib.billing.answers:CheckoutAnswer",
    },
    refusals=(
        UnknownPlanError,
        VideoNotFoundError,
        AlreadySubscribedError,
        AlreadyBoughtError,
        NotForSaleError,
        VideoNotReadyError,
        InvalidPromotionCodeError,
    ),
    idempotent=True,
)
CONFIRM_CHECKOUT = Operation(
    function="confirm-checkout",
    method="POST",
    tag="Billing",
    summary="Back from the payment page: what the account has now",
    who=Who.USER,
    body=ConfirmCheckoutBody,
    answers={200: "lib.billing.answers:MembershipAnswer"},
    refusals=(NotFoundError,),
)


CREATE_PORTAL = Operation(
    function="create-portal",
    method="POST",
    tag="Billing",
    summary="Open the page to manage card and subscription",
    who=Who.USER,
    body=NoBody,
    answers={201: "lib.billing.answers:PortalAnswer"},
    refusals=(NoCustomerError,),
)


def create_checkout(checkouts: Checkouts, call: Call) -> Answer:
    body: CreateCheckoutBody = call.body
    user_id = call.user().user_id
    if body.plan is not None:
        session, new = checkouts.open(
            user_id, plan_code=body.plan, promotion_code=body.promotion_code, address=call.address
        )
    else:
        session, new = checkouts.open_film(
            user_id,
            video_id=as_uuid(body.video_id or ""),
            promotion_code=body.promotion_code,
            address=call.address,
        )
    answer = {
        "checkout_url": session.url,
        "session_id": session.id,
        "expires_at": rfc3339(session.expires_at),
    }
    return Answer(201 if new else 200, answer, private=True)


def confirm_checkout(confirmations: Confirmations, call: Call) -> Answer:
    body: ConfirmCheckoutBody = call.body
    caller = call.user()
    subscription, entitlement = confirmations.confirm(caller.user_id, caller.role, body.session_id)
    return Answer(200, {"subscription": subscription, "entitlement": entitlement}, private=True)


def create_portal(portal: Portal, call: Call) -> Answer:
    return Answer(201, {"portal_url": portal.open(call.user().user_id)}, private=True)
