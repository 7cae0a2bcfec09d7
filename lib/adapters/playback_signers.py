"""Tokens that Mux's edge checks: RS256 by PyJWT, the key parsed once, no SDK, no network."""

import base64
import binascii
from datetime import datetime
from functools import lru_cache

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lib.config import MuxSigningSettings
from lib.errors import ConfigError
from lib.video.ports import SignedPlayback

_VIDEO, _THUMBNAIL, _STORYBOARD = "v", "t", "s"
# Some 700 bytes each.
_THUMBNAILS_KEPT = 4096


class MuxSigner:
    """Signs for Mux. Parsing an RSA key costs far more than a signature: it happens here, once.

    Lists are public and hold a hundred pictures, so their signatures are kept for whoever asks for the same.

    Raises:
        ConfigError: the key is not base64 of an RSA private key's PEM.
    """

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
        self._thumbnail_token = lru_cache(_THUMBNAILS_KEPT)(self._sign_thumbnail)

    def sign(self, playback_id: str, *, expires_at: datetime, trace: str) -> SignedPlayback:
        video = self._token(playback_id, _VIDEO, expires_at, {"custom": {"session_id": trace}})
        thumbnail = self._token(playback_id, _THUMBNAIL, expires_at, {})
        storyboard = self._token(playback_id, _STORYBOARD, expires_at, {})
        stream, image = self._settings.stream_base, self._settings.image_base
        return SignedPlayback(
            playback_url=f"{stream}/{playback_id}.m3u8?token={video}",
            thumbnail_url=f"{image}/{playback_id}/thumbnail.jpg?token={thumbnail}",
            storyboard_url=f"{image}/{playback_id}/storyboard.vtt?token={storyboard}",
            playback_token=video,
            thumbnail_token=thumbnail,
            storyboard_token=storyboard,
        )

    def thumbnail_url(self, playback_id: str, *, expires_at: datetime) -> str:
        token = self._thumbnail_token(playback_id, expires_at)
        return f"{self._settings.image_base}/{playback_id}/thumbnail.jpg?token={token}"

    def _sign_thumbnail(self, playback_id: str, expires_at: datetime) -> str:
        return self._token(playback_id, _THUMBNAIL, expires_at, {})

    def _token(self, playback_id: str, audience: str, expires_at: datetime, claims: dict[str, object]) -> str:
        key_id = self._settings.key_id
        # Mux's own clients disagree on where `kid` goes, so it goes to both places. No `iat`: a clock
        # that runs ahead of Mux's must not make a token of the future.
        payload = {
            "sub": playback_id,
            "aud": audience,
            "exp": int(expires_at.timestamp()),
            "kid": key_id,
            **claims,
        }
        return jwt.encode(payload, self._key, algorithm="RS256", headers={"kid": key_id})
