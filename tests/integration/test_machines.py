"""The functions that machines call: who may, with what, and what comes of it."""

import base64
import hmac
import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm
from sqlalchemy import func, insert, select

from lib.database.schema import attempts, audit_log, billing_accounts, entitlements, inbox, subscriptions
from tests.api import Api, refused
from tests.billing import event, signed
from tests.factories import Factory, Person, wait_for
from tests.machines import CALLERS, identity

BODIES: dict[str, dict[str, Any]] = {
    "process-task": {"kind": "stripe-event", "body": {"event_id": "evt_nowhere"}},
    "reconcile": {},
}


def call(make: Factory, function: str, token: str | None, body: Any = None) -> httpx.Response:
    return make.client(token).post(function, BODIES[function] if body is None else body)


both = pytest.mark.parametrize("function", list(CALLERS))


# -- who may call -----------------------------------------------------------------------------------------


@both
def test_the_one_who_may(make: Factory, function: str) -> None:
    response = call(make, function, identity(make.stack.settings, function))
    assert response.status_code == (204 if function == "process-task" else 200)


@both
def test_nobody_in_particular(make: Factory, function: str) -> None:
    response = call(make, function, None)
    refused(response, 401, "invalid_token")
    assert response.headers["www-authenticate"] == "Bearer"
    for nonsense in ("x", "a.b.c", "é"):
        header = {b"Authorization": f"Bearer {nonsense}".encode()}
        assert httpx.post(f"{make.stack.base_url}/{function}", headers=header, json={}).status_code == 401


@both
def test_people(make: Factory, function: str) -> None:
    for person in (make.person(), make.admin()):
        refused(call(make, function, person.api.token), 401, "invalid_token")


@both
def test_tokens_that_are_not_for_this(make: Factory, function: str) -> None:
    other = next(name for name in CALLERS if name != function)
    now = int(time.time())
    wrong: list[dict[str, Any]] = [
        {"aud": f"{make.stack.base_url}/{other}"},
        {"aud": ...},
        {"iss": "https://accounts.google.com"},
        {"exp": now - 60},
        {"exp": ...},
        {"iat": now + 600},
        {"key": rsa.generate_private_key(public_exponent=65537, key_size=2048)},
        {"kid": "unknown"},
    ]
    for claims in wrong:
        refused(call(make, function, identity(make.stack.settings, function, **claims)), 401, "invalid_token")


@both
def test_good_tokens_of_others(make: Factory, function: str) -> None:
    other = next(name for name in CALLERS if name != function)
    for claims in ({"email": CALLERS[other]}, {"email": ...}, {"email_verified": False}):
        refused(call(make, function, identity(make.stack.settings, function, **claims)), 403, "forbidden")


@both
def test_symmetric_tricks(make: Factory, function: str) -> None:
    """The public key is no secret to sign with, and no signature is none."""
    certs = httpx.get(f"{make.stack.base_url}/sandbox/tasks/certs").json()["keys"][0]
    key = RSAAlgorithm.from_jwk(certs)
    assert isinstance(key, rsa.RSAPublicKey)
    public = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = identity(make.stack.settings, function).split(".")[1]
    for algorithm in ("HS256", "none"):
        header = base64url(json.dumps({"alg": algorithm, "kid": certs["kid"]}).encode())
        signature = hmac.digest(public, f"{header}.{claims}".encode(), "sha256")
        token = f"{header}.{claims}.{base64url(signature) if algorithm == 'HS256' else ''}"
        refused(call(make, function, token), 401, "invalid_token")


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


# -- with what --------------------------------------------------------------------------------------------


def test_a_kind_of_task_nobody_knows(make: Factory) -> None:
    token = identity(make.stack.settings, "process-task")
    problem = refused(
        call(make, "process-task", token, {"kind": "dance", "body": {}}), 422, "invalid_request"
    )
    assert problem["errors"][0]["field"] == "kind"


@pytest.mark.parametrize("body", [{}, {"kind": "stripe-event"}, {"kind": 1, "body": {}}, [], "x"])
def test_bodies_that_are_no_task(make: Factory, body: Any) -> None:
    response = call(make, "process-task", identity(make.stack.settings, "process-task"), body)
    assert response.status_code in (400, 422)


def test_an_event_that_is_not_there_is_done(make: Factory) -> None:
    """It was dealt with, or never committed: either way the queue need not try again."""
    assert call(make, "process-task", identity(make.stack.settings, "process-task")).status_code == 204


# -- what comes of it -------------------------------------------------------------------------------------


def deliver(make: Factory, payload: bytes) -> httpx.Response:
    """Stripe sends an event."""
    header = {"Stripe-Signature": signed(payload, secret=make.stack.settings.stripe_webhook_secret)}
    with Api(make.stack.base_url) as api:
        return api.call("POST", "stripe-webhook", content=payload, headers=header)


def state(make: Factory, event_id: str) -> str | None:
    with make.database.transaction() as tx:
        found: str | None = tx.scalar(select(inbox.c.state).where(inbox.c.event_id == event_id))
        return found


def id_of(payload: bytes) -> str:
    return str(json.loads(payload)["id"])


def customer_of(make: Factory, person: Person) -> str:
    with make.database.transaction() as tx:
        return str(
            tx.scalar(
                select(billing_accounts.c.stripe_customer_id).where(billing_accounts.c.user_id == person.id)
            )
        )


def changes(make: Factory, person: Person) -> int:
    with make.database.transaction() as tx:
        counted = select(func.count()).select_from(audit_log)
        return tx.execute(
            counted.where(audit_log.c.user_id == person.id, audit_log.c.kind == "entitlement_changed")
        ).scalar_one()


def test_many_webhooks_of_one_account_at_once(make: Factory) -> None:
    person = make.subscriber()
    customer = customer_of(make, person)
    types = ["customer.subscription.updated", "invoice.paid", "checkout.session.completed"]
    payloads = [event(customer, type_) for type_ in types * 2]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda payload: deliver(make, payload), [*payloads, *payloads]))
    assert [answer.status_code for answer in answers] == [200] * 12
    wait_for(lambda: all(state(make, id_of(payload)) == "processed" for payload in payloads))
    assert changes(make, person) == 1, "twelve deliveries of six events changed nothing more"
    with make.database.transaction() as tx:
        mine = select(subscriptions.c.status).where(subscriptions.c.user_id == person.id)
        assert list(tx.execute(mine).scalars()) == ["active"]
    assert person.api.get("account").json()["entitlement"]["plan"] == "basic"


def test_nobody_without_the_secret_sends_events(make: Factory) -> None:
    payload = event("cus_1")
    header = {"Stripe-Signature": signed(payload, secret="whsec_wrong")}
    for headers in (header, {}):
        response = make.client().call("POST", "stripe-webhook", content=payload, headers=headers)
        refused(response, 400, "invalid_signature")
    assert state(make, id_of(payload)) is None


def test_from_paid_to_entitled(make: Factory) -> None:
    person = make.person()
    make.pay(person)
    paid = time.monotonic()
    wait_for(lambda: person.api.get("account").json()["entitlement"]["active"], 2)
    print(f"entitled {time.monotonic() - paid:.2f} s after the payment")
    assert changes(make, person) == 1


def is_quiet(make: Factory, customer: str) -> bool:
    """Whether all that happened to the customer at Stripe has arrived here and been dealt with."""
    response = httpx.get(
        f"{make.stack.base_url}/sandbox/stripe/v1/events",
        params={"limit": 100},
        headers={"Authorization": f"Bearer {make.stack.settings.stripe_secret_key}"},
    )
    told = [found for found in response.json()["data"] if customer in json.dumps(found["data"])]
    with make.database.transaction() as tx:
        waiting = select(func.count()).select_from(inbox)
        waiting = waiting.where(inbox.c.customer_id == customer, inbox.c.state == "received")
        count = tx.execute(waiting).scalar_one()
    return bool(told) and not any(found["pending_webhooks"] for found in told) and count == 0


def test_reconcile_mends_what_was_left(make: Factory) -> None:
    """A paid account without its entitlement, and an event whose task got lost."""
    person = make.subscriber()
    customer = customer_of(make, person)
    wait_for(lambda: is_quiet(make, customer))
    event_id, long_ago = f"evt_{uuid.uuid4().hex}", datetime.now(UTC) - timedelta(minutes=5)
    left = insert(inbox).values(
        event_id=event_id,
        type="invoice.paid",
        customer_id=customer,
        state="received",
        enqueues=1,
        enqueued_at=long_ago,
    )
    with make.database.transaction() as tx:
        tx.execute(entitlements.delete().where(entitlements.c.user_id == person.id))
        tx.execute(left)
    assert person.api.get("account").json()["entitlement"]["active"] is False
    found = call(make, "reconcile", identity(make.stack.settings, "reconcile")).json()["found"]["billing"]
    # The scheduler may have been quicker by a moment.
    assert found["events_left"] >= found["events_enqueued"] >= 0
    wait_for(lambda: person.api.get("account").json()["entitlement"]["active"])
    assert state(make, event_id) == "processed"


def test_reconcile_deletes_what_is_over(make: Factory) -> None:
    key = f"account:{uuid.uuid4().hex}"
    ended = datetime.now(UTC) - timedelta(minutes=1)
    with make.database.transaction() as tx:
        tx.execute(insert(attempts).values(key=key, count=1, window_ends_at=ended))
    found = call(make, "reconcile", identity(make.stack.settings, "reconcile")).json()["found"]["retention"]
    assert {"attempts", "audit_log", "idempotency_keys", "inbox", "sessions"} <= set(found)
    with make.database.transaction() as tx:
        assert tx.scalar(select(attempts.c.count).where(attempts.c.key == key)) is None
