"""account: what people see of their own account, change about it, and how they leave."""

from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from lib.accounts.changing import Changes, Wishes
from lib.accounts.closing import Closing
from lib.accounts.endpoints import Email, NewPassword, Password, refused_as_weak, user_body
from lib.accounts.exporting import Exports
from lib.accounts.overview import Overviews
from lib.errors import (
    InvalidRequestError,
    LastAdminError,
    TooManyAttemptsError,
    TooManyRequestsError,
    WeakPasswordError,
    WrongPasswordError,
)
from lib.web.bodies import Body, Words
from lib.web.operation import Answer, Call, Operation, Query, Who, rfc3339


class ChangeBody(Body):
    """`name` may become null. Email and password need the current password."""

    name: Words | None = None
    email: Email | None = None
    password: NewPassword | None = None
    # After what needs it.
    current_password: Password | None = None

    refused_as = refused_as_weak

    @field_validator("current_password")
    @classmethod
    def _needed(cls, current: str | None, info: ValidationInfo) -> str | None:
        if current is None and (info.data.get("password") or info.data.get("email")):
            raise PydanticCustomError("required", "is needed to change email or password")
        return current

    model_config = Body.model_config | {
        "validate_default": True,
        "json_schema_extra": {
            "anyOf": [
                {"required": ["current_password"], "properties": {"current_password": {"type": "string"}}},
                {"properties": {"email": {"type": "null"}, "password": {"type": "null"}}},
            ]
        },
    }


class DeleteBody(Body):
    password: Password


ACCOUNT = Operation(
    function="account",
    method="GET",
    tag="Accounts",
    summary="The caller's account, subscription, entitlement and open logins",
    description="With `export=1` everything that is held about the caller instead, table by table.",
    who=Who.USER,
    answers={200: "lib.accounts.answers:AccountOrExport"},
    query=(Query("export", "1 for everything that is held about the caller", choices=("0", "1")),),
)
CHANGE_ACCOUNT = Operation(
    function="account",
    method="PATCH",
    tag="Accounts",
    summary="Change name, email or password",
    description=(
        "`name` alone needs nothing more; null takes it away. `email` and `password` need `current_password`. "
        "A new email counts once the link mailed there was followed, a new password ends all other logins."
    ),
    who=Who.USER,
    body=ChangeBody,
    answers={200: "lib.accounts.answers:User"},
    refusals=(WrongPasswordError, WeakPasswordError, TooManyAttemptsError, TooManyRequestsError),
)
DELETE_ACCOUNT = Operation(
    function="account",
    method="DELETE",
    tag="Accounts",
    summary="Delete the caller's account, and end what it pays for",
    who=Who.USER,
    body=DeleteBody,
    answers={204: None},
    refusals=(WrongPasswordError, LastAdminError, TooManyAttemptsError),
)
OPERATIONS = (ACCOUNT, CHANGE_ACCOUNT, DELETE_ACCOUNT)


def account(overviews: Overviews, exports: Exports, call: Call) -> Answer:
    wanted = call.query.get("export", "0")
    if wanted not in ("0", "1"):
        raise InvalidRequestError("export should be 1, or not be there")
    if wanted == "1":
        held = exports.of(call.user().user_id)
        return Answer(200, {"exported_at": rfc3339(datetime.now(UTC)), "held": held}, private=True)
    return _overview(overviews, call)


def _overview(overviews: Overviews, call: Call) -> Answer:
    caller = call.user()
    found = overviews.of(caller.user_id)
    sessions = [
        {
            "id": str(session.id),
            "device_name": session.device_name,
            "address": session.address,
            "created_at": rfc3339(session.created_at),
            "last_used_at": rfc3339(session.last_used_at),
            "current": session.id == caller.session_id,
        }
        for session in found.sessions
    ]
    body: dict[str, Any] = {
        "user": user_body(found.user),
        "subscription": found.subscription,
        "entitlement": found.entitlement,
        "films": found.films,
        "sessions": sessions,
    }
    return Answer(200, body, private=True)


def change(changes: Changes, call: Call) -> Answer:
    body: ChangeBody = call.body
    wishes = Wishes(
        name=body.name,
        email=body.email,
        renamed="name" in body.model_fields_set,
        password=body.password,
        current_password=body.current_password,
    )
    return Answer(200, user_body(changes.apply(call.user(), wishes, address=call.address)), private=True)


def delete(closing: Closing, call: Call) -> Answer:
    body: DeleteBody = call.body
    closing.close(call.user(), body.password)
    return Answer(204)
