"""Tokens that the providers' edges check: RS256 by PyJWT, keys parsed once, no SDK, no network."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPrivateNumbers, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lib.adapters.shared import shared
from lib.config import CloudflareSigningSettings, Environment, MuxSigningSettings
from lib.errors import ConfigError
from lib.video.ports import PlaybackSigner, SignedPlayback

_VIDEO, _THUMBNAIL, _STORYBOARD, _DRM = "v", "t", "s", "d"
# Tokens that all viewers share, some 700 bytes each.
_KEPT_SHARED = 4096
# Those of one viewer, a kilobyte each: a viewer's player comes back every half minute, with thousands of others in between.
_KEPT_TRACED = 8192


def playback_signers(env: Environment) -> Mapping[str, PlaybackSigner]:
    """Provider -> its signer, of all that are set up. Functions that share a process share them.

    Raises:
        ConfigError: one of them is set up by half.
    """
    makers: Mapping[str, Callable[[], PlaybackSigner]] = {
        "mux": lambda: _mux_signer(env.mux_signing()),
        "cloudflare": lambda: _cloudflare_signer(env.cloudflare_signing()),
    }
    return {name: makers[name]() for name in env.video_providers()}


class MuxSigner:
    """Signs for Mux. Parsing an RSA key costs far more than a signature: it happens here, once.

    Signatures are kept: what bears no viewer's trace for all who ask for the same end, a film's own for its playback
    session, whose heartbeats come to the same end again and again. A signature of the same claims is the same anyway,
    and whether there may be one is decided before, each time.

    Raises:
        ConfigError: the key is not base64 of an RSA private key's PEM.
    """

    # Mux sets no bound; ours is PLAYBACK_MAX_SECONDS.
    longest = timedelta(days=7)

    def __init__(self, settings: MuxSigningSettings) -> None:
        self._settings = settings
        try:
            pem = base64.b64decode(settings.private_key, validate=True)
            # Our own key, made by Mux: proving its primes prime again would cost 50 ms.
            key = load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
        except (binascii.Error, ValueError, TypeError):
            key = None
        if not isinstance(key, RSAPrivateKey):
            raise ConfigError("MUX_SIGNING_PRIVATE_KEY should be base64 of an RSA key's PEM, as Mux gives it")
        self._key = key
        self._traced_token = lru_cache(_KEPT_TRACED)(self._sign_traced)
        self._shared_token = lru_cache(_KEPT_SHARED)(self._sign_shared)
        self._preview_token = lru_cache(_KEPT_SHARED)(self._sign_preview)

    def sign(
        self, playback_id: str, *, expires_at: datetime, trace: str, client: str = "web"
    ) -> SignedPlayback:
        restriction = self._settings.restrictions.get(client)
        end = int(expires_at.timestamp())
        video = self._traced_token(playback_id, trace, end, restriction)
        thumbnail = self._shared_token(playback_id, _THUMBNAIL, end, restriction)
        storyboard = self._shared_token(playback_id, _STORYBOARD, end, restriction)
        drm = self._shared_token(playback_id, _DRM, end, restriction) if self._settings.drm else None
        stream, image = self._settings.stream_base, self._settings.image_base
        return SignedPlayback(
            playback_url=f"{stream}/{playback_id}.m3u8?token={video}",
            thumbnail_url=f"{image}/{playback_id}/thumbnail.jpg?token={thumbnail}",
            storyboard_url=f"{image}/{playback_id}/storyboard.vtt?token={storyboard}",
            playback_token=video,
            thumbnail_token=thumbnail,
            storyboard_token=storyboard,
            drm_token=drm,
        )

    def thumbnail_url(self, playback_id: str, *, expires_at: datetime) -> str:
        token = self._shared_token(playback_id, _THUMBNAIL, int(expires_at.timestamp()), None)
        return f"{self._settings.image_base}/{playback_id}/thumbnail.jpg?token={token}"

    def preview_url(self, playback_id: str, *, seconds: int, expires_at: datetime) -> str:
        token = self._preview_token(playback_id, seconds, int(expires_at.timestamp()))
        return f"{self._settings.stream_base}/{playback_id}.m3u8?token={token}"

    def _sign_preview(self, playback_id: str, seconds: int, end: int) -> str:
        # In the token and not in the query: there whoever has it could take it away.
        return self._token(playback_id, _VIDEO, end, {"asset_end_time": seconds})

    def has_signed(self, token: str) -> bool:
        """Whether a token, however old, is this key's."""
        return _has_signed(self._key, token)

    def _sign_traced(self, playback_id: str, trace: str, end: int, restriction: str | None) -> str:
        return self._token(playback_id, _VIDEO, end, {"custom": {"session_id": trace}}, restriction)

    def _sign_shared(self, playback_id: str, audience: str, end: int, restriction: str | None) -> str:
        return self._token(playback_id, audience, end, {}, restriction)

    def _token(
        self,
        playback_id: str,
        audience: str,
        end: int,
        claims: dict[str, object],
        restriction: str | None = None,
    ) -> str:
        key_id = self._settings.key_id
        # Mux's own clients disagree on where `kid` goes, so it goes to both places. No `iat`: a clock
        # that runs ahead of Mux's must not make a token of the future.
        payload = {
            "sub": playback_id,
            "aud": audience,
            "exp": end,
            "kid": key_id,
            **claims,
        }
        if restriction:
            payload["playback_restriction_id"] = restriction
        return jwt.encode(payload, self._key, algorithm="RS256", headers={"kid": key_id})


class CloudflareSigner:
    """Signs for Cloudflare Stream, where a token stands in the URL in place of the video's id.

    One token opens everything of a video, its pictures and the film itself. So there are no pictures for
    lists that anybody may see, and a viewer's picture has the film's own token.

    Raises:
        ConfigError: the key is not base64 of the JWK of an RSA private key, or not the one that is named.
    """

    # A token may live 24 hours; a clock that runs ahead of Cloudflare's must not make one of more.
    longest = timedelta(hours=23, minutes=55)

    def __init__(self, settings: CloudflareSigningSettings) -> None:
        self._settings = settings
        try:
            jwk = json.loads(base64.b64decode(settings.jwk, validate=True))
            self._key = _from_jwk(jwk)
        except (binascii.Error, ValueError, TypeError, KeyError, AttributeError):
            raise ConfigError(
                "CLOUDFLARE_SIGNING_JWK should be base64 of an RSA key's JWK, as Cloudflare gives it"
            ) from None
        if jwk.get("kid", settings.key_id) != settings.key_id:
            raise ConfigError("CLOUDFLARE_SIGNING_JWK should be the key that CLOUDFLARE_SIGNING_KEY_ID names")
        self._token = lru_cache(_KEPT_TRACED)(self._sign)

    def sign(
        self,
        playback_id: str,
        *,
        expires_at: datetime,
        trace: str,
        client: str = "web",  # noqa: ARG002 - Cloudflare does not tell them apart
    ) -> SignedPlayback:
        token = self._token(playback_id, trace, int(expires_at.timestamp()))
        base = f"{self._settings.stream_base}/{token}"
        return SignedPlayback(
            playback_url=f"{base}/manifest/video.m3u8",
            thumbnail_url=f"{base}/thumbnails/thumbnail.jpg",
            storyboard_url=None,
            playback_token=token,
            thumbnail_token=token,
            storyboard_token=None,
        )

    def _sign(self, playback_id: str, trace: str, end: int) -> str:
        payload: dict[str, object] = {
            "sub": playback_id,
            "kid": self._settings.key_id,
            "exp": end,
            # A name of the standard's own (RFC 7519): who does not look for it passes over it.
            "jti": trace,
        }
        if self._settings.access_rules:
            payload["accessRules"] = list(self._settings.access_rules)
        return jwt.encode(payload, self._key, algorithm="RS256", headers={"kid": self._settings.key_id})

    def has_signed(self, token: str) -> bool:
        """Whether a token, however old, is this key's."""
        return _has_signed(self._key, token)

    def thumbnail_url(self, playback_id: str, *, expires_at: datetime) -> None:  # noqa: ARG002 - none may be signed
        return None

    def preview_url(self, playback_id: str, *, seconds: int, expires_at: datetime) -> None:  # noqa: ARG002 - as above
        return None


def _has_signed(key: RSAPrivateKey, token: str) -> bool:
    unasked = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
    try:
        jwt.decode(token, key.public_key(), algorithms=["RS256"], options=unasked)  # type: ignore[arg-type]
    except jwt.InvalidTokenError:
        return False
    return True


def _from_jwk(jwk: dict[str, str]) -> RSAPrivateKey:
    """The key, unproved: it is our own, and proving its primes prime again would cost 50 ms."""
    if jwk["kty"] != "RSA":
        raise ValueError("not an RSA key")
    n, e, d, p, q, dp, dq, qi = (
        int.from_bytes(base64.urlsafe_b64decode(jwk[name] + "=" * (-len(jwk[name]) % 4)), "big")
        for name in ("n", "e", "d", "p", "q", "dp", "dq", "qi")
    )
    if p * q != n:
        raise ValueError("parts of different keys")
    numbers = RSAPrivateNumbers(p, q, d, dp, dq, qi, RSAPublicNumbers(e, n))
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


_mux_signer = shared(MuxSigner)
_cloudflare_signer = shared(CloudflareSigner)
