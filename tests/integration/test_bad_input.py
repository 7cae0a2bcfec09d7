"""Bad input at every operation of openapi.json: the contract's refusal, never a fault.

The table is made from the description, so an operation that is added is tried without a line here.
Answers are checked against the description too (tests/api.py).
"""

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm

from infra.local.openapi import OPERATIONS
from infra.local.page_files import VIEWS
from infra.local.supervisor import Stack
from lib.web.operation import Operation, Who
from tests.api import Api, described, refused
from tests.factories import Factory
from tests.machines import identity

NAMES = [f"{operation.method} {operation.function}" for operation in OPERATIONS]
JSON = {"Content-Type": "application/json"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND")
WEBHOOKS = [operation for operation in OPERATIONS if operation.raw]
BODIES = [operation for operation in OPERATIONS if operation.body]
GUARDED = [operation for operation in OPERATIONS if operation.who is not Who.ANYONE]


def ids(operations: list[Operation]) -> list[str]:
    return [f"{operation.method} {operation.function}" for operation in operations]


@dataclass
class Callers:
    """A client for each kind of caller, allowed wherever that kind is."""

    stranger: Api
    admin: Api
    services: Mapping[str, Api]

    def allowed(self, operation: Operation) -> Api:
        if operation.who is Who.ANYONE:
            return self.stranger
        return self.services[operation.function] if operation.who is Who.SERVICE else self.admin


@pytest.fixture(scope="module")
def callers(stack: Stack, database: Any) -> Iterator[Callers]:
    with Factory(stack, database) as factory:
        yield Callers(
            factory.client(),
            factory.admin().api,
            {
                operation.function: factory.client(identity(stack.settings, operation.function))
                for operation in OPERATIONS
                if operation.who is Who.SERVICE
            },
        )


def schema_of(operation: Operation) -> dict[str, Any]:
    assert operation.body is not None
    found: dict[str, Any] = described()["components"]["schemas"][operation.body.__name__]
    return found


def kinds(schema: Mapping[str, Any]) -> set[str]:
    """The JSON types a field takes."""
    options = schema.get("anyOf", [schema])
    return {
        option.get("type", "string" if "enum" in option or "const" in option else "object")
        for option in options
    }


OF_TYPE: dict[str, Any] = {
    "string": "text",
    "integer": 7,
    "number": 7.5,
    "boolean": True,
    "null": None,
    "array": [],
    "object": {},
}


def wrong_fields() -> Iterator[tuple[Operation, str, Any]]:
    """Every field of every body with a value of every type it does not take."""
    for operation in BODIES:
        for name, schema in schema_of(operation).get("properties", {}).items():
            for kind, value in OF_TYPE.items():
                # A number may be written 7 or 7.0; whole numbers only as 7.
                if kind not in kinds(schema) and not (kind == "integer" and "number" in kinds(schema)):
                    yield operation, name, value


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_wrong_methods(callers: Callers, operation: Operation) -> None:
    known = {found.method for found in OPERATIONS if found.function == operation.function}
    anyone = operation.who in (Who.ANYONE, Who.EITHER)
    known |= {"HEAD"} if anyone and "GET" in known else set()
    # Locally the links of mails lead to the client's pages, where the gateway has them.
    paged = {"GET", "HEAD"} if f"/{operation.function}".encode() in VIEWS else set()
    for method in METHODS:
        if method in known | paged:
            continue
        # As a raw request: the description has no such operation to check against.
        answer = callers.stranger.http.request(method, f"/{operation.function}")
        assert answer.status_code == 405, method
        assert set(answer.headers["Allow"].split(", ")) == known | {"OPTIONS"}
        if method != "HEAD":
            refused(answer, 405, "method_not_allowed")


@pytest.mark.parametrize("operation", BODIES, ids=ids(BODIES))
def test_unreadable_bodies(callers: Callers, operation: Operation) -> None:
    client, method = callers.allowed(operation), operation.method
    for body in (
        b"[]",
        b"null",
        b"true",
        b'"text"',
        b"{",
        b"\xff",
        b'{"a":"\xc3"}',
        b'{"a":"\\ud800"}',
        b"[" * 10_000,
        b'{"a":' * 9_000,
        b'{"a":' + b"9" * 30_000 + b"}",
        b"a=b&c=d",
    ):
        answer = client.call(method, operation.function, content=body, headers=JSON)
        refused(answer, 400, "malformed_request")
    for media_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
    ):
        headers = {"Content-Type": media_type}
        answer = client.call(method, operation.function, content=b"{}", headers=headers)
        refused(answer, 415, "unsupported_media_type")
    refused(
        client.call(method, operation.function, content=b" " * 65_537, headers=JSON), 413, "body_too_large"
    )


# Fields of which one is needed, named by the first.
ONE_OF = {"create-checkout": ["plan"]}


@pytest.mark.parametrize("operation", BODIES, ids=ids(BODIES))
def test_unknown_and_missing_fields(callers: Callers, operation: Operation) -> None:
    client, schema = callers.allowed(operation), schema_of(operation)
    required = schema.get("required", []) or ONE_OF.get(operation.function, [])
    problem = refused(
        client.call(operation.method, operation.function, json={"no_such_field": 1, "__proto__": {}}),
        422,
        "invalid_request",
    )
    found = {error["field"]: error["code"] for error in problem["errors"]}
    assert found == {"no_such_field": "unknown_field", "__proto__": "unknown_field"} | dict.fromkeys(
        required, "required"
    )
    if required:
        empty = client.call(operation.method, operation.function)
        errors = refused(empty, 422, "invalid_request")["errors"]
        assert sorted(error["field"] for error in errors) == sorted(required)


@pytest.mark.parametrize("operation", BODIES, ids=ids(BODIES))
def test_wrong_types(callers: Callers, operation: Operation) -> None:
    cases = [(name, value) for found, name, value in wrong_fields() if found is operation]
    for name, value in cases:
        answer = callers.allowed(operation).call(operation.method, operation.function, json={name: value})
        problem = refused(answer, 422, "invalid_request")
        assert name in {error["field"].split(".")[0] for error in problem["errors"]}, (name, value)
    assert bool(cases) == bool(schema_of(operation).get("properties"))


@pytest.mark.parametrize("operation", WEBHOOKS, ids=ids(WEBHOOKS))
def test_webhooks_without_a_good_signature(callers: Callers, operation: Operation) -> None:
    name = "Stripe-Signature" if operation.function == "stripe-webhook" else "mux-signature"
    now = int(time.time())
    for value in (
        None,
        "",
        "x",
        "t=,v1=",
        f"t={now}",
        f"t={now},v1={'0' * 64}",
        f"t={now},v1=\xe9",
        "=" * 4000,
    ):
        headers = {} if value is None else {name: value.encode("latin-1")}
        for body in (b"", b"{}", b"\xff\x00", b"[" * 10_000):
            answer = callers.stranger.call("POST", operation.function, content=body, headers=headers)
            refused(answer, 400, "invalid_signature")
    answer = callers.stranger.call("POST", operation.function, content=b" " * ((1 << 20) + 1))
    refused(answer, 413, "body_too_large")


def forged_tokens(stack: Stack, good: str) -> dict[str, str]:
    """Access tokens with something wrong, each otherwise as good as can be."""
    (key,) = json.loads(stack.settings.access_token_keys)["keys"]
    ours = ECAlgorithm(ECAlgorithm.SHA256).from_jwk(key)
    headers = {"kid": key["kid"], "typ": "at+jwt"}
    claims = jwt.decode(good, options={"verify_signature": False})

    def signed(**changes: Any) -> str:
        return jwt.encode(claims | changes, ours, algorithm="ES256", headers=headers)  # type: ignore[arg-type]

    foreign = ec.generate_private_key(ec.SECP256R1())
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return {
        "expired": signed(iat=1, nbf=1, exp=2),
        "not yet valid": signed(nbf=int(time.time()) + 600),
        "of another issuer": signed(iss="https://evil.example"),
        "for another audience": signed(aud="other"),
        "of nobody's login": signed(sid=str(uuid.uuid4())),
        "of somebody else's login": signed(sub=str(uuid.uuid4())),
        "signed by a foreign key": jwt.encode(claims, foreign, algorithm="ES256", headers=headers),
        "of another kind": jwt.encode(claims, rsa_key, algorithm="RS256", headers=headers),
        "unsigned": jwt.encode(claims, None, algorithm="none", headers=headers),  # type: ignore[arg-type]
        "without typ": jwt.encode(claims, ours, algorithm="ES256", headers={"kid": key["kid"]}),  # type: ignore[arg-type]
        "of a service": identity(stack.settings, "another-function"),
        "garbage": "a.b.c",
        "long garbage": "x" * 6000,
        "deep garbage": "W1tb" * 1000 + ".e30.x",
    }


@pytest.mark.parametrize("operation", GUARDED, ids=ids(GUARDED))
def test_bad_tokens(stack: Stack, callers: Callers, operation: Operation) -> None:
    good = callers.admin.token
    assert good is not None
    tokens = {
        f"Bearer {token}"
        for name, token in forged_tokens(stack, good).items()
        # Found out with the handler's own question to the database: see below.
        if not (operation.who is Who.TOKEN and name.endswith("login"))
    }
    tokens |= {"", "Bearer", f"Basic {good}", good, "Bearer \xe9\xff"}
    if operation.who is Who.SERVICE:
        function = operation.function
        tokens |= {
            f"Bearer {good}",
            f"Bearer {identity(stack.settings, function, aud=stack.base_url + '/other')}",
            f"Bearer {identity(stack.settings, function, iss='https://accounts.google.com')}",
            f"Bearer {identity(stack.settings, function, exp=int(time.time()) - 60)}",
        }
        stranger = {"Authorization": f"Bearer {identity(stack.settings, function, email='evil@project')}"}
        answer = callers.stranger.call(operation.method, function, json={}, headers=stranger)
        refused(answer, 403, "forbidden")
    for token in tokens:
        headers = {"Authorization": token.encode("latin-1")}
        # The body is bad too: whoever has no token is told nothing about bodies.
        answer = callers.stranger.call(
            operation.method,
            operation.function,
            content=b"{",
            headers=headers | {"Content-Type": "text/plain"},
        )
        refused(answer, 401, "invalid_token")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("whose", ["of nobody's login", "of somebody else's login"])
def test_logins_that_are_none(stack: Stack, callers: Callers, whose: str) -> None:
    """Signed by us, but the database does not know that login: the functions that ask it only once."""
    good = callers.admin.token
    assert good is not None
    headers = {"Authorization": f"Bearer {forged_tokens(stack, good)[whose]}"}
    some = str(uuid.uuid4())
    client = callers.stranger
    refused(
        client.call("GET", "get-playback", params={"video_id": some}, headers=headers), 401, "invalid_token"
    )
    body = {"session_id": some, "position": 1}
    refused(client.call("POST", "heartbeat", json=body, headers=headers), 401, "invalid_token")
    assert [found.function for found in GUARDED if found.who is Who.TOKEN] == ["get-playback", "heartbeat"]


@pytest.mark.parametrize("operation", GUARDED, ids=ids(GUARDED))
def test_viewers_are_no_admins_and_people_no_machines(make: Factory, operation: Operation) -> None:
    if operation.who not in (Who.ADMIN, Who.SERVICE):
        return
    viewer = make.person().api
    body = {"title": "A film"} if operation.who is Who.ADMIN else {}
    answer = viewer.call(operation.method, operation.function, json=body)
    assert answer.status_code == (403 if operation.who is Who.ADMIN else 401)


QUERIES: list[tuple[str, list[tuple[str, str]], int, str]] = [
    ("get-playback", [], 422, "invalid_request"),
    ("get-playback", [("video_id", "")], 422, "invalid_request"),
    *(
        ("get-playback", [("video_id", value)], 404, "video_not_found")
        for value in ("x", "1", "\x00", "' OR 1=1 --", "é" * 36, str(uuid.uuid4()), "0" * 36, "9" * 5000)
    ),
    ("get-playback", [("video_id", str(uuid.uuid4())), ("takeover", "\x00")], 404, "video_not_found"),
    *(
        ("list-videos", [("limit", value)], 422, "invalid_request")
        for value in (
            "0",
            "101",
            "-1",
            "1.5",
            "x",
            "",
            " 1",
            "+1",
            "٣",
            "9" * 10,
            "9" * 5000,
            "0000000019999",
        )
    ),
    *(
        ("list-videos", [("cursor", value)], 400, "malformed_request")
        for value in ("x", "\x00", "é", "AAAA", "A" * 33, "_" * 32, "9" * 5000, "%00")
    ),
    ("list-videos", [("q", "a\x00b")], 422, "invalid_request"),
    ("list-videos", [("q", "x" * 201)], 422, "invalid_request"),
]


@pytest.mark.parametrize(("function", "query", "status", "code"), QUERIES)
def test_bad_queries(
    callers: Callers, function: str, query: list[tuple[str, str]], status: int, code: str
) -> None:
    answer = callers.admin.call("GET", function, params=query)
    refused(answer, status, code)


@pytest.mark.parametrize(
    "query", ["q=%", "q=_", "q=%25%5C", "q=%FF%FE", "q=\\", "unknown=1", "q=a&q=b", "cursor="]
)
def test_odd_queries_that_are_fine(callers: Callers, query: str) -> None:
    assert (
        callers.stranger.call("GET", f"list-videos?{query}".partition("?")[0], params=query).status_code
        == 200
    )


def test_unknown_addresses(callers: Callers) -> None:
    http = callers.stranger.http
    for path in (
        "/nothing",
        "/login/x",
        "/LOGIN",
        "/lib",
        "/functions.login",
        "/login%00",
        "/%ff",
        "/_private",
        "/main.py",
    ):
        for method in ("GET", "POST"):
            answer = http.request(method, path)
            assert answer.headers["Content-Type"] == "application/problem+json", path
            assert answer.status_code == 404, path


IDEMPOTENT = [operation for operation in OPERATIONS if operation.idempotent]


@pytest.mark.parametrize("operation", IDEMPOTENT, ids=ids(IDEMPOTENT))
@pytest.mark.parametrize("key", ["", "x" * 256])
def test_bad_idempotency_keys(callers: Callers, operation: Operation, key: str) -> None:
    body = TAKEN[operation.function]
    answer = callers.admin.call("POST", operation.function, json=body, headers={"Idempotency-Key": key})
    refused(answer, 422, "invalid_request")


# Bodies that would be taken, for the operations that keep or pass on what they are told.
TAKEN: dict[str, dict[str, Any]] = {
    "register": {"email": "nul@example.com", "password": "long enough"},
    "login": {"email": "nul@example.com", "password": "long enough"},
    "refresh": {"refresh_token": "x"},
    "logout": {},
    "upload-asset": {"title": "A film"},
    "create-checkout": {"plan": "basic"},
    "confirm-checkout": {"session_id": "cs_1"},
    "redeem": {"code": "ABCDE-FGHJK-MNPQR-STVWX"},
    "heartbeat": {"session_id": str(uuid.uuid4()), "position": 1},
}


@pytest.mark.parametrize("operation", BODIES, ids=ids(BODIES))
def test_a_nul_in_any_text(callers: Callers, operation: Operation) -> None:
    """PostgreSQL keeps no NUL: it is refused, or looked up and not found, and never a fault."""
    for name, schema in schema_of(operation).get("properties", {}).items():
        if "string" in kinds(schema) and not name.endswith("password"):
            body = TAKEN.get(operation.function, {}) | {name: "a\x00b"}
            answer = callers.allowed(operation).call(operation.method, operation.function, json=body)
            looked_up = answer.status_code == 400 and answer.json()["code"] == "invalid_link"
            assert looked_up or answer.status_code in (401, 404, 422), (name, answer.text)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["\x00", " ", "x" * 6000, "' OR 1=1 --", "../..", "${jndi:x}", str(uuid.uuid4())]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize("operation", BODIES, ids=ids(BODIES))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_anything_else(callers: Callers, operation: Operation, data: st.DataObject) -> None:
    """Whatever is in the fields: an answer that the description knows, and no fault."""
    names = list(schema_of(operation).get("properties", {}))
    body = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys([*names, "other"], VALUES)))
    try:
        content = json.dumps(body).encode()
    except UnicodeEncodeError:
        return
    client = callers.allowed(operation)
    answer: httpx.Response = client.call(operation.method, operation.function, content=content, headers=JSON)
    assert answer.status_code < 500, answer.text
