"""A token that has expired, was tampered with or belongs to something else plays nothing: asked for by the page's own
player, and by a plain request."""

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from infra.local.supervisor import Stack
from tests.browser.conftest import Visit
from tests.browser.visitor import Film, Visitor
from tests.factories import Factory

# What hls.js makes of an address: that it plays, or why not.
_TRY = """async (url) => {
  const { default: Hls } = await import("/pages/vendor/hls.min.mjs");
  const video = document.createElement("video");
  video.muted = true;
  const hls = new Hls({ enableWorker: false });
  const found = await new Promise((resolve) => {
    hls.on(Hls.Events.ERROR, (_, data) => data.fatal && resolve(`${data.details} ${data.response?.code}`));
    video.addEventListener("timeupdate", () => video.currentTime > 0 && resolve("plays"));
    hls.loadSource(url);
    hls.attachMedia(video);
    video.play().catch(() => undefined);
  });
  hls.destroy();
  return found;
}"""


@dataclass
class Right:
    """What get-playback gave: the address, and the token in it taken apart."""

    address: str
    claims: dict[str, Any]
    header: dict[str, Any]

    def with_token(self, token: str) -> str:
        return f"{self.address}?token={token}"


@pytest.fixture
def right(make: Factory, long_film: Film) -> Right:
    answer = make.subscriber().api.get("get-playback", video_id=long_film.id)
    parts = urlsplit(answer.json()["playback_url"])
    token = parse_qs(parts.query)["token"][0]
    opened = jwt.decode_complete(token, options={"verify_signature": False})
    return Right(f"{parts.scheme}://{parts.netloc}{parts.path}", opened["payload"], opened["header"])


@pytest.fixture
def sign(stack: Stack) -> Callable[..., str]:
    """Signs as we do, unless told to use another key."""
    ours = load_pem_private_key(base64.b64decode(stack.settings.mux_signing_private_key), None)
    assert isinstance(ours, rsa.RSAPrivateKey)

    def signed(right: Right, key: rsa.RSAPrivateKey = ours, **claims: Any) -> str:
        return jwt.encode(right.claims | claims, key, "RS256", {"kid": right.header["kid"]})

    return signed


def tried(visitor: Visitor, address: str) -> tuple[str, int]:
    """By the player, and by a request."""
    visitor.open("/")
    found: str = visitor.page.evaluate(_TRY, address)
    return found, httpx.get(address).status_code


REFUSED = ("manifestLoadError 403", 403)


def test_a_good_token_plays(visit: Visit, right: Right, sign: Callable[..., str]) -> None:
    good = sign(right, exp=int(time.time()) + 60)
    assert tried(visit(), right.with_token(good)) == ("plays", 200)


def test_an_expired_token_does_not(visit: Visit, right: Right, sign: Callable[..., str]) -> None:
    expired = sign(right, exp=int(time.time()) - 1)
    assert tried(visit(), right.with_token(expired)) == REFUSED


def test_a_tampered_token_does_not(visit: Visit, right: Right, sign: Callable[..., str]) -> None:
    head, _, signature = sign(right).split(".")
    longer = jwt.encode(right.claims | {"exp": int(time.time()) + 86_400}, "x" * 32, "HS256").split(".")[1]
    assert tried(visit(), right.with_token(f"{head}.{longer}.{signature}")) == REFUSED


def test_a_token_of_a_foreign_key_does_not(visit: Visit, right: Right, sign: Callable[..., str]) -> None:
    foreign = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert tried(visit(), right.with_token(sign(right, foreign))) == REFUSED


def test_a_token_of_another_film_or_for_another_purpose_does_not(
    visit: Visit, right: Right, sign: Callable[..., str]
) -> None:
    visitor = visit()
    for claims in ({"sub": "another-film"}, {"aud": "t"}):
        assert tried(visitor, right.with_token(sign(right, exp=int(time.time()) + 60, **claims))) == REFUSED


def test_no_token_at_all_does_not(visit: Visit, right: Right) -> None:
    assert tried(visit(), right.address) == REFUSED
