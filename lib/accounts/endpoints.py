"""register, login, refresh, logout: requests and answers."""

import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from lib.accounts.passwords import weakness
from lib.errors import (
    EmailNotVerifiedError,
    EmailTakenError,
    InvalidCredentialsError,
    InvalidRefreshTokenError,
    NotFoundError,
    Refusal,
    TooManyAttemptsError,
    TooManyRequestsError,
    WeakPasswordError,
)
from lib.web.bodies import Body, Words
from lib.web.operation import Answer, Call, Operation, Who, as_uuid, rfc3339

if TYPE_CHECKING:
    # Each function loads its own service; some of them load SQLAlchemy, which is most of a cold start.
    from sqlalchemy import Row

    from lib.accounts.logging_in import Logins
    from lib.accounts.logging_out import Logouts
    from lib.accounts.login import Login, User
    from lib.accounts.refreshing import Refreshing
    from lib.accounts.registering import Registrations


def _normalised(address: str) -> str:
    """The one form of an address that is stored and looked up: valid, composed, lower case."""
    from email_validator import EmailNotValidError, validate_email

    try:
        found = validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise PydanticCustomError("invalid_email", "should be an email address") from None
    return found.normalized.lower()


def _strong(password: str, info: ValidationInfo) -> str:
    least = (info.context or {}).get("password_min_length", 8)
    if len(password) < least:
        raise PydanticCustomError(
            "weak_password", "should have at least {least} characters", {"least": least}
        )
    return password


def _composed(password: str) -> str:
    """Keyboards compose letters differently; the same password must stay the same (RFC 8265)."""
    return unicodedata.normalize("NFC", password)


Email = Annotated[
    str,
    Field(max_length=254, examples=["viewer@example.com"], json_schema_extra={"format": "email"}),
    AfterValidator(_normalised),
]
Password = Annotated[
    str, Field(max_length=1024, examples=["a long walk by the sea"]), AfterValidator(_composed)
]
NewPassword = Annotated[Password, AfterValidator(_strong)]


# When nothing else is wrong with a body.
refused_as_weak: Mapping[str, type[Refusal]] = {"weak_password": WeakPasswordError}


class RegisterBody(Body):
    email: Email
    name: Words | None = None
    # After what it must differ from.
    password: NewPassword

    refused_as: ClassVar[Mapping[str, type[Refusal]]] = refused_as_weak

    @field_validator("password")
    @classmethod
    def _not_guessed(cls, password: str, info: ValidationInfo) -> str:
        found = weakness(password, email=info.data.get("email"), name=info.data.get("name"))
        if found:
            raise PydanticCustomError("weak_password", "{what}", {"what": found})
        return password


class LoginBody(Body):
    email: Email
    password: Password
    device_name: Words | None = None


class RefreshBody(Body):
    refresh_token: Annotated[str, Field(min_length=1, max_length=200)]


_YES: dict[str, JsonValue] = {"const": True}


class LogoutBody(Body):
    """At most one of them; without any, this login."""

    model_config = ConfigDict(
        json_schema_extra={
            "not": {
                "anyOf": [
                    {
                        "required": ["everywhere", "others"],
                        "properties": {"everywhere": _YES, "others": _YES},
                    },
                    {
                        "required": ["everywhere", "session_id"],
                        "properties": {"everywhere": _YES, "session_id": {"type": "string"}},
                    },
                    {
                        "required": ["others", "session_id"],
                        "properties": {"others": _YES, "session_id": {"type": "string"}},
                    },
                ]
            }
        }
    )

    everywhere: bool = False
    others: bool = False
    session_id: Annotated[str, Field(max_length=100)] | None = None

    @field_validator("others", "session_id")
    @classmethod
    def _one_of_them(cls, wish: object, info: ValidationInfo) -> object:
        if wish not in (None, False) and (info.data.get("everywhere") or info.data.get("others")):
            raise PydanticCustomError("ambiguous", "should not stand beside everywhere or others")
        return wish


REGISTER = Operation(
    function="register",
    method="POST",
    tag="Accounts",
    summary="Create an account and log in",
    who=Who.ANYONE,
    body=RegisterBody,
    description=(
        "A mail with a link verifies the address. Where addresses have to be verified first "
        "(`REGISTRATION=verified`) the answer is always 202, and the mail says the rest."
    ),
    answers={201: "lib.accounts.answers:LoginAnswer", 202: "lib.web.answers:AcceptedAnswer"},
    refusals=(EmailTakenError, WeakPasswordError, TooManyRequestsError),
)
LOGIN = Operation(
    function="login",
    method="POST",
    tag="Accounts",
    summary="Log in with email and password",
    who=Who.ANYONE,
    body=LoginBody,
    answers={200: "lib.accounts.answers:LoginAnswer"},
    refusals=(InvalidCredentialsError, EmailNotVerifiedError, TooManyAttemptsError),
)
REFRESH = Operation(
    function="refresh",
    method="POST",
    tag="Accounts",
    summary="New tokens for a refresh token, which is spent by this",
    description=(
        "Presented again within a few seconds the spent token yields the same successor, so that a lost "
        "answer logs nobody out; later it ends the login, since it must have been stolen."
    ),
    who=Who.ANYONE,
    body=RefreshBody,
    answers={200: "lib.accounts.answers:LoginAnswer"},
    refusals=(InvalidRefreshTokenError,),
)
LOGOUT = Operation(
    function="logout",
    method="POST",
    tag="Accounts",
    summary="End this login, another of one's own, all others, or all of them",
    who=Who.USER,
    body=LogoutBody,
    answers={204: None},
    refusals=(NotFoundError,),
)
OPERATIONS = (REGISTER, LOGIN, REFRESH, LOGOUT)


def register(registrations: "Registrations", call: Call) -> Answer:
    body: RegisterBody = call.body
    login = registrations.register(
        email=body.email, password=body.password, name=body.name, address=call.address
    )
    return Answer(202, {}) if login is None else _began(201, login, call)


def login(logins: "Logins", call: Call) -> Answer:
    body: LoginBody = call.body
    found = logins.login(
        email=body.email, password=body.password, device_name=body.device_name, address=call.address
    )
    return _began(200, found, call)


def refresh(refreshing: "Refreshing", call: Call) -> Answer:
    body: RefreshBody = call.body
    return _began(200, refreshing.refresh(body.refresh_token, address=call.address), call)


def logout(logouts: "Logouts", call: Call) -> Answer:
    body: LogoutBody = call.body
    caller = call.user()
    if body.everywhere or body.others:
        but = caller.session_id if body.others else None
        logouts.end_all(caller.user_id, but=but, address=call.address)
        return Answer(204)
    session_id = caller.session_id if body.session_id is None else as_uuid(body.session_id)
    if session_id is None:
        raise NotFoundError("There is no such login")
    logouts.end(caller.user_id, session_id, address=call.address)
    return Answer(204)


def _began(status: int, login: "Login", call: Call) -> Answer:
    call.notes["user_id"] = str(login.user.id)
    body = {
        "user": user_body(login.user),
        "access_token": login.access_token,
        "token_type": "Bearer",
        "expires_in": login.expires_in,
        "refresh_token": login.refresh_token,
        "refresh_expires_in": login.refresh_expires_in,
    }
    return Answer(status, body, private=True)


def user_body(user: "User | Row[Any]") -> dict[str, Any]:
    """A user as the contract writes it."""
    return {
        "id": str(user.id),
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "email_verified": user.email_verified_at is not None,
        "created_at": rfc3339(user.created_at),
    }
