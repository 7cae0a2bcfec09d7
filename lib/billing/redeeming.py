"""redeem: request and answer."""

from typing import Annotated

from pydantic import StringConstraints

from lib.billing.gifts import Redemptions
from lib.errors import AlreadyRedeemedError, TooManyRequestsError, UnknownCodeError
from lib.web.bodies import Body, Text
from lib.web.operation import Answer, Call, Operation, Who


class RedeemBody(Body):
    code: Annotated[Text, StringConstraints(min_length=1, max_length=100)]
    """As it was given; case, spaces and hyphens do not matter."""


REDEEM = Operation(
    function="redeem",
    method="POST",
    tag="Billing",
    summary="Turn a gift code into access",
    who=Who.USER,
    body=RedeemBody,
    answers={200: "lib.billing.answers:RedeemAnswer"},
    refusals=(UnknownCodeError, AlreadyRedeemedError, TooManyRequestsError),
    idempotent=True,
)


def redeem(redemptions: Redemptions, call: Call) -> Answer:
    body: RedeemBody = call.body
    caller = call.user()
    return Answer(
        200,
        {"entitlement": redemptions.redeem(caller.user_id, caller.role, body.code, address=call.address)},
        private=True,
    )
