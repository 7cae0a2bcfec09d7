"""Access tokens: what is wrong with one is always answered alike."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import flask
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

from lib.accounts.keys import JWKS, jwks
from lib.adapters.jwt_tokens import JwtTokens
from lib.config import TokenSettings, WebSettings
from lib.errors import InvalidTokenError
from lib.web.function import serve
from lib.web.operation import Call
from lib.web.ports import Claims

ISSUER, AUDIENCE = "https://api.example.com", "streamly"
CLAIMS = Claims(uuid.uuid4(), uuid.uuid4())


def private_key(kid: str) -> dict[str, Any]:
    key: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1())))
    return key | {"kid": kid, "use": "sig", "alg": "ES256"}


OLD, NEW, FOREIGN = private_key("old"), private_key("new"), private_key("new")
SETTINGS = TokenSettings((NEW, OLD), ISSUER, AUDIENCE, 900)
TOKENS = JwtTokens(SETTINGS)


def parsed(key: Mapping[str, Any]) -> Any:
    return ECAlgorithm(ECAlgorithm.SHA256).from_jwk(dict(key))


def forge(
    payload: Mapping[str, Any] | None = None,
    *,
    header: Mapping[str, Any] | None = None,
    key: Mapping[str, Any] = NEW,
    without: tuple[str, ...] = (),
) -> str:
    """A token as ours but for the changes."""
    now = int(datetime.now(UTC).timestamp())
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(CLAIMS.user_id),
        "sid": str(CLAIMS.session_id),
        "iat": now,
        "nbf": now,
        "exp": now + 900,
    } | dict(payload or {})
    headers = {"kid": "new", "typ": "at+jwt"} | dict(header or {})
    kept = {name: value for name, value in claims.items() if name not in without}
    # Not `jwt.encode`, which refuses to write some of what a forger would.
    return jwt.PyJWS().encode(
        json.dumps(kept).encode(),
        parsed(key),
        algorithm="ES256",
        headers={name: value for name, value in headers.items() if name not in without},
    )


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def refused(token: str) -> None:
    with pytest.raises(InvalidTokenError):
        TOKENS.verify(token)


def test_there_and_back() -> None:
    token, lifetime = TOKENS.issue(CLAIMS, now=datetime.now(UTC))
    assert lifetime == 900
    assert TOKENS.verify(token) == CLAIMS
    assert TOKENS.verify(forge()) == CLAIMS


def test_what_a_token_says() -> None:
    now = datetime.now(UTC)
    token, _ = TOKENS.issue(CLAIMS, now=now)
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": "new", "typ": "at+jwt"}
    payload = jwt.decode(token, options={"verify_signature": False})
    assert set(payload) == {"iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp"}
    assert payload["exp"] - payload["iat"] == 900
    assert payload["iat"] == int(now.timestamp())


def test_rotation() -> None:
    """A new first key signs; what the old one signed is good until it goes."""
    before, _ = JwtTokens(replace(SETTINGS, keys=(OLD,))).issue(CLAIMS, now=datetime.now(UTC))
    assert TOKENS.verify(before) == CLAIMS
    after, _ = TOKENS.issue(CLAIMS, now=datetime.now(UTC))
    assert jwt.get_unverified_header(after)["kid"] == "new"
    with pytest.raises(InvalidTokenError):
        JwtTokens(replace(SETTINGS, keys=(NEW,))).verify(before)


def test_time() -> None:
    now = datetime.now(UTC)
    expired, _ = TOKENS.issue(CLAIMS, now=now - timedelta(seconds=901))
    refused(expired)
    early, _ = TOKENS.issue(CLAIMS, now=now + timedelta(seconds=60))
    refused(early)


def test_a_token_that_was_seen_before_ends_all_the_same() -> None:
    ends = datetime.now(UTC) + timedelta(seconds=2)
    token, lifetime = TOKENS.issue(CLAIMS, now=ends - timedelta(seconds=900))
    assert TOKENS.verify(token) == TOKENS.verify(token) == CLAIMS
    time.sleep(max(0.0, int(ends.timestamp()) - time.time()) + 0.05)
    assert lifetime == 900
    refused(token)


def test_clocks_that_differ_by_seconds() -> None:
    """Right after a login elsewhere; but no token outlives its time by that."""
    now = datetime.now(UTC)
    ahead, _ = TOKENS.issue(CLAIMS, now=now + timedelta(seconds=5))
    assert TOKENS.verify(ahead) == CLAIMS
    over, _ = TOKENS.issue(CLAIMS, now=now - timedelta(seconds=900))
    refused(over)


@pytest.mark.parametrize(
    "payload",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"iss": [ISSUER]},
        {"aud": "other"},
        {"aud": []},
        {"aud": None},
        {"exp": "soon"},
        {"exp": 0},
        {"exp": 1e400},
        {"nbf": 10**11},
        {"iat": "now"},
        {"sub": ""},
        {"sub": 7},
        {"sub": "somebody"},
        {"sid": "some session"},
        {"sid": None},
        {"sid": ["x"]},
    ],
)
def test_wrong_claims(payload: dict[str, Any]) -> None:
    refused(forge(payload))


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "sid", "iat", "nbf", "exp", "kid"])
def test_missing_claims(name: str) -> None:
    refused(forge(without=(name,)))


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": "refresh"},
        {"typ": None},
        {"kid": "unknown"},
        {"kid": "OLD"},
        {"jwk": {key: value for key, value in FOREIGN.items() if key != "d"}},
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/cert"},
        {"x5c": ["MIIB"]},
        {"jwk": {}, "kid": "old"},
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": ["b64"], "b64": False},
        {"typ": "at+jwt; use=refresh"},
    ],
)
def test_wrong_headers(header: dict[str, Any]) -> None:
    refused(forge(header=header))


def test_keys_of_others() -> None:
    refused(forge(key=FOREIGN))
    refused(forge(key=FOREIGN, header={"jwk": {key: FOREIGN[key] for key in ("kty", "crv", "x", "y")}}))
    # Signed by one of ours under the name of the other.
    refused(forge(key=OLD))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
def test_no_algorithm(algorithm: str) -> None:
    payload = forge().split(".")[1]
    header = part({"alg": algorithm, "typ": "at+jwt", "kid": "new"})
    for signature in ("", forge().split(".")[2]):
        refused(f"{header}.{payload}.{signature}")


def test_the_public_key_is_no_shared_secret() -> None:
    public = parsed(NEW).public_key()
    encodings = [
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        NEW["x"].encode(),
    ]
    signed = part({"alg": "HS256", "typ": "at+jwt", "kid": "new"}) + "." + forge().split(".")[1]
    for secret in encodings:
        digest = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        refused(f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}")


def test_another_kind_of_key_under_our_kid() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    payload = jwt.decode(forge(), options={"verify_signature": False})
    refused(jwt.encode(payload, key, algorithm="RS256", headers={"kid": "new", "typ": "at+jwt"}))


def test_a_changed_token() -> None:
    header, payload, signature = forge().split(".")
    richer = part(jwt.decode(forge(), options={"verify_signature": False}) | {"sub": str(uuid.uuid4())})
    refused(f"{header}.{richer}.{signature}")
    refused(f"{header}.{payload}.{signature[:-4]}AAAA")
    refused(f"{header}.{payload}.")
    refused(f"{header}.{payload}")
    refused(f"{header}.{payload}.{signature}.{signature}")


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "x",
        "a.b.c",
        "null",
        part([]) + ".e30.x",
        part("kid") + ".e30.x",
        part({"alg": "ES256", "typ": "at+jwt", "kid": ["new"]}) + ".e30.x",
        part({"alg": 1, "typ": 1, "kid": 1}) + ".e30.x",
        base64.urlsafe_b64encode(b"[" * 3000).decode() + ".e30.x",
        base64.urlsafe_b64encode(b'{"a":' * 600).decode() + ".e30.x",
        base64.urlsafe_b64encode(b"\xff\xfe").decode() + ".e30.x",
        "é.ü.ß",
        "\udcff.\udcff.\udcff",
        "a" * 100_000,
        forge({"padding": "x" * 5000}),
    ],
)
def test_garbage(token: str) -> None:
    refused(token)


@given(st.text(max_size=80) | st.text("eyJ.-_=", max_size=40))
def test_any_garbage(token: str) -> None:
    refused(token)


def test_jwks_shows_no_private_part() -> None:
    answer = jwks(SETTINGS, Call())
    assert answer.body is not None
    keys = answer.body["keys"]
    assert [key["kid"] for key in keys] == ["new", "old"]
    for key in keys:
        assert set(key) == {"kty", "crv", "use", "alg", "kid", "x", "y"}
    text = json.dumps(answer.body)
    assert not [key["kid"] for key in (NEW, OLD) if key["d"] in text]


def asked(settings: TokenSettings, known: str = "") -> flask.Response:
    """The whole function's answer to somebody who has what `known` names."""
    function = serve([(JWKS, partial(jwks, settings))], WebSettings((), 65536, 0, None))
    return function(flask.Request(EnvironBuilder(headers=Headers({"If-None-Match": known})).get_environ()))


def test_jwks_may_be_kept_for_a_while_and_asked_for_again() -> None:
    first = asked(SETTINGS)
    assert first.headers["Cache-Control"] == "public, max-age=300"
    tag = first.headers["ETag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = asked(SETTINGS, known)
        assert (again.status_code, again.data) == (304, b"")
        for name in ("Cache-Control", "ETag"):
            assert again.headers[name] == first.headers[name]
    for known in ('"other"', tag[1:-1], ""):
        assert asked(SETTINGS, known).status_code == 200
    # The first request after a rotation gets the new keys.
    rotated = replace(SETTINGS, keys=(NEW,))
    assert asked(rotated, tag).status_code == 200


def test_keys_that_may_be_kept_know_the_next_one_before_it_signs() -> None:
    """Announce, promote, drop: at each step a set from the step before checks what is signed now."""
    steps = [(OLD,), (OLD, NEW), (NEW, OLD), (NEW,)]
    for before, now in pairwise(steps):
        token, _ = JwtTokens(replace(SETTINGS, keys=now)).issue(CLAIMS, now=datetime.now(UTC))
        kept = jwt.PyJWKSet.from_dict(dict(jwks(replace(SETTINGS, keys=before), Call()).body or {}))
        key = kept[jwt.get_unverified_header(token)["kid"]]
        jwt.decode(token, key, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER)


def test_jwks_is_enough_to_check_a_token() -> None:
    """A stranger with the published keys alone."""
    answer = jwks(SETTINGS, Call())
    token, _ = TOKENS.issue(CLAIMS, now=datetime.now(UTC))
    published = jwt.PyJWKSet.from_dict(dict(answer.body or {}))
    key = published[jwt.get_unverified_header(token)["kid"]]
    payload = jwt.decode(token, key, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER)
    assert payload["sub"] == str(CLAIMS.user_id)
