"""register, login, account: what they answer, what they refuse, what they keep."""

import base64
import hashlib
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
from sqlalchemy import func, select, update

from infra.local.supervisor import ADMIN_EMAIL
from lib.accounts.overview import Overviews
from lib.billing.membership import AccountMembership
from lib.config import Environment
from lib.database.engine import Database
from lib.database.schema import attempts, audit_log, refresh_tokens, sessions, users
from lib.errors import InvalidTokenError
from lib.web.ports import SystemClock
from tests.api import Api, refused
from tests.factories import PASSWORD, Factory


def address() -> str:
    return f"{uuid.uuid4().hex}@example.com"


def test_register(api: Api, environment: dict[str, str]) -> None:
    email = address()
    answer = api.post("register", {"email": email, "password": PASSWORD, "name": "  Ada Été  "})
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    found = answer.json()
    user = found["user"]
    assert (user["email"], user["name"], user["role"]) == (email, "Ada Été", "viewer")
    assert user["email_verified"] is False
    assert found["token_type"] == "Bearer"
    assert (found["expires_in"], found["refresh_expires_in"]) == (900, 30 * 86400)
    payload = jwt.decode(found["access_token"], options={"verify_signature": False})
    assert (payload["sub"], payload["iss"], payload["aud"]) == (
        user["id"],
        environment["TOKEN_ISSUER"],
        environment["TOKEN_AUDIENCE"],
    )
    # 256 random bits.
    assert len(base64.urlsafe_b64decode(found["refresh_token"] + "=")) == 32


def test_an_account_is_there_at_once(make: Factory) -> None:
    person = make.person(name="Ada")
    found = person.api.get("account").json()
    assert (found["user"]["id"], found["user"]["email"]) == (str(person.id), person.email)
    assert found["subscription"] is None
    assert found["entitlement"] == {
        "active": False,
        "plan": None,
        "level": 0,
        "reason": "none",
        "until": None,
    }
    (session,) = found["sessions"]
    assert session["current"] is True
    assert session["device_name"] is None


def test_an_email_is_one_in_any_case(api: Api) -> None:
    name = uuid.uuid4().hex
    created = api.post("register", {"email": f"{name.upper()}@Example.COM", "password": PASSWORD})
    assert created.json()["user"]["email"] == f"{name}@example.com"
    again = api.post("register", {"email": f"{name}@EXAMPLE.com", "password": PASSWORD})
    refused(again, 409, "email_taken")
    found = api.post("login", {"email": f"{name.title()}@example.COM", "password": PASSWORD})
    assert found.json()["user"] == created.json()["user"]


def test_every_bad_field_at_once(api: Api) -> None:
    problem = refused(
        api.post("register", {"email": "nobody", "password": 7, "name": " ", "role": "admin"}),
        422,
        "invalid_request",
    )
    assert sorted(error["field"] for error in problem["errors"]) == ["email", "name", "password", "role"]
    problem = refused(api.post("login", {"device_name": "x" * 201, "otp": 1}), 422, "invalid_request")
    assert sorted(error["field"] for error in problem["errors"]) == [
        "device_name",
        "email",
        "otp",
        "password",
    ]


@pytest.mark.parametrize("password", ["short", "", "VIEWER@example.com"])
def test_weak_passwords(api: Api, password: str) -> None:
    problem = refused(
        api.post("register", {"email": "viewer@example.com", "password": password}), 422, "weak_password"
    )
    assert [error["field"] for error in problem["errors"]] == ["password"]


def test_nobody_registers_as_an_admin(api: Api, database: Database) -> None:
    email = address()
    body = {"email": email, "password": PASSWORD, "role": "admin"}
    refused(api.post("register", body), 422, "invalid_request")
    with database.transaction() as tx:
        assert tx.execute(select(func.count()).where(users.c.email == email)).scalar() == 0


def test_of_many_who_register_one_address_one_succeeds(make: Factory, database: Database) -> None:
    email = address()
    clients = [make.client() for _ in range(8)]
    with ThreadPoolExecutor(len(clients)) as pool:
        answers = list(
            pool.map(lambda client: client.post("register", {"email": email, "password": PASSWORD}), clients)
        )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    with database.transaction() as tx:
        (user_id,) = tx.execute(select(users.c.id).where(users.c.email == email)).one()
        assert tx.execute(select(func.count()).where(sessions.c.user_id == user_id)).scalar() == 1


def test_wrong_passwords_and_unknown_emails_look_alike(make: Factory) -> None:
    person = make.person()
    wrong = make.client().post("login", {"email": person.email, "password": "not the right one"})
    unknown = make.client().post("login", {"email": address(), "password": "not the right one"})
    answers = []
    for response in (wrong, unknown):
        problem = refused(response, 401, "invalid_credentials")
        assert response.headers["WWW-Authenticate"] == "Bearer"
        problem.pop("request_id")
        headers = {name for name in response.headers if name != "x-request-id"}
        answers.append((problem, headers))
    assert answers[0] == answers[1]


def test_the_password_counts_to_the_letter(make: Factory) -> None:
    person = make.person(password="e\u0301te\u0301 au Bord")
    make.login(person.email, "\u00e9t\u00e9 au Bord")
    for wrong in ("\u00e9t\u00e9 au bord", "\u00e9t\u00e9 au Bord ", "ete au Bord"):
        answer = make.client().post("login", {"email": person.email, "password": wrong})
        refused(answer, 401, "invalid_credentials")


def test_after_ten_wrong_passwords_even_the_right_one_waits(make: Factory, database: Database) -> None:
    person = make.person()
    client = make.client()
    wrong = {"email": person.email, "password": "not the right one"}
    for _ in range(10):
        refused(client.post("login", wrong), 401, "invalid_credentials")
    for password in ("not the right one", PASSWORD):
        answer = client.post("login", {"email": person.email.upper(), "password": password})
        refused(answer, 429, "too_many_attempts")
        assert 0 < int(answer.headers["Retry-After"]) <= 15 * 60
    # Other accounts are not concerned, nor is who is logged in.
    assert make.person().api.get("account").status_code == 200
    assert person.api.get("account").status_code == 200
    # The window's end, made to come at once.
    # From where the account was made.
    key = "account:" + hashlib.sha256(person.email.encode()).hexdigest() + ":127.0.0.1"
    with database.transaction() as tx:
        assert tx.execute(
            update(attempts).where(attempts.c.key == key).values(window_ends_at=func.now())
        ).rowcount == 1  # fmt: skip
    make.login(person.email)


def test_unknown_emails_wait_alike(make: Factory) -> None:
    client = make.client()
    body = {"email": address(), "password": PASSWORD}
    for _ in range(10):
        refused(client.post("login", body), 401, "invalid_credentials")
    answer = client.post("login", body)
    refused(answer, 429, "too_many_attempts")
    assert "Retry-After" in answer.headers


def test_a_success_makes_up_for_failures(make: Factory) -> None:
    person = make.person()
    client = make.client()
    wrong = {"email": person.email, "password": "not the right one"}
    for _ in range(2):
        for _ in range(6):
            refused(client.post("login", wrong), 401, "invalid_credentials")
        make.login(person.email)


def test_attempts_at_once_are_all_counted(make: Factory) -> None:
    email = address()
    clients = [make.client() for _ in range(14)]
    body = {"email": email, "password": "not the right one"}
    with ThreadPoolExecutor(len(clients)) as pool:
        found = sorted(pool.map(lambda client: client.post("login", body).status_code, clients))
    assert found == [401] * 10 + [429] * 4


def test_logins_are_listed(make: Factory) -> None:
    person = make.person()
    phone = make.login(person.email, device_name="Phone")
    tablet = make.login(person.email, device_name="Tablet")
    listed = tablet.api.get("account").json()["sessions"]
    assert [session["device_name"] for session in listed] == ["Tablet", "Phone", None]
    assert [session["current"] for session in listed] == [True, False, False]
    assert all(session["address"] for session in listed)
    current = [s["id"] for s in phone.api.get("account").json()["sessions"] if s["current"]]
    assert current == [listed[1]["id"]]
    # Nobody sees another's.
    assert len(make.person().api.get("account").json()["sessions"]) == 1


def test_an_ended_login_is_over_at_once(make: Factory, database: Database) -> None:
    person = make.person()
    other = make.login(person.email)
    with database.transaction() as tx:
        first = select(sessions.c.id).where(sessions.c.user_id == person.id).order_by(sessions.c.created_at)
        tx.execute(
            update(sessions)
            .where(sessions.c.id == first.limit(1).scalar_subquery())
            .values(revoked_at=func.now())
        )
    refused(person.api.get("account"), 401, "invalid_token")
    assert len(other.api.get("account").json()["sessions"]) == 1


def test_only_hashes_are_kept(make: Factory, database: Database) -> None:
    password = f"password-{uuid.uuid4().hex}"
    person = make.person(password=password)
    login = make.login(person.email, password)
    with database.transaction() as tx:
        kept = tx.execute(
            select(refresh_tokens.c.token_hash)
            .join(sessions, sessions.c.id == refresh_tokens.c.session_id)
            .where(sessions.c.user_id == person.id)
        ).scalars()
        assert set(kept) == {
            hashlib.sha256(token.encode()).digest() for token in (person.refresh_token, login.refresh_token)
        }
        (password_hash,) = tx.execute(select(users.c.password_hash).where(users.c.id == person.id)).one()
    assert password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_an_old_hash_is_renewed_at_login(make: Factory, database: Database) -> None:
    from argon2 import PasswordHasher

    person = make.person()
    weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    with database.transaction() as tx:
        tx.execute(update(users).where(users.c.id == person.id).values(password_hash=weak))
    make.login(person.email)
    with database.transaction() as tx:
        (renewed,) = tx.execute(select(users.c.password_hash).where(users.c.id == person.id)).one()
    assert "m=19456,t=2" in renewed
    make.login(person.email)


def test_what_happened_is_recorded(make: Factory, database: Database) -> None:
    person = make.person()
    make.login(person.email)
    with database.transaction() as tx:
        lines = tx.execute(
            select(audit_log.c.kind, audit_log.c.actor)
            .where(audit_log.c.user_id == person.id)
            .order_by(audit_log.c.id)
        ).all()
    assert [line.kind for line in lines] == ["registered", "logged_in"]
    assert {line.actor for line in lines} == {f"user:{person.id}"}


def test_who_is_gone_since_the_token_was_checked(database: Database, environment: dict[str, str]) -> None:
    membership = AccountMembership(SystemClock(), Environment(environment).plans())
    overviews = Overviews(database, membership)
    with pytest.raises(InvalidTokenError):
        overviews.of(uuid.uuid4())


def test_the_admin_has_access_as_staff(make: Factory) -> None:
    found = make.admin().api.get("account").json()
    assert (found["user"]["email"], found["user"]["role"]) == (ADMIN_EMAIL, "admin")
    assert found["entitlement"]["reason"] == "staff"
    assert found["entitlement"]["active"] is True


HARD: list[tuple[str, bytes, int, str]] = [
    (
        "NUL in the email",
        b'{"email":"a\\u0000@example.com","password":"long enough"}',
        422,
        "invalid_request",
    ),
    ("NUL in the name", b'{"email":"%s","password":"long enough","name":"a\\u0000"}', 422, "invalid_request"),
    ("NUL in the password", b'{"email":"%s","password":"long \\u0000 enough"}', 201, ""),
    ("a lone surrogate", b'{"email":"%s","password":"long \\ud800 enough"}', 400, "malformed_request"),
    (
        "a lone surrogate in the email",
        b'{"email":"\\udfff@example.com","password":"x"}',
        400,
        "malformed_request",
    ),
    ("invalid UTF-8", b'{"email":"%s","password":"long \xff enough"}', 400, "malformed_request"),
    ("depth", b'{"email":' + b"[" * 10_000 + b"]" * 10_000 + b"}", 400, "malformed_request"),
    ("deep objects", b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400, "malformed_request"),
    ("a huge number", b'{"email":"%s","password":' + b"9" * 50_000 + b"}", 400, "malformed_request"),
    ("a huge exponent", b'{"email":1e999999,"password":"long enough"}', 422, "invalid_request"),
    ("not a number", b'{"email":NaN,"password":"long enough"}', 422, "invalid_request"),
    ("a byte order mark", b'\xef\xbb\xbf{"email":"%s","password":"long enough"}', 400, "malformed_request"),
    ("emoji", '{"email":"%s","password":"🎬🎬🎬🎬🎬🎬🎬🎬","name":"🎬"}'.encode(), 201, ""),
    ("a name of spaces", b'{"email":"%s","password":"long enough","name":"   "}', 422, "invalid_request"),
    ("many emails", b'{"email":["%s"],"password":"long enough"}', 422, "invalid_request"),
]


@pytest.mark.parametrize(
    ("body", "status", "code"), [case[1:] for case in HARD], ids=[case[0] for case in HARD]
)
def test_bodies_that_are_hard_to_read(api: Api, body: bytes, status: int, code: str) -> None:
    content = body.replace(b"%s", address().encode())
    headers = {"Content-Type": "application/json"}
    answer = api.call("POST", "register", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    if status >= 400:
        refused(answer, status, code)


@pytest.mark.parametrize(
    "email",
    [
        "İ@example.com",
        "ẞ@example.com",
        "ǅ@example.com",
        "Σς@example.com",
        "ﬀ@example.com",
        "a@ÉXAMPLE.com",
        "K@example.com",
    ],
)
def test_letters_whose_case_is_odd(api: Api, email: str) -> None:
    """What Python calls lower case PostgreSQL must too: an account, or a refusal, and a login after it."""
    local, _, domain = email.partition("@")
    unique = f"{local}{uuid.uuid4().hex[:12]}@{domain}"
    created = api.post("register", {"email": unique, "password": PASSWORD})
    assert created.status_code in (201, 422), created.text
    if created.status_code == 201:
        assert api.post("login", {"email": unique, "password": PASSWORD}).status_code == 200


def test_jwks_checks_a_token(make: Factory, environment: dict[str, str]) -> None:
    person = make.person()
    assert person.api.token is not None
    keys: dict[str, Any] = make.client().get("jwks").json()
    assert all(set(key) == {"kty", "crv", "use", "alg", "kid", "x", "y"} for key in keys["keys"])
    private = {key["d"] for key in json.loads(environment["ACCESS_TOKEN_KEYS"])["keys"]}
    assert not [part for part in private if part in json.dumps(keys)]
    key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(person.api.token)["kid"]]
    claims = jwt.decode(person.api.token, key, algorithms=["ES256"], audience="streamly")
    assert claims["sub"] == str(person.id)
