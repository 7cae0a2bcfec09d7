"""refresh and logout: a lost answer logs nobody out, a stolen token ends the login."""

import uuid
from base64 import urlsafe_b64decode
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import select, update

from lib.accounts.refreshing import _hash
from lib.database.schema import audit_log, refresh_tokens, sessions
from tests.api import Api, refused
from tests.factories import Factory, Person


def refresh(api: Api, token: str) -> httpx.Response:
    return api.post("refresh", {"refresh_token": token})


def spent_long_ago(make: Factory, token: str) -> None:
    """As if the token had been used a minute ago."""
    with make.database.transaction() as tx:
        tx.execute(
            update(refresh_tokens)
            .where(refresh_tokens.c.token_hash == _hash(token))
            .values(spent_at=datetime.now(UTC) - timedelta(seconds=60))
        )


def session_of(make: Factory, token: str) -> uuid.UUID:
    with make.database.transaction() as tx:
        found = tx.execute(
            select(refresh_tokens.c.session_id).where(refresh_tokens.c.token_hash == _hash(token))
        ).scalar_one()
        return uuid.UUID(str(found))


def test_a_token_is_followed_by_another(make: Factory, api: Api) -> None:
    person = make.person()
    first = refresh(api, person.refresh_token)
    assert first.status_code == 200
    assert first.headers["cache-control"] == "no-store"
    found = first.json()
    assert found["refresh_token"] != person.refresh_token
    assert make.client(found["access_token"]).get("account").json()["user"]["email"] == person.email
    assert refresh(api, found["refresh_token"]).status_code == 200


def test_presented_again_at_once_it_yields_the_same_successor(make: Factory, api: Api) -> None:
    person = make.person()
    answers = [refresh(api, person.refresh_token).json()["refresh_token"] for _ in range(3)]
    assert len(set(answers)) == 1
    assert refresh(api, answers[0]).status_code == 200


def test_a_hundred_at_once_yield_one_live_successor(make: Factory, api: Api) -> None:
    person = make.person()
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: refresh(api, person.refresh_token), range(100)))
    assert {answer.status_code for answer in answers} == {200}
    successors = {answer.json()["refresh_token"] for answer in answers}
    assert len(successors) == 1
    assert refresh(api, successors.pop()).status_code == 200


def test_a_stolen_token_ends_the_login(make: Factory, api: Api) -> None:
    person = make.person()
    successor = refresh(api, person.refresh_token).json()
    spent_long_ago(make, person.refresh_token)
    refused(refresh(api, person.refresh_token), 401, "invalid_refresh_token")
    refused(refresh(api, successor["refresh_token"]), 401, "invalid_refresh_token")
    refused(make.client(successor["access_token"]).get("account"), 401, "invalid_token")
    with make.database.transaction() as tx:
        kinds = tx.execute(select(audit_log.c.kind).where(audit_log.c.user_id == person.id)).scalars()
        assert "refresh_token_reused" in list(kinds)


def test_it_ends_only_that_login(make: Factory, api: Api) -> None:
    person = make.person()
    other = make.login(person.email)
    refresh(api, person.refresh_token)
    spent_long_ago(make, person.refresh_token)
    refused(refresh(api, person.refresh_token), 401, "invalid_refresh_token")
    assert other.api.get("account").status_code == 200
    assert refresh(api, other.refresh_token).status_code == 200


@pytest.mark.parametrize("token", ["x", "é" * 10, "a" * 200, "\u0000"])
def test_unknown_tokens(api: Api, token: str) -> None:
    refused(refresh(api, token), 401, "invalid_refresh_token")


def test_bad_bodies(api: Api) -> None:
    for body in ({}, {"refresh_token": ""}, {"refresh_token": 7}, {"refresh_token": "a" * 201}):
        refused(api.post("refresh", body), 422, "invalid_request")


def test_a_login_that_ran_out(make: Factory, api: Api) -> None:
    person = make.person()
    with make.database.transaction() as tx:
        past = datetime.now(UTC) - timedelta(seconds=1)
        tx.execute(
            update(sessions)
            .where(sessions.c.user_id == person.id)
            .values(created_at=past - timedelta(days=1), expires_at=past)
        )
    refused(refresh(api, person.refresh_token), 401, "invalid_refresh_token")
    refused(person.api.get("account"), 401, "invalid_token")


def test_no_token_is_in_the_database(make: Factory, api: Api) -> None:
    person = make.person()
    successor = refresh(api, person.refresh_token).json()["refresh_token"]
    with make.database.transaction() as tx:
        dump = str(tx.execute(select(refresh_tokens)).all())
    for token in (person.refresh_token, successor):
        assert token not in dump
    assert str(urlsafe_b64decode(successor + "=")) not in dump


def everywhere_refused(make: Factory, person: Person) -> None:
    refused(person.api.get("account"), 401, "invalid_token")
    refused(person.api.get("get-playback", video_id=str(uuid.uuid4())), 401, "invalid_token")
    refused(person.api.post("create-checkout", {"plan": "basic"}), 401, "invalid_token")
    refused(person.api.post("create-portal"), 401, "invalid_token")
    refused(
        person.api.post("heartbeat", {"session_id": str(uuid.uuid4()), "position": 0}), 401, "invalid_token"
    )
    refused(refresh(make.client(), person.refresh_token), 401, "invalid_refresh_token")


def test_logout_stops_the_access_token_at_once(make: Factory) -> None:
    person = make.person()
    other = make.login(person.email)
    assert person.api.post("logout").status_code == 204
    everywhere_refused(make, person)
    assert other.api.get("account").status_code == 200


def test_logout_of_another_device(make: Factory) -> None:
    person = make.person()
    other = make.login(person.email)
    session_id = str(session_of(make, other.refresh_token))
    assert person.api.post("logout", {"session_id": session_id}).status_code == 204
    everywhere_refused(make, other)
    assert person.api.get("account").status_code == 200
    refused(person.api.post("logout", {"session_id": session_id}), 404, "not_found")


def test_logout_everywhere(make: Factory) -> None:
    person = make.person()
    other = make.login(person.email)
    assert person.api.post("logout", {"everywhere": True}).status_code == 204
    everywhere_refused(make, person)
    everywhere_refused(make, other)


@pytest.mark.parametrize("session_id", ["nonsense", "00000000-0000-4000-8000-000000000000"])
def test_logout_of_nothing(make: Factory, session_id: str) -> None:
    refused(make.person().api.post("logout", {"session_id": session_id}), 404, "not_found")


def test_logout_of_somebody_else(make: Factory) -> None:
    victim = make.person()
    session_id = str(session_of(make, victim.refresh_token))
    refused(make.person().api.post("logout", {"session_id": session_id}), 404, "not_found")
    assert victim.api.get("account").status_code == 200
