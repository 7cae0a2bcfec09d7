"""Tokens with something wrong, each otherwise as good as can be: nobody gets in by any of them, anywhere."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import ECAlgorithm

from infra.local.openapi import OPERATIONS
from infra.local.supervisor import Stack
from lib.accounts.account import ACCOUNT
from lib.web.operation import Operation, Who
from tests.factories import Factory
from tests.faults.counts import tried
from tests.faults.hostile import Callers, Guest

GUARDED = [operation for operation in OPERATIONS if operation.who is not Who.ANYONE]
PEOPLE = [operation for operation in GUARDED if operation.who is not Who.SERVICE]
MACHINES = [operation for operation in GUARDED if operation.who is Who.SERVICE]
KIDS: list[Any] = [
    "", None, 0, True, [], {}, "nobody", "../../../../dev/null", "/dev/null", "file:///etc/passwd", "' UNION SELECT 'x",
    "x' OR '1'='1", "|| sleep 5 ||", "\x00", "\ud800", "é" * 100, "k" * 2000, "https://evil.example/jwks.json",
]  # fmt: skip
# P-256's order: with it or zero as r or s, careless libraries take anything for signed.
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def encoded(part: object) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def p1363(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


class Forger:
    """Has a good access token, and for comparison our own key; what it makes is wrong in one thing each."""

    def __init__(self, stack: Stack, guest: Guest) -> None:
        (self.jwk,) = json.loads(stack.settings.access_token_keys)["keys"]
        self.key: Any = ECAlgorithm(ECAlgorithm.SHA256).from_jwk(self.jwk)
        self.good = guest.token
        self.head = jwt.get_unverified_header(guest.token)
        self.claims = jwt.decode(guest.token, options={"verify_signature": False})

    def signed(self, head: object, claims: object, key: Any = None) -> str:
        text = f"{encoded(head)}.{encoded(claims)}"
        der = (key or self.key).sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        return f"{text}.{encoded(p1363(*decode_dss_signature(der)))}"

    def claiming(self, **changes: Any) -> str:
        merged = {name: value for name, value in (self.claims | changes).items() if value is not ...}
        return self.signed(self.head, merged)

    def headed(self, **changes: Any) -> str:
        merged = {name: value for name, value in (self.head | changes).items() if value is not ...}
        return self.signed(merged, self.claims)

    def public_keys(self) -> dict[str, bytes]:
        public = self.key.public_key()
        pem, der = serialization.Encoding.PEM, serialization.Encoding.DER
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        point = public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        half = json.dumps({part: self.jwk[part] for part in ("kty", "crv", "x", "y")})
        return {
            "PEM": public.public_bytes(pem, spki),
            "stripped PEM": public.public_bytes(pem, spki).strip(),
            "DER": public.public_bytes(der, spki),
            "point": point,
            "JWK": half.encode(),
            "x": self.jwk["x"].encode(),
            "nothing": b"",
            "the kid": self.jwk["kid"].encode(),
        }

    def unsigned(self) -> Iterator[tuple[str, str]]:
        for alg in ("none", "None", "NONE", "nOnE", "", None, "None ", "HS256", "ES256"):
            head, tail = encoded(self.head | {"alg": alg}), encoded(self.claims)
            yield f"alg {alg!r} unsigned", f"{head}.{tail}."
            yield f"alg {alg!r} with a signature", f"{head}.{tail}.{self.good.split('.')[2]}"
        yield "two parts", ".".join(self.good.split(".")[:2])
        yield "no signature", ".".join([*self.good.split(".")[:2], ""])
        yield "one part more", self.good + ".x"
        for alg, how in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
            text = f"{encoded(self.head | {'alg': alg})}.{encoded(self.claims)}"
            for name, key in self.public_keys().items():
                mac = hmac.new(key, text.encode(), getattr(hashlib, how)).digest()
                yield f"{alg} with the public key, {name}", f"{text}.{encoded(mac)}"

    def psychic(self) -> Iterator[tuple[str, str]]:
        text = ".".join(self.good.split(".")[:2])
        values = {"0": 0, "1": 1, "n": ORDER, "n-1": ORDER - 1, "max": 2**256 - 1}
        for first, r in values.items():
            for second, s in values.items():
                yield f"r {first}, s {second}", f"{text}.{encoded(p1363(r, s))}"
        der = bytes.fromhex("3006020100020100")
        yield "zeros in DER", f"{text}.{encoded(der)}"
        for size in (0, 1, 32, 63, 65, 128, 1000):
            yield f"{size} zeros", f"{text}.{encoded(bytes(size))}"
        signature = base64.urlsafe_b64decode(self.good.split(".")[2] + "==")
        for place in (0, 31, 32, 63):
            flipped = bytearray(signature)
            flipped[place] ^= 1
            yield f"bit {place} flipped", f"{text}.{encoded(bytes(flipped))}"

    def foreign(self) -> Iterator[tuple[str, str]]:
        theirs = ec.generate_private_key(ec.SECP256R1())
        yield "another key", self.signed(self.head, self.claims, theirs)
        public = json.loads(ECAlgorithm.to_jwk(theirs.public_key()))
        brought: dict[str, Any] = {
            "jwk": public,
            "jku": "http://127.0.0.1:1/jwks.json",
            "x5u": "http://127.0.0.1:1/cert.pem",
            "x5c": ["MIIB"],
            "x5t": "x",
            "x5t#S256": "x",
        }
        for name, value in brought.items():
            yield f"another key, {name}", self.signed(self.head | {name: value}, self.claims, theirs)
            yield f"our key, {name}", self.headed(**{name: value})
        big = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        text = f"{encoded(self.head | {'alg': 'RS256'})}.{encoded(self.claims)}"
        signature = big.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        yield "RS256", f"{text}.{encoded(signature)}"
        for kid in KIDS:
            yield f"kid {str(kid)[:20]!r}", self.headed(kid=kid)
            text = f"{encoded(self.head | {'alg': 'HS256', 'kid': kid})}.{encoded(self.claims)}"
            mac = hmac.new(b"", text.encode(), hashlib.sha256).digest()
            yield f"kid {str(kid)[:20]!r}, an empty key", f"{text}.{encoded(mac)}"

    def odd_heads(self) -> Iterator[tuple[str, str]]:
        heads: dict[str, dict[str, Any]] = {
            "crit": {"crit": ["exp"]},
            "crit of nothing": {"crit": []},
            "crit unknown": {"crit": ["x"], "x": 1},
            "b64": {"b64": False, "crit": ["b64"]},
            "b64 alone": {"b64": False},
            "zip": {"zip": "DEF"},
            "cty": {"cty": "JWT"},
            "enc": {"enc": "A256GCM"},
            "epk": {"epk": {}},
            "no typ": {"typ": ...},
            "typ JWT": {"typ": "JWT"},
            "typ of a list": {"typ": ["at+jwt"]},
            "typ null": {"typ": None},
            "no kid": {"kid": ...},
            "alg of another curve": {"alg": "ES384"},
            "alg of another kind": {"alg": "EdDSA"},
            "alg a list": {"alg": ["ES256"]},
            "alg in small letters": {"alg": "es256"},
        }
        for name, changes in heads.items():
            yield name, self.headed(**changes)
        kid, alg = json.dumps(self.head["kid"]), '"alg":"ES256"'
        for name, raw in {
            "alg twice": f'{{"alg":"none",{alg},"typ":"at+jwt","kid":"x","kid":{kid},"kid":"y"}}',
            "head a list": "[]",
            "head a text": '"x"',
            "head null": "null",
            "head no JSON": "{",
            "head deep": "[" * 1500,
            "head of numbers": '{"alg":' + "9" * 2500 + "}",
            "head of NaN": '{"alg":NaN}',
        }.items():
            yield name, self.signed(raw.encode(), self.claims)

    def odd_claims(self) -> Iterator[tuple[str, str]]:
        now = int(time.time())
        issuer, audience = self.claims["iss"], self.claims["aud"]
        changes: dict[str, dict[str, Any]] = {
            "expired": {"exp": now - 1},
            "expired long ago": {"exp": 1},
            "never expiring": {"exp": ...},
            "exp null": {"exp": None},
            "exp a text": {"exp": "tomorrow"},
            "exp infinite": {"exp": float("inf")},
            "exp not a number": {"exp": float("nan")},
            "exp below none": {"exp": -1},
            "exp false": {"exp": False},
            "exp a list": {"exp": [now + 900]},
            "nbf ahead": {"nbf": now + 60},
            "nbf missing": {"nbf": ...},
            "nbf a text": {"nbf": "x"},
            "nbf infinite": {"nbf": float("inf")},
            "iat ahead": {"iat": now + 60},
            "iat missing": {"iat": ...},
            "iat a list": {"iat": []},
            "another issuer": {"iss": "https://evil.example"},
            "issuer with a slash": {"iss": issuer + "/"},
            "issuers in a list": {"iss": [issuer]},
            "issuer null": {"iss": None},
            "no issuer": {"iss": ...},
            "another audience": {"aud": "other"},
            "audience empty": {"aud": ""},
            "audiences without ours": {"aud": ["a", "b"]},
            "audience a number": {"aud": 1},
            "audience within ours": {"aud": audience[:-1]},
            "no audience": {"aud": ...},
            "sub null": {"sub": None},
            "sub missing": {"sub": ...},
            "sub a number": {"sub": 1},
            "sub a list": {"sub": [self.claims["sub"]]},
            "sub a name": {"sub": "admin@example.com"},
            "sub SQL": {"sub": "' OR 1=1 --"},
            "sub half a pair": {"sub": "\ud800"},
            "sid missing": {"sid": ...},
            "sid null": {"sid": None},
            "sid a list": {"sid": [self.claims["sid"]]},
            "sid SQL": {"sid": "' OR 1=1 --"},
            "nobody's login": {"sid": str(uuid.uuid4())},
            "somebody else's login": {"sub": str(uuid.uuid4())},
            "swapped": {"sub": self.claims["sid"], "sid": self.claims["sub"]},
        }
        for name, change in changes.items():
            yield name, self.claiming(**change)
        whole = json.dumps(self.claims)
        texts: dict[str, str | bytes] = {
            "exp twice": whole[:-1] + ', "exp": 1}',
            "sub twice": whole[:-1] + f', "sub": "{uuid.uuid4()}"}}',
            "claims a list": f"[{whole}]",
            "claims a text": json.dumps(whole),
            "claims null": "null",
            "claims nothing": "",
            "claims deep": whole[:-1] + ', "x": ' + "[" * 1200 + "]" * 1200 + "}",
            "claims no UTF-8": whole.encode() + b"\xff",
        }
        for name, raw in texts.items():
            yield name, self.signed(self.head, raw if isinstance(raw, bytes) else raw.encode())
        yield "huge", self.claiming(x="x" * 60_000)
        yield "many claims", self.claiming(**{f"c{number}": number for number in range(2000)})

    def all(self) -> dict[str, str]:
        kinds = (self.unsigned(), self.psychic(), self.foreign(), self.odd_heads(), self.odd_claims())
        return {name: token for kind in kinds for name, token in kind}


def ask(http: httpx.Client, operation: Operation, token: str) -> httpx.Response:
    """With what would be fine but for the token: as far as it goes without anybody's ids."""
    bodies: Mapping[str, Any] = {
        "heartbeat": {"session_id": str(uuid.uuid4()), "position": 1},
        "confirm-checkout": {"session_id": "cs_1"},
        "redeem": {"code": "x"},
        "create-checkout": {"plan": "nobody's"},
        "upload-asset": {"title": "A film"},
        "process-task": {"kind": "nothing", "body": {}},
    }
    body = None
    if operation.body is not None:
        body = bodies.get(operation.function, {"password": "x"} if operation.method == "DELETE" else {})
    return http.request(
        operation.method,
        f"/{operation.function}",
        params={"video_id": str(uuid.uuid4())},
        headers={"Authorization": f"Bearer {token}"},
        json=body,
    )


def refused(answer: httpx.Response) -> bool:
    # A header of more than 8 KiB does not get past the server.
    return answer.status_code == 431 or (
        answer.status_code == 401 and answer.json()["code"] == "invalid_token"
    )


def test_forged_access_tokens(stack: Stack, http: httpx.Client, callers: Callers, thorough: bool) -> None:
    """Of an admin, so that role is no reason; at each function in turn, or each at all of them."""
    forger = Forger(stack, callers.guest("admin"))
    tokens = forger.all()
    for good in (forger.good, forger.signed(forger.head, forger.claims)):
        assert ask(http, ACCOUNT, good).status_code == 200, "what they are made of is good, by this hand too"
    tries, broken = 0, []
    for number, (name, token) in enumerate(tokens.items()):
        for operation in PEOPLE if thorough else [PEOPLE[number % len(PEOPLE)]]:
            answer = ask(http, operation, token)
            tries += 1
            if not refused(answer):
                broken.append((name, operation.function, answer.status_code, answer.text[:200]))
    assert ask(http, ACCOUNT, forger.good).status_code == 200, "nobody ended that login"
    tried("forged access tokens", tries=tries, held=tries - len(broken), kinds=len(tokens))
    assert not broken


def forged_identities(stack: Stack, callers: Callers, operation: Operation) -> dict[str, str]:
    """Identity tokens of machines with something wrong."""
    local, function, now = stack.settings, operation.function, int(time.time())
    good = callers.machine(function)
    claims = jwt.decode(good, options={"verify_signature": False})
    ours = local.oidc_private_key
    foreign = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kid = {"kid": local.oidc_key_id}
    head, tail, signature = good.split(".")
    private: Any = serialization.load_pem_private_key(ours.encode(), None)
    pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    unsigned = encoded({"alg": "HS256", "typ": "JWT", **kid}) + "." + tail
    mac = encoded(hmac.new(pem, unsigned.encode(), hashlib.sha256).digest())
    changes: dict[str, dict[str, Any]] = {
        "expired": {"exp": now - 60},
        "iat ahead": {"iat": now + 120},
        "another issuer": {"iss": "https://accounts.google.com"},
        "another function": {"aud": f"{local.base_url}/login"},
        "audience null": {"aud": None},
        "audience a part": {"aud": local.base_url},
        "exp null": {"exp": None},
        "exp infinite": {"exp": float("inf")},
        "exp a text": {"exp": "x"},
        "iat a list": {"iat": []},
    }
    tokens = {name: callers.machine(function, **change) for name, change in changes.items()}
    tokens |= {
        "another key": jwt.encode(claims, foreign, algorithm="RS256", headers=kid),
        "another kid": jwt.encode(claims, ours, algorithm="RS256", headers={"kid": "nobody"}),
        "no kid": jwt.encode(claims, ours, algorithm="RS256"),
        "RS512": jwt.encode(claims, ours, algorithm="RS512", headers=kid),
        "PS256": jwt.encode(claims, ours, algorithm="PS256", headers=kid),
        "none": f"{encoded({'alg': 'none', **kid})}.{tail}.",
        "HS256 with the public key": f"{unsigned}.{mac}",
        "no signature": f"{head}.{tail}.",
        "zeros": f"{head}.{tail}.{encoded(bytes(256))}",
        "cut": f"{head}.{tail}.{signature[:-8]}",
        "jku": jwt.encode(
            claims, foreign, algorithm="RS256", headers=kid | {"jku": "http://127.0.0.1:1/certs"}
        ),
        "jwk": jwt.encode(
            claims,
            foreign,
            algorithm="RS256",
            headers=kid | {"jwk": json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(foreign.public_key()))},
        ),
        "kid a path": jwt.encode(claims, ours, algorithm="RS256", headers={"kid": "../../dev/null"}),
        "crit": jwt.encode(claims, ours, algorithm="RS256", headers=kid | {"crit": ["x"], "x": 1}),
        "garbage": "a.b.c",
        "deep head": encoded(b"[" * 3000) + ".e30.x",
        "very deep head": encoded(b'{"a":' * 6000) + ".e30.x",
        "deep claims": f"{head}.{encoded(b'[' * 6000)}.{signature}",
        "numbers": encoded(b'{"alg":' + b"9" * 6000 + b"}") + ".e30.x",
        "huge": "x" * 15_000,
        "dots": "." * 3000,
    }
    return tokens


def test_forged_identities_of_machines(stack: Stack, http: httpx.Client, callers: Callers) -> None:
    tries, broken = 0, []
    for operation in MACHINES:
        for name, token in forged_identities(stack, callers, operation).items():
            answer = ask(http, operation, token)
            tries += 1
            if not refused(answer):
                broken.append((name, operation.function, answer.status_code, answer.text[:200]))
        people: dict[str, dict[str, Any]] = {
            "somebody": {"email": "somebody@example.com"},
            "nobody": {"email": None},
            "in capitals": {"email": "TASKS@LOCAL.STREAMLY"},
            "several": {"email": ["tasks@local.streamly", "scheduler@local.streamly"]},
            "unverified": {"email_verified": False},
            "as good as verified": {"email_verified": "true"},
            "one": {"email_verified": 1},
            "half a pair": {"email": "\ud800"},
        }
        for name, change in people.items():
            answer = ask(http, operation, callers.machine(operation.function, **change))
            tries += 1
            if answer.status_code != 403:
                broken.append((name, operation.function, answer.status_code, answer.text[:200]))
    tried("forged identities of machines", tries=tries, held=tries - len(broken))
    assert not broken


def wrong_doors(
    stack: Stack, http: httpx.Client, callers: Callers, make: Factory
) -> Iterator[tuple[str, bool]]:
    """Good tokens of another kind, each where it is none; and whether that was refused."""
    person = make.person()
    playing = person.api.get("get-playback", video_id=str(make.video(level=0))).json()
    tokens = {
        "playback": playing["tokens"]["playback"],
        "thumbnail": playing["tokens"]["thumbnail"],
        "storyboard": playing["tokens"]["storyboard"],
        "refresh": person.refresh_token,
        "playback session": playing["session_id"],
        "access": str(person.api.token),
        **{operation.function: callers.machine(operation.function) for operation in MACHINES},
    }
    for name, token in tokens.items():
        for operation in GUARDED:
            if name != ("access" if operation.who is not Who.SERVICE else operation.function):
                yield f"{name} at {operation.function}", refused(ask(http, operation, token))
        if name != "refresh":
            answer = http.post("/refresh", json={"refresh_token": token})
            # Most are longer than any refresh token.
            yield f"{name} at refresh", answer.status_code in (401, 422)
    access = tokens["access"]
    for query in ({"access_token": access}, {"token": access}, {"Authorization": f"Bearer {access}"}):
        yield "in the query", refused(http.get("/account", params=query))
    yield "as a cookie", refused(http.get("/account", headers={"Cookie": f"access_token={access}"}))


def test_tokens_at_the_wrong_door(stack: Stack, http: httpx.Client, callers: Callers, make: Factory) -> None:
    doors = list(wrong_doors(stack, http, callers, make))
    broken = [name for name, held in doors if not held]
    tried("tokens at the wrong door", tries=len(doors), held=len(doors) - len(broken))
    assert not broken
