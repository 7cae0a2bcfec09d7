"""Somebody with an account asks for what is another's, and for more than fields are for: every function, every id."""

import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text

from infra.local.openapi import OPERATIONS
from infra.local.supervisor import Stack
from infra.service.app import function_names
from lib.database.engine import Database
from lib.database.schema import metadata, users
from lib.web.operation import Operation, Who
from tests.factories import Factory, Person
from tests.faults.counts import tried
from tests.faults.hostile import Callers
from tests.faults.surface import BODIES, FILES, name_of, properties, send, texts_of
from tests.integration.test_redeem import made

# Names that mean something somewhere inside.
FIELDS = [
    "role", "roles", "is_admin", "admin", "id", "user_id", "user", "owner", "created_by", "email_verified",
    "email_verified_at", "password_hash", "level", "plan", "price", "amount", "currency", "status", "until", "streams",
    "entitlement", "subscription", "customer", "customer_id", "stripe_customer_id", "trial_days", "quantity",
    "session_id", "playback_id", "asset_id", "upload_id", "provider", "published", "deleted_at", "expires_at",
    "success_url", "cancel_url", "return_url", "redirect", "next", "url", "callback", "webhook_url", "__class__",
    "__proto__", "constructor", "$ref", "position", "lease_seconds", "grace", "kind", "actor", "request_id",
]  # fmt: skip


@dataclass(frozen=True)
class Victim:
    person: Person
    ids: dict[str, str]
    secrets: list[str]
    """What nobody else may read."""


@pytest.fixture(scope="module")
def factory(stack: Stack, database: Database) -> Iterator[Factory]:
    with Factory(stack, database) as opened:
        yield opened


@pytest.fixture(scope="module")
def victim(factory: Factory, database: Database) -> Victim:
    """Has one of everything that has an id."""
    person = factory.subscriber()
    api = person.api
    key = f"key-{uuid.uuid4()}"
    factory.login(person.email, device_name="Telephone")
    film = factory.video(level=0, price_amount=399, price_currency="usd")
    other = factory.video(level=1)
    for_film = {"video_id": str(factory.video(level=9, price_amount=399, price_currency="usd"))}
    page = api.post("create-checkout", for_film, headers={"Idempotency-Key": key}).json()
    playing = api.get("get-playback", video_id=str(other)).json()
    code = made(database)
    assert api.post("redeem", {"code": code}, headers={"Idempotency-Key": key}).status_code == 200
    account = api.get("account").json()
    with database.transaction() as tx:
        asked = text("SELECT id::text FROM grants WHERE user_id = :id LIMIT 1")
        grant = str(tx.execute(asked, {"id": person.id}).scalar_one())
        asked = text(
            "SELECT stripe_session_id FROM checkouts WHERE user_id = :id AND stripe_session_id <> :open"
        )
        paid = str(tx.execute(asked, {"id": person.id, "open": page["session_id"]}).scalar_one())
    ids = {
        "user": str(person.id),
        "login": account["sessions"][0]["id"],
        "another login": account["sessions"][1]["id"],
        "open page": page["session_id"],
        "playback session": playing["session_id"],
        "film": str(film),
        "gift code": code,
        "customer": factory.customer(person),
        "grant": grant,
        "idempotency key": key,
        "paid page": paid,
        "email": person.email,
    }
    secrets = [
        person.email, person.refresh_token, str(person.id), page["checkout_url"], page["session_id"],
        playing["session_id"], ids["customer"], *(login["id"] for login in account["sessions"]),
        playing["tokens"]["playback"],
    ]  # fmt: skip
    return Victim(person, ids, secrets)


def held(database: Database, victim: Victim) -> dict[str, list[str]]:
    """All rows that have to do with them."""
    found: dict[str, list[str]] = {}
    with database.transaction() as tx:
        for each in metadata.sorted_tables:
            column = "id" if each.name == "users" else "user_id"
            if column in each.c:
                rows = tx.execute(select(each).where(each.c[column] == victim.person.id)).mappings()
                found[each.name] = sorted(json.dumps(dict(row), default=str) for row in rows)
    return found


def attackers(callers: Callers, operation: Operation) -> list[str | None]:
    """All but machines, whose tokens nobody has: strangers and viewers, and admins where they are let in."""
    roles = ["viewer", "admin"] if operation.who in (Who.USER, Who.TOKEN, Who.EITHER) else ["viewer"]
    return [None, *(callers.guest(role).token for role in roles)]


def questions(victim: Victim) -> Iterator[tuple[Operation, tuple[str, str], str]]:
    """Every id in every field and parameter of every operation, and in names that they do not have."""
    for operation in OPERATIONS:
        for place in (*texts_of(operation), ("query", "user_id"), ("query", "session_id"), ("query", "id")):
            # An address may be asked for by anybody; what that tells is another test's.
            yield from (
                (operation, place, value) for value in victim.ids.values() if place != ("body", "email")
            )


def test_another_users_ids_everywhere(
    http: httpx.Client,
    callers: Callers,
    victim: Victim,
    database: Database,
    dice: random.Random,
    thorough: bool,
) -> None:
    before, tries, broken = held(database, victim), 0, []
    asked = list(questions(victim))
    for operation, place, value in asked if thorough else dice.sample(asked, 120):
        for token in attackers(callers, operation):
            answer = send(http, operation, token, place=place, value=value)
            tries += 1
            # What was sent may come back, as the asker's own name or title.
            told = [secret for secret in victim.secrets if secret != value and secret in answer.text]
            if answer.status_code >= 500 or told:
                broken.append((name_of(operation), place, value, answer.status_code, answer.text[:300]))
    assert held(database, victim) == before, "nothing of theirs was changed"
    tried("another user's ids", tries=tries, held=tries - len(broken))
    assert not broken


def test_another_users_things(
    http: httpx.Client, callers: Callers, victim: Victim, factory: Factory, database: Database
) -> None:
    """What each function would do with such an id, were it the caller's own."""
    before, ids = held(database, victim), victim.ids
    thief = factory.person()
    factory.entitle(thief)
    key = {"Idempotency-Key": ids["idempotency key"]}
    draft = str(factory.video(level=0, published=False))
    playback = {"session_id": ids["playback session"], "position": 7}
    page = {"session_id": ids["open page"]}
    expected: dict[str, list[tuple[str, dict[str, Any], int]]] = {
        "logout": [("POST", {"json": {"session_id": ids["login"]}}, 404)],
        "account": [("DELETE", {"json": {"password": ids["login"]}}, 403)],
        "refresh": [("POST", {"json": {"refresh_token": ids["login"]}}, 401)],
        "verify-email": [("POST", {"json": {"token": ids["user"]}}, 400)],
        "reset-password": [("POST", {"json": {"token": ids["login"], "password": "a long walk home"}}, 400)],
        "confirm-checkout": [("POST", {"json": page}, 404)],
        "create-checkout": [
            ("POST", {"json": {"plan": "basic", "promotion_code": ids["gift code"]}, "headers": key}, 422)
        ],
        "create-portal": [("POST", {"json": {}, "params": {"customer": ids["customer"]}}, 409)],
        "redeem": [("POST", {"json": {"code": ids["gift code"]}, "headers": key}, 409)],
        "get-playback": [
            ("GET", {"params": {"video_id": draft}}, 404),
            ("GET", {"params": {"video_id": ids["film"], "takeover": ids["playback session"]}}, 200),
        ],
        "heartbeat": [
            ("POST", {"json": playback}, 404),
            ("POST", {"json": playback | {"stop": True}}, 404),
        ],
        "manage-video": [
            (method, {"params": {"video_id": ids["film"]}, "json": {} if method == "PATCH" else None}, 403)
            for method in ("GET", "PATCH", "DELETE")
        ],
        "upload-asset": [("POST", {"json": {"title": "A film"}, "headers": key}, 403)],
        "list-videos": [("GET", {"params": {"list": "history", "user_id": ids["user"]}}, 200)],
        "process-task": [("POST", {"json": {"kind": "sync-account", "body": {"user_id": ids["user"]}}}, 401)],
        "reconcile": [("POST", {"json": {}}, 401)],
        "stripe-webhook": [("POST", {"json": {"id": "evt_1", "type": "customer.deleted"}}, 400)],
        "mux-webhook": [("POST", {"json": {"type": "video.asset.deleted"}}, 400)],
        "cloudflare-webhook": [("POST", {"json": {"uid": ids["film"]}}, 400)],
    }
    # They know nobody: a new account, a password, public keys, prices, files.
    assert set(expected) | {"register", "login", "jwks", "list-plans", *FILES} == set(function_names())
    tries = 0
    for function, attempts in expected.items():
        for method, sent, status in attempts:
            headers = {"Authorization": f"Bearer {thief.api.token}"} | sent.pop("headers", {})
            answer = http.request(method, f"/{function}", headers=headers, **sent)
            tries += 1
            assert answer.status_code == status, (function, sent, answer.text)
            # Not their kept answers either.
            assert not [secret for secret in victim.secrets if secret in answer.text], function
    assert held(database, victim) == before, "nothing of theirs was changed"
    assert victim.person.api.post("heartbeat", playback).status_code == 200, "their stream goes on"
    tried("another user's things", tries=tries, held=tries)


@pytest.mark.parametrize(
    "operation",
    [operation for operation in OPERATIONS if operation.body is not None],
    ids=name_of,
)
def test_fields_that_are_none(
    http: httpx.Client, callers: Callers, database: Database, operation: Operation
) -> None:
    """Each beside a body that is fine: refused by name, and nothing is done with the rest."""
    names = [name for name in FIELDS if name not in properties(operation)]
    role = "admin" if operation.who is Who.ADMIN else "viewer"
    tokens = callers.tokens(operation)
    token, tries = tokens.get(role, next(iter(tokens.values()))), 0
    email = f"{uuid.uuid4().hex}@example.com"
    place = ("body", "email") if operation.function == "register" else None
    for value in ("admin", True, 9):
        # As many as a refusal names.
        for some in (names[:40], names[40:]):
            answer = send(http, operation, token, place=place, value=email, extra=dict.fromkeys(some, value))
            assert answer.status_code == 422, answer.text
            errors = {error["field"]: error["code"] for error in answer.json()["errors"]}
            assert errors == dict.fromkeys(some, "unknown_field")
            tries += len(some)
    with database.transaction() as tx:
        there = tx.execute(select(users.c.id).where(users.c.email == email)).first()
        assert there is None, "register made nobody"
    tried(f"fields that are none: {name_of(operation)}", tries=tries, held=tries)


def test_nothing_is_forgotten() -> None:
    assert set(BODIES) == {name_of(operation) for operation in OPERATIONS}
    assert {operation.function for operation in OPERATIONS} | FILES == set(function_names())
