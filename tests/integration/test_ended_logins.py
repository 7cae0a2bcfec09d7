"""A login that ended, however it did, opens nothing any more: at every operation that asks who is calling.

The operations are those of openapi.json and the requests those of the Postman collection, both generated, so an
operation that is added is tried without a line here.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from infra.local.openapi import OPERATIONS
from infra.local.postman import FILE, STORY_FOLDER
from infra.local.supervisor import Stack
from lib.accounts import store
from lib.database.engine import Database
from lib.database.schema import refresh_tokens as tokens
from lib.database.schema import sessions, users
from lib.web.operation import Operation, Who
from tests.api import Api, refused
from tests.factories import PASSWORD, Factory, Person

GUARDED = [operation for operation in OPERATIONS if operation.who not in (Who.ANYONE, Who.SERVICE)]
ADMINS = [operation for operation in OPERATIONS if operation.who is Who.ADMIN]


def ids(operations: list[Operation]) -> list[str]:
    return [f"{operation.method} {operation.function}" for operation in operations]


def requests() -> dict[tuple[str, str], Mapping[str, Any]]:
    """Method and function -> a request of the collection, whose blanks are ids of nothing."""
    found = {}
    for folder in json.loads(FILE.read_text())["item"]:
        if folder["name"] == STORY_FOLDER:
            continue
        for item in folder["item"]:
            request = item["request"]
            found[request["method"], request["url"]["path"][0]] = request
    return found


REQUESTS = requests()


def filled(text: str) -> str:
    before, blank, rest = text.partition("{{")
    return before + (str(uuid.uuid4()) + filled(rest.partition("}}")[2]) if blank else "")


def ask(api: Api, operation: Operation) -> httpx.Response:
    """A call that is right in form."""
    request = REQUESTS[operation.method, operation.function]
    query = {
        part["key"]: filled(part["value"]) for part in request["url"]["query"] if not part.get("disabled")
    }
    body = request.get("body")
    sent = {"json": json.loads(filled(body["raw"]))} if body else {}
    return api.call(operation.method, operation.function, params=query, **sent)


@pytest.fixture
def admin(make: Factory, database: Database) -> Callable[[], Person]:
    """Makes admins, who pass every check of a role."""

    def made() -> Person:
        person = make.person()
        with database.transaction() as tx:
            store.give_role(tx, person.id, "admin")
        return person

    return made


def session_id(person: Person) -> str:
    listed = person.api.get("account").json()["sessions"]
    return str(next(session["id"] for session in listed if session["current"]))


def expire(make: Factory, person: Person, other: Person) -> None:
    with make.database.transaction() as tx:
        ended = {"created_at": func.now() - func.make_interval(0, 0, 0, 2), "expires_at": func.now()}
        tx.execute(update(sessions).where(sessions.c.id == uuid.UUID(session_id(person))).values(**ended))


def logged_out(make: Factory, person: Person, other: Person) -> None:
    assert person.api.post("logout").status_code == 204


def logged_out_elsewhere(make: Factory, person: Person, other: Person) -> None:
    assert other.api.post("logout", {"session_id": session_id(person)}).status_code == 204


def others_logged_out(make: Factory, person: Person, other: Person) -> None:
    assert other.api.post("logout", {"others": True}).status_code == 204
    assert other.api.get("account").status_code == 200


def all_logged_out(make: Factory, person: Person, other: Person) -> None:
    assert other.api.post("logout", {"everywhere": True}).status_code == 204


def password_changed(make: Factory, person: Person, other: Person) -> None:
    body = {"password": "a short swim in the lake", "current_password": PASSWORD}
    assert other.api.call("PATCH", "account", json=body).status_code == 200


def deleted(make: Factory, person: Person, other: Person) -> None:
    assert other.api.call("DELETE", "account", json={"password": PASSWORD}).status_code == 204


ENDS = [
    logged_out,
    logged_out_elsewhere,
    others_logged_out,
    all_logged_out,
    password_changed,
    deleted,
    expire,
]


def test_there_is_something_to_try() -> None:
    named = {operation.function for operation in GUARDED}
    assert {"account", "create-checkout", "create-portal", "confirm-checkout"} <= named
    assert {"get-playback", "heartbeat", "upload-asset", "logout"} <= named


@pytest.mark.parametrize("operation", GUARDED, ids=ids(GUARDED))
def test_a_live_login_passes(admin: Callable[[], Person], operation: Operation) -> None:
    """Else the next test would prove nothing."""
    assert ask(admin().api, operation).status_code not in (401, 403), operation


@pytest.mark.parametrize("end", ENDS, ids=lambda end: str(end.__name__))
def test_an_ended_one_does_not(make: Factory, admin: Callable[[], Person], end: Callable[..., None]) -> None:
    person = admin()
    end(make, person, make.login(person.email))
    for operation in GUARDED:
        refused(ask(person.api, operation), 401, "invalid_token")
    answer = make.client().post("refresh", {"refresh_token": person.refresh_token})
    refused(answer, 401, "invalid_refresh_token")


@pytest.mark.parametrize("operation", ADMINS, ids=ids(ADMINS))
def test_a_role_that_was_taken_is_gone_at_once(
    database: Database, admin: Callable[[], Person], operation: Operation
) -> None:
    person = admin()
    with database.transaction() as tx:
        tx.execute(update(users).where(users.c.id == person.id).values(role="viewer"))
    refused(ask(person.api, operation), 403, "forbidden")


# -- where and when a login was used, and how it ends by itself ----------------------------------------------


def as_if_days_had_passed(database: Database, person: Person, days: int) -> None:
    """Since the login's refresh token was made."""
    span = func.make_interval(0, 0, 0, days)
    with database.transaction() as tx:
        mine = select(sessions.c.id).where(sessions.c.user_id == person.id)
        tx.execute(
            update(tokens)
            .where(tokens.c.session_id.in_(mine), tokens.c.spent_at.is_(None))
            .values(expires_at=tokens.c.expires_at - span)
        )


def test_a_login_that_is_not_used_ends(make: Factory, database: Database) -> None:
    person = make.person()
    as_if_days_had_passed(database, person, 13)
    renewed = make.client().post("refresh", {"refresh_token": person.refresh_token})
    assert renewed.status_code == 200, "13 days are fine, and begin anew"
    as_if_days_had_passed(database, person, 13)
    assert len(person.api.get("account").json()["sessions"]) == 1
    as_if_days_had_passed(database, person, 1)
    answer = make.client().post("refresh", {"refresh_token": renewed.json()["refresh_token"]})
    refused(answer, 401, "invalid_refresh_token")
    assert make.login(person.email).api.get("account").json()["sessions"][0]["current"]


def test_a_login_that_ended_by_itself_is_not_listed(make: Factory, database: Database) -> None:
    person = make.person()
    as_if_days_had_passed(database, person, 14)
    other = make.login(person.email)
    assert [one["current"] for one in other.api.get("account").json()["sessions"]] == [True]


def test_no_login_outlives_its_end_however_often_it_is_renewed(make: Factory, database: Database) -> None:
    person = make.person()
    soon = func.now() + func.make_interval(0, 0, 0, 3)
    with database.transaction() as tx:
        tx.execute(update(sessions).where(sessions.c.user_id == person.id).values(expires_at=soon))
    renewed = make.client().post("refresh", {"refresh_token": person.refresh_token}).json()
    assert 3 * 86400 - 60 < renewed["refresh_expires_in"] <= 3 * 86400
    as_if_days_had_passed(database, person, 3)
    answer = make.client().post("refresh", {"refresh_token": renewed["refresh_token"]})
    refused(answer, 401, "invalid_refresh_token")


def test_a_renewal_tells_when_and_from_where(make: Factory, database: Database) -> None:
    person = make.person()
    with database.transaction() as tx:
        long_ago = {"last_used_at": func.now() - func.make_interval(0, 0, 0, 2), "address": "192.0.2.1"}
        tx.execute(update(sessions).where(sessions.c.user_id == person.id).values(**long_ago))
    (before,) = person.api.get("account").json()["sessions"]
    make.client().post("refresh", {"refresh_token": person.refresh_token})
    (after,) = person.api.get("account").json()["sessions"]
    assert before["address"] == "192.0.2.1"
    assert after["address"] == "127.0.0.1"
    assert after["last_used_at"] > before["last_used_at"]
    assert after["created_at"] == before["created_at"]


@pytest.mark.parametrize(
    "body",
    [
        {"everywhere": True, "others": True},
        {"everywhere": True, "session_id": str(uuid.uuid4())},
        {"others": True, "session_id": str(uuid.uuid4())},
    ],
)
def test_which_logins_to_end_is_said_once(make: Factory, body: dict[str, Any]) -> None:
    person = make.person()
    refused(person.api.post("logout", body), 422, "invalid_request")
    assert person.api.get("account").status_code == 200


def test_that_there_are_no_others_is_fine(make: Factory) -> None:
    person = make.person()
    assert person.api.post("logout", {"others": True}).status_code == 204
    assert person.api.get("account").status_code == 200


@pytest.mark.parametrize("body", [{}, {"others": True}, {"everywhere": True}], ids=str)
def test_the_streams_of_a_login_end_with_it(make: Factory, body: dict[str, Any], stack: Stack) -> None:
    """The place is free at once: another login may take it."""
    person = make.person()
    make.entitle(person, streams=1)
    first, second = make.login(person.email), make.login(person.email)
    video_id = str(make.video())
    assert first.api.get("get-playback", video_id=video_id).status_code == 200
    refused(second.api.get("get-playback", video_id=video_id), 429, "too_many_streams")
    (second if body.get("others") else first).api.post("logout", body)
    watching = make.login(person.email) if body.get("everywhere") else second
    assert watching.api.get("get-playback", video_id=video_id).status_code == 200
