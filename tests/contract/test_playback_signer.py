"""What the signers sign, by the words of the providers' documentation and in the eyes of strangers."""

import base64
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import RSAAlgorithm

from lib.adapters.playback_signers import CloudflareSigner, MuxSigner
from lib.config import CloudflareSigningSettings, MuxSigningSettings
from lib.errors import ConfigError
from lib.video.ports import PlaybackSigner, SignedPlayback
from tests.javascript import JavaScript, RefusedError
from tests.signing_keys import encoded, new_key

KEY = new_key()
PUBLIC_PEM = (
    KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
KEY_ID = "key-of-the-tests"
PLAYBACK_ID = "uNbxnGLKJ00yfbijDO8COxTOyVKT01xpxW"
UNTIL = datetime.now(UTC).replace(microsecond=250_000) + timedelta(hours=1)
AUDIENCES = {"playback": "v", "thumbnail": "t", "storyboard": "s"}


SETTINGS = MuxSigningSettings(KEY_ID, encoded(KEY), "https://stream.mux.com", "https://image.mux.com")


def signer(private_key: str | None = None) -> MuxSigner:
    return MuxSigner(
        MuxSigningSettings(
            KEY_ID, private_key or encoded(KEY), "https://stream.mux.com", "https://image.mux.com"
        )
    )


def tokens(signed: SignedPlayback) -> dict[str, str]:
    assert signed.storyboard_token is not None
    return {
        "playback": signed.playback_token,
        "thumbnail": signed.thumbnail_token,
        "storyboard": signed.storyboard_token,
    }


@pytest.fixture
def signed() -> SignedPlayback:
    return signer().sign(PLAYBACK_ID, expires_at=UNTIL, trace="session-1")


def test_claims_of_each_audience(signed: SignedPlayback) -> None:
    for name, token in tokens(signed).items():
        found = jwt.decode_complete(token, KEY.public_key(), algorithms=["RS256"], audience=AUDIENCES[name])
        expected: dict[str, Any] = {
            "sub": PLAYBACK_ID,
            "aud": AUDIENCES[name],
            "exp": int(UNTIL.timestamp()),
            "kid": KEY_ID,
        }
        if name == "playback":
            expected["custom"] = {"session_id": "session-1"}
        # These and no others: above all no iat, which a clock that runs ahead would put into the future.
        assert found["payload"] == expected
        assert found["header"] == {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}


def test_urls_are_mux_own_with_the_token_and_nothing_else(signed: SignedPlayback) -> None:
    expected = {
        signed.playback_url: f"https://stream.mux.com/{PLAYBACK_ID}.m3u8?token={signed.playback_token}",
        signed.thumbnail_url: f"https://image.mux.com/{PLAYBACK_ID}/thumbnail.jpg"
        f"?token={signed.thumbnail_token}",
        signed.storyboard_url: f"https://image.mux.com/{PLAYBACK_ID}/storyboard.vtt"
        f"?token={signed.storyboard_token}",
    }
    assert list(expected) == list(expected.values())


def test_a_picture_for_lists() -> None:
    url = urlsplit(signer().thumbnail_url(PLAYBACK_ID, expires_at=UNTIL))
    assert url.geturl().startswith(f"https://image.mux.com/{PLAYBACK_ID}/thumbnail.jpg?")
    query = parse_qs(url.query)
    assert list(query) == ["token"]
    claims = jwt.decode(query["token"][0], KEY.public_key(), algorithms=["RS256"], audience="t")
    assert (claims["sub"], claims["exp"]) == (PLAYBACK_ID, int(UNTIL.timestamp()))


def test_a_list_s_picture_is_signed_once() -> None:
    """Lists are public and long, and a signature costs a millisecond."""
    found = signer()
    urls = {found.thumbnail_url(PLAYBACK_ID, expires_at=UNTIL) for _ in range(100)}
    assert len(urls) == 1
    assert found._shared_token.cache_info().misses == 1
    for other in (
        found.thumbnail_url("another", expires_at=UNTIL),
        found.thumbnail_url(PLAYBACK_ID, expires_at=UNTIL + timedelta(hours=1)),
        signer().thumbnail_url("another", expires_at=UNTIL),
    ):
        assert other not in urls
    assert found._shared_token.cache_info().misses == 3
    assert (found._shared_token.cache_info().maxsize or 0) > 1000, "as many as a catalogue, yet bounded"


def test_a_viewer_s_pictures_are_signed_once_for_all_who_watch_until_then(restricted: MuxSigner) -> None:
    one, other = (restricted.sign(PLAYBACK_ID, expires_at=UNTIL, trace=trace) for trace in ("one", "other"))
    assert (one.thumbnail_token, one.storyboard_token) == (other.thumbnail_token, other.storyboard_token)
    assert one.thumbnail_token != one.storyboard_token
    assert one.playback_token != other.playback_token
    assert restricted._shared_token.cache_info().misses == 2
    for different in (
        restricted.sign(PLAYBACK_ID, expires_at=UNTIL + timedelta(seconds=1), trace="one"),
        restricted.sign("another", expires_at=UNTIL, trace="one"),
        restricted.sign(PLAYBACK_ID, expires_at=UNTIL, trace="one", client="native"),
    ):
        assert different.thumbnail_token != one.thumbnail_token
        assert different.storyboard_token != one.storyboard_token
    assert restricted._shared_token.cache_info().misses == 8


def test_a_film_s_token_is_signed_once_for_a_playback_session_and_an_end(restricted: MuxSigner) -> None:
    """Its heartbeats come to the same end again and again. No other session, end, film or client gets that token."""
    first = restricted.sign(PLAYBACK_ID, expires_at=UNTIL, trace="one").playback_token
    assert restricted.sign(PLAYBACK_ID, expires_at=UNTIL, trace="one").playback_token == first
    assert restricted._traced_token.cache_info().misses == 1
    assert 1000 < (restricted._traced_token.cache_info().maxsize or 0) < 20_000
    later = UNTIL + timedelta(seconds=1)
    others = {
        ("other", PLAYBACK_ID, UNTIL, "web"): restricted.sign(PLAYBACK_ID, expires_at=UNTIL, trace="other"),
        ("one", "another", UNTIL, "web"): restricted.sign("another", expires_at=UNTIL, trace="one"),
        ("one", PLAYBACK_ID, later, "web"): restricted.sign(PLAYBACK_ID, expires_at=later, trace="one"),
        ("one", PLAYBACK_ID, UNTIL, "cast"): restricted.sign(
            PLAYBACK_ID, expires_at=UNTIL, trace="one", client="cast"
        ),
    }
    assert restricted._traced_token.cache_info().misses == 5
    for (trace, playback_id, end, client), signed in others.items():
        claims = jwt.decode(signed.playback_token, options={"verify_signature": False})
        assert (claims["custom"]["session_id"], claims["sub"]) == (trace, playback_id)
        assert claims["exp"] == int(end.timestamp())
        assert claims.get("playback_restriction_id") == ("only-our-site" if client == "web" else None)


@pytest.fixture
def restricted() -> MuxSigner:
    return MuxSigner(replace(SETTINGS, restrictions={"web": "only-our-site"}))


def test_the_end_is_never_rounded_up(signed: SignedPlayback) -> None:
    claims = jwt.decode(signed.playback_token, options={"verify_signature": False})
    assert claims["exp"] <= UNTIL.timestamp()


def test_the_key_is_parsed_once() -> None:
    """Parsing costs some hundred times what a signature does: the adapter keeps the key, not its text."""
    assert isinstance(signer()._key, rsa.RSAPrivateKey)


@pytest.mark.parametrize(
    "form", [serialization.PrivateFormat.TraditionalOpenSSL, serialization.PrivateFormat.PKCS8]
)
def test_either_form_of_the_key(form: serialization.PrivateFormat) -> None:
    token = signer(encoded(KEY, form)).sign(PLAYBACK_ID, expires_at=UNTIL, trace="x").thumbnail_token
    assert jwt.decode(token, KEY.public_key(), algorithms=["RS256"], audience="t")


@pytest.mark.parametrize(
    "private_key",
    [
        "not base64 at all",
        base64.b64decode(encoded(KEY)).decode(),
        base64.b64encode(b"-----BEGIN RSA PRIVATE KEY-----\n").decode(),
        base64.b64encode(PUBLIC_PEM.encode()).decode(),
        encoded(KEY)[: len(encoded(KEY)) // 2],
        encoded(KEY, password=b"secret"),
        encoded(ec.generate_private_key(ec.SECP256R1()), serialization.PrivateFormat.PKCS8),
        "AAAA",
    ],
    ids=["text", "pem", "head", "public", "half", "encrypted", "elliptic", "zeros"],
)
def test_a_bad_key_stops_with_one_line_that_names_the_setting(private_key: str) -> None:
    with pytest.raises(ConfigError, match=r"^MUX_SIGNING_PRIVATE_KEY should be [^\n]+$") as refused:
        signer(private_key)
    assert private_key not in str(refused.value)


# -- strangers --------------------------------------------------------------------------------------------


def test_an_independent_verifier_accepts_each_token(signed: SignedPlayback, javascript: JavaScript) -> None:
    for name, token in tokens(signed).items():
        found = javascript.ask("verify", token=token, publicKey=PUBLIC_PEM, audience=AUDIENCES[name])
        assert found["payload"]["sub"] == PLAYBACK_ID
        assert found["header"]["kid"] == KEY_ID


def test_our_tokens_look_like_those_of_mux_node(signed: SignedPlayback, javascript: JavaScript) -> None:
    kinds = {"playback": "video", "thumbnail": "thumbnail", "storyboard": "storyboard"}
    for name, token in tokens(signed).items():
        theirs = javascript.ask(
            "sign",
            playbackId=PLAYBACK_ID,
            keyId=KEY_ID,
            keySecret=encoded(KEY),
            type=kinds[name],
            expiration=f"{int(UNTIL.timestamp() - time.time())}s",
            params={"custom": {"session_id": "session-1"}} if name == "playback" else {},
        )
        their = jwt.decode_complete(theirs, KEY.public_key(), algorithms=["RS256"], audience=AUDIENCES[name])
        our = jwt.decode_complete(token, KEY.public_key(), algorithms=["RS256"], audience=AUDIENCES[name])
        # mux-node names the key in the claims alone; other libraries of Mux's do so in the header alone.
        assert our["header"] == their["header"] | {"kid": KEY_ID}
        assert our["payload"]["kid"] == KEY_ID
        assert abs(our["payload"].pop("exp") - their["payload"].pop("exp")) <= 10
        assert our["payload"] == their["payload"]


RESTRICTIONS = {"web": "of-the-web", "cast": "of-receivers"}


@pytest.mark.parametrize("client", ["web", "native", "cast"])
def test_each_kind_of_client_has_the_restriction_made_for_it(client: str) -> None:
    restricted = MuxSigner(replace(SETTINGS, restrictions=RESTRICTIONS))
    signed = restricted.sign(PLAYBACK_ID, expires_at=UNTIL, trace="x", client=client)
    for token in tokens(signed).values():
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims.get("playback_restriction_id") == RESTRICTIONS.get(client)
    assert signed.drm_token is None


def test_licences_take_a_token_of_their_own(javascript: JavaScript) -> None:
    protected = MuxSigner(replace(SETTINGS, restrictions=RESTRICTIONS, drm=True))
    token = protected.sign(PLAYBACK_ID, expires_at=UNTIL, trace="x").drm_token
    found = javascript.ask("verify", token=token, publicKey=PUBLIC_PEM, audience="d")
    assert found["payload"]["sub"] == PLAYBACK_ID
    assert found["payload"]["playback_restriction_id"] == RESTRICTIONS["web"]
    assert "custom" not in found["payload"]


# -- Cloudflare -------------------------------------------------------------------------------------------

UID = "5d5bc37ffcf54c9b82e996823bffbb81"
BRITAIN_ONLY = (
    {"type": "ip.geoip.country", "action": "allow", "country": ["GB"]},
    {"type": "any", "action": "block"},
)


def cloudflare_jwk() -> dict[str, Any]:
    """The private key as Cloudflare publishes it to its owner."""
    return RSAAlgorithm.to_jwk(KEY, as_dict=True) | {"kid": KEY_ID, "use": "sig", "alg": "RS256"}


def packed(jwk: object) -> str:
    return base64.b64encode(json.dumps(jwk).encode()).decode()


def cloudflare(jwk: str | None = None, rules: tuple[dict[str, Any], ...] = ()) -> CloudflareSigner:
    settings = CloudflareSigningSettings(
        KEY_ID, jwk or packed(cloudflare_jwk()), "https://customer-x.cloudflarestream.com", rules
    )
    return CloudflareSigner(settings)


@pytest.mark.parametrize("rules", [(), BRITAIN_ONLY])
def test_claims_at_cloudflare(rules: tuple[dict[str, Any], ...]) -> None:
    token = cloudflare(rules=rules).sign(UID, expires_at=UNTIL, trace="session-1").playback_token
    found = jwt.decode_complete(token, KEY.public_key(), algorithms=["RS256"])
    expected: dict[str, Any] = {
        "sub": UID,
        "kid": KEY_ID,
        "exp": int(UNTIL.timestamp()),
        "jti": "session-1",
    }
    assert found["payload"] == (expected | {"accessRules": list(rules)} if rules else expected)
    assert found["header"] == {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}


def test_a_token_is_signed_once_at_cloudflare_too() -> None:
    signing, later = cloudflare(), UNTIL + timedelta(seconds=1)
    first = signing.sign(UID, expires_at=UNTIL, trace="one").playback_token
    assert signing.sign(UID, expires_at=UNTIL, trace="one").playback_token == first
    assert signing._token.cache_info().misses == 1
    for trace, uid, end in (("other", UID, UNTIL), ("one", "another", UNTIL), ("one", UID, later)):
        token = signing.sign(uid, expires_at=end, trace=trace).playback_token
        claims = jwt.decode(token, options={"verify_signature": False})
        assert (claims["jti"], claims["sub"], claims["exp"]) == (trace, uid, int(end.timestamp()))
    assert signing._token.cache_info().misses == 4


def test_the_token_stands_in_place_of_the_uid() -> None:
    signed = cloudflare().sign(UID, expires_at=UNTIL, trace="session-1")
    base = f"https://customer-x.cloudflarestream.com/{signed.playback_token}"
    assert signed.playback_url == f"{base}/manifest/video.m3u8"
    assert signed.thumbnail_url == f"{base}/thumbnails/thumbnail.jpg"
    assert (signed.storyboard_url, signed.storyboard_token) == (None, None)


def test_no_list_gets_a_token_that_opens_the_film() -> None:
    """Cloudflare's tokens know no audience: one for the picture is one for all of it."""
    signing: PlaybackSigner = cloudflare()
    assert signing.thumbnail_url(UID, expires_at=UNTIL) is None


def test_cloudflare_takes_no_token_of_more_than_a_day() -> None:
    assert timedelta(hours=23) < cloudflare().longest < timedelta(hours=24)


def test_an_independent_verifier_accepts_it_by_the_published_jwk(javascript: JavaScript) -> None:
    public = {name: cloudflare_jwk()[name] for name in ("kty", "n", "e", "kid", "alg", "use")}
    token = cloudflare(rules=BRITAIN_ONLY).sign(UID, expires_at=UNTIL, trace="s").playback_token
    found = javascript.ask("verifyByJwk", token=token, jwks={"keys": [public]})
    assert (found["payload"]["sub"], found["header"]["kid"]) == (UID, KEY_ID)
    stranger = RSAAlgorithm.to_jwk(new_key().public_key(), as_dict=True) | {"kid": KEY_ID, "alg": "RS256"}
    with pytest.raises(RefusedError):
        javascript.ask("verifyByJwk", token=token, jwks={"keys": [stranger]})


@pytest.mark.parametrize(
    "jwk",
    [
        "not base64 at all",
        encoded(KEY),
        packed([]),
        packed({"kty": "EC"}),
        packed({name: value for name, value in cloudflare_jwk().items() if name != "d"}),
        packed(cloudflare_jwk() | {"p": RSAAlgorithm.to_jwk(new_key(), as_dict=True)["p"]}),
        packed(cloudflare_jwk() | {"n": 7}),
        packed(cloudflare_jwk() | {"kid": "another"}),
    ],
    ids=["text", "pem", "list", "elliptic", "public", "mixed", "number", "another's"],
)
def test_a_bad_jwk_stops_with_one_line_that_names_the_setting(jwk: str) -> None:
    with pytest.raises(ConfigError, match=r"^CLOUDFLARE_SIGNING_JWK should be [^\n]+$") as refused:
        cloudflare(jwk)
    assert jwk not in str(refused.value)
