"""verify-email, reset-password: requests and answers. A GET changes nothing: scanners follow links in mails."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import ConfigDict, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from lib.accounts.endpoints import Email, NewPassword
from lib.accounts.resetting import Resets
from lib.accounts.verifying import Verification
from lib.errors import InvalidLinkError, InvalidTokenError, Refusal, TooManyRequestsError, WeakPasswordError
from lib.web.bodies import Body
from lib.web.operation import Answer, Call, Operation, Who

LinkToken = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="What the mailed link has after `?token=`",
        examples=["kU3q0c4Qm0yUu7hDk1n3vJ5bX8r2sT6wZ9aBcDeFgHi"],
    ),
]


class VerifyEmailBody(Body):
    token: LinkToken | None = None


_GIVEN: dict[str, JsonValue] = {"type": "string"}
_LACKING: dict[str, JsonValue] = {"type": "null"}


class ResetPasswordBody(Body):
    """Either `email`, or `token` and `password`."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {
                    "required": ["email"],
                    "properties": {"email": _GIVEN, "token": _LACKING, "password": _LACKING},
                },
                {
                    "required": ["token", "password"],
                    "properties": {"email": _LACKING, "token": _GIVEN, "password": _GIVEN},
                },
            ]
        }
    )

    token: LinkToken | None = None
    password: NewPassword | None = None
    email: Email | None = None

    refused_as: ClassVar[Mapping[str, type[Refusal]]] = {"weak_password": WeakPasswordError}

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        with_token, alone = self.token is not None, self.email is not None
        if with_token == alone or with_token != (self.password is not None):
            raise PydanticCustomError("email_or_token", "should be either email, or token and password")
        return self


VERIFY_EMAIL = Operation(
    function="verify-email",
    method="POST",
    tag="Accounts",
    summary="Use the link that was mailed to an address, or have another one mailed",
    description=(
        "With `token` (no login needed) the address is verified, or the new one becomes the account's: 204. With `{}` "
        "and an access token another mail is sent, if the address is not verified yet: 202."
    ),
    who=Who.EITHER,
    body=VerifyEmailBody,
    answers={204: None, 202: "lib.web.answers:AcceptedAnswer"},
    refusals=(InvalidLinkError, TooManyRequestsError),
)
RESET_PASSWORD = Operation(
    function="reset-password",
    method="POST",
    tag="Accounts",
    summary="Have a link mailed to choose a new password, and use it",
    description=(
        "With `email` a mail is sent if there is such an account, and the answer is 202 either way. With `token` and "
        "`password` the password is set, the address is verified, and every login of the account ends: 204."
    ),
    who=Who.ANYONE,
    body=ResetPasswordBody,
    answers={204: None, 202: "lib.web.answers:AcceptedAnswer"},
    refusals=(InvalidLinkError, WeakPasswordError, TooManyRequestsError),
)
OPERATIONS = (VERIFY_EMAIL, RESET_PASSWORD)


def verify_email(verification: Verification, call: Call) -> Answer:
    body: VerifyEmailBody = call.body
    if body.token is not None:
        verification.confirm(body.token, call.address)
        return Answer(204)
    if call.caller is None:
        raise InvalidTokenError
    verification.send_again(call.caller.user_id, call.address)
    return Answer(202, {})


def reset_password(resets: Resets, call: Call) -> Answer:
    body: ResetPasswordBody = call.body
    if body.token is not None and body.password is not None:
        resets.set(body.token, body.password, call.address)
        return Answer(204)
    if body.email is None:
        raise TypeError("the body was checked to have one or the other")
    resets.ask(body.email, call.address)
    return Answer(202, {})
