"""Tokens, with PyJWT and keys that are loaded once."""

import base64
import json
import os
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fastapi import HTTPException, Request
from jwt.algorithms import ECAlgorithm

SLACK = timedelta(minutes=30)
LEASE_SECONDS = int(os.environ.get("STREAM_LEASE_SECONDS", "90"))
MAX_LIFE = timedelta(seconds=int(os.environ.get("PLAYBACK_MAX_SECONDS", "21600")))
KEY_ID = os.environ["MUX_SIGNING_KEY_ID"]
STREAM_BASE, IMAGE_BASE = os.environ["MUX_STREAM_BASE"], os.environ["MUX_IMAGE_BASE"]

_issuer, _audience = os.environ["TOKEN_ISSUER"], os.environ["TOKEN_AUDIENCE"]
_access_keys: dict[str, Any] = {
    key["kid"]: ECAlgorithm(ECAlgorithm.SHA256).from_jwk(
        {part: key[part] for part in ("kty", "crv", "x", "y")}
    )
    for key in json.loads(os.environ["ACCESS_TOKEN_KEYS"])["keys"]
}
_pem = base64.b64decode(os.environ["MUX_SIGNING_PRIVATE_KEY"])
_signing_key: Any = load_pem_private_key(_pem, password=None, unsafe_skip_rsa_key_validation=True)


def refused(status: int, code: str) -> HTTPException:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return HTTPException(status, detail=code, headers=headers)


def bearer(request: Request) -> tuple[uuid.UUID, uuid.UUID]:
    """User and login of the access token."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise refused(401, "invalid_token")
    try:
        header = jwt.get_unverified_header(token)
        key = _access_keys[header["kid"]]
        if header.get("typ") != "at+jwt":
            raise refused(401, "invalid_token")
        claims = jwt.decode(token, key, algorithms=["ES256"], issuer=_issuer, audience=_audience)
        return uuid.UUID(claims["sub"]), uuid.UUID(claims["sid"])
    except (jwt.PyJWTError, KeyError, ValueError):
        raise refused(401, "invalid_token") from None


def playback(
    *,
    video_id: uuid.UUID,
    session_id: uuid.UUID,
    provider: str,
    playback_id: str,
    duration: float,
    position: float,
    plan: str | None,
    reason: str,
    until: datetime | None,
) -> dict[str, Any]:
    """The answer's body."""
    now = datetime.now(UTC)
    life = min(timedelta(seconds=max(0.0, duration - position)) + SLACK, MAX_LIFE)
    if until is not None:
        life = min(life, until - now)
    expires_at = now + life
    video = _token(playback_id, "v", expires_at, {"custom": {"session_id": str(session_id)}})
    thumbnail = _token(playback_id, "t", expires_at, {})
    storyboard = _token(playback_id, "s", expires_at, {})
    return {
        "video_id": video_id,
        "session_id": session_id,
        "provider": provider,
        "playback_id": playback_id,
        "playback_url": f"{STREAM_BASE}/{playback_id}.m3u8?token={video}",
        "tokens": {"playback": video, "thumbnail": thumbnail, "storyboard": storyboard, "drm": None},
        "thumbnail_url": f"{IMAGE_BASE}/{playback_id}/thumbnail.jpg?token={thumbnail}",
        "storyboard_url": f"{IMAGE_BASE}/{playback_id}/storyboard.vtt?token={storyboard}",
        "expires_at": _utc(expires_at),
        "refresh_after": _utc(now + life * 0.8),
        "position": position,
        "entitlement": {"plan": plan, "reason": reason, "until": _utc(until) if until else None},
    }


def _token(playback_id: str, audience: str, expires_at: datetime, more: dict[str, object]) -> str:
    claims = {"sub": playback_id, "aud": audience, "exp": int(expires_at.timestamp()), "kid": KEY_ID, **more}
    return jwt.encode(claims, _signing_key, algorithm="RS256", headers={"kid": KEY_ID})


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
