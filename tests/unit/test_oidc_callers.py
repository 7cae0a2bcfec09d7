"""OIDC tokens of service accounts, their issuer's keys fetched from a small real HTTP server."""

import base64
import hashlib
import hmac
import http.server
import json
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from infra.local.processes import free_port
from lib.adapters.oidc_callers import OidcCallers
from lib.config import CallerSettings
from lib.errors import ForbiddenError, InvalidTokenError, UnavailableError

ISSUER = "https://accounts.google.com"
AUDIENCE = "https://example.com/process-task"
EMAIL = "tasks@project.iam.gserviceaccount.com"
KEYS = {kid: rsa.generate_private_key(public_exponent=65537, key_size=2048) for kid in ("one", "two")}
FOREIGN = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Certs:
    """The issuer's published keys. `answer` is what it sends, None to hang up without a word; `breaks`
    cuts the connection in the middle of it."""

    def __init__(self) -> None:
        self.answer: bytes | None = self.published("one")
        self.status = 200
        self.breaks = False
        self.asked = 0
        certs = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                certs.asked += 1
                if certs.answer is None:
                    self.close_connection = True
                    return
                self.send_response(certs.status)
                if certs.breaks:
                    self.send_header("Content-Length", "100000")
                    self.end_headers()
                    # Closing without lingering is a reset.
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    self.close_connection = True
                    return
                self.end_headers()
                self.wfile.write(certs.answer)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
                """Says nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/certs"

    @staticmethod
    def published(*kids: str) -> bytes:
        keys = [RSAAlgorithm.to_jwk(KEYS[kid].public_key(), as_dict=True) for kid in kids]
        return json.dumps(
            {
                "keys": [
                    key | {"kid": kid, "alg": "RS256", "use": "sig"}
                    for kid, key in zip(kids, keys, strict=True)
                ]
            }
        ).encode()

    def __enter__(self) -> "Certs":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


@pytest.fixture
def certs() -> Iterator[Certs]:
    with Certs() as running:
        yield running


def callers(certs_url: str) -> OidcCallers:
    issuers = (ISSUER, "accounts.google.com")
    return OidcCallers(CallerSettings(issuers, certs_url, AUDIENCE, frozenset({EMAIL, "other@project"})))


def token(
    claims: Mapping[str, Any] | None = None,
    *,
    key: rsa.RSAPrivateKey = KEYS["one"],
    kid: str | None = "one",
    without: str = "",
) -> str:
    now = int(datetime.now(UTC).timestamp())
    payload: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "1234",
        "email": EMAIL,
        "email_verified": True,
        "iat": now,
        "exp": now + 3600,
    } | dict(claims or {})
    payload.pop(without, None)
    # Not `jwt.encode`, which refuses to write some of what a forger would.
    return jwt.PyJWS().encode(
        json.dumps(payload).encode(), key, algorithm="RS256", headers={"kid": kid} if kid else {}
    )


@pytest.mark.parametrize("claims", [{}, {"iss": "accounts.google.com"}, {"email": "other@project"}])
def test_good(certs: Certs, claims: dict[str, Any]) -> None:
    checked = callers(certs.url).check(token(claims))
    assert checked == {"email": EMAIL, **claims}["email"]


def test_keys_are_fetched_once(certs: Certs) -> None:
    checks = callers(certs.url)
    for _ in range(3):
        checks.check(token())
    assert certs.asked == 1


def test_a_stranger_s_kid_does_not_make_us_ask_again_and_again(certs: Certs) -> None:
    checks = callers(certs.url)
    checks.check(token())
    for number in range(5):
        with pytest.raises(InvalidTokenError):
            checks.check(token(kid=f"made up {number}"))
    assert certs.asked <= 2


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://example.com/reconcile"},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"exp": int(datetime.now(UTC).timestamp()) - 60},
        {"exp": "never"},
        {"iat": int(datetime.now(UTC).timestamp()) + 3600},
        {"nbf": int(datetime.now(UTC).timestamp()) + 3600},
    ],
)
def test_wrong_claims(certs: Certs, claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidTokenError):
        callers(certs.url).check(token(claims))


@pytest.mark.parametrize("name", ["iss", "aud", "iat", "exp"])
def test_missing_claims(certs: Certs, name: str) -> None:
    with pytest.raises(InvalidTokenError):
        callers(certs.url).check(token(without=name))


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "stranger@project"},
        {"email": EMAIL.upper()},
        {"email": None},
        {"email_verified": False},
        {"email_verified": "true"},
        {"email_verified": 1},
    ],
)
def test_somebody_else(certs: Certs, claims: dict[str, Any]) -> None:
    with pytest.raises(ForbiddenError):
        callers(certs.url).check(token(claims))


@pytest.mark.parametrize("name", ["email", "email_verified"])
def test_nobody_in_particular(certs: Certs, name: str) -> None:
    with pytest.raises(ForbiddenError):
        callers(certs.url).check(token(without=name))


def test_keys_of_others(certs: Certs) -> None:
    checks = callers(certs.url)
    for forged in (token(key=FOREIGN), token(kid=None), token(key=FOREIGN, kid="two")):
        with pytest.raises(InvalidTokenError):
            checks.check(forged)


def test_the_public_key_is_no_shared_secret(certs: Certs) -> None:
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one"}').rstrip(b"=").decode()
    signed = header + "." + token().split(".")[1]
    for secret in (Certs.published("one"), RSAAlgorithm.to_jwk(KEYS["one"].public_key()).encode()):
        digest = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        with pytest.raises(InvalidTokenError):
            callers(certs.url).check(f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}")


@pytest.mark.parametrize("garbage", ["", "x", "a.b.c", "é.ü.ß", "W10.e30.x", "W1tbW1tbW1s.e30.x"])
def test_garbage(certs: Certs, garbage: str) -> None:
    with pytest.raises(InvalidTokenError):
        callers(certs.url).check(garbage)


def test_the_issuer_is_down() -> None:
    with pytest.raises(UnavailableError):
        callers(f"http://127.0.0.1:{free_port()}/certs").check(token())


UNREADABLE = [
    (200, answer) for answer in (b"<html>", b"\xff", b"[]", b"{}", b'{"keys": []}', b'{"keys": [{}]}')
]


@pytest.mark.parametrize(
    ("status", "answer"), [(500, b""), (404, b"{}"), (302, b""), (200, None), *UNREADABLE]
)
def test_the_issuer_is_unwell(certs: Certs, status: int, answer: bytes | None) -> None:
    certs.status, certs.answer = status, answer
    checks = callers(certs.url)
    with pytest.raises(UnavailableError):
        checks.check(token())
    certs.status, certs.answer = 200, Certs.published("one")
    assert checks.check(token()) == EMAIL


def test_the_issuer_breaks_off(certs: Certs) -> None:
    certs.breaks = True
    with pytest.raises(UnavailableError):
        callers(certs.url).check(token())
