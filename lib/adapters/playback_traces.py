"""Whose a playback address is: reads the token in it, by the keys that sign them."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import jwt

from lib.adapters.playback_signers import CloudflareSigner, MuxSigner
from lib.config import Environment
from lib.web.operation import as_uuid

_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Trace:
    """What a token says. `genuine`: signed with our present key of that provider; anybody can write another."""

    provider: str
    playback_id: str
    playback_session_id: UUID | None
    expires_at: datetime
    genuine: bool


def read_trace(text: str, env: Environment) -> Trace | None:
    """The trace of the first playback token in a URL, or in a text; None where there is none.

    Raises:
        ConfigError: a provider is set up by half.
    """
    for token in _TOKEN.findall(text):
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
            expires_at = datetime.fromtimestamp(claims["exp"], UTC)
            playback_id = str(claims["sub"])
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, OverflowError):
            continue
        provider = "mux" if "aud" in claims else "cloudflare"
        # Not checked yet, so of any form.
        custom = claims.get("custom")
        ours = custom.get("session_id") if isinstance(custom, dict) else None
        named = ours if provider == "mux" else claims.get("jti")
        session_id = as_uuid(named) if isinstance(named, str) else None
        return Trace(provider, playback_id, session_id, expires_at, _is_ours(token, provider, env))
    return None


def _is_ours(token: str, provider: str, env: Environment) -> bool:
    if provider not in env.video_providers():
        return False
    signer = MuxSigner(env.mux_signing()) if provider == "mux" else CloudflareSigner(env.cloudflare_signing())
    return signer.has_signed(token)
