"""Access tokens: JWTs signed with ES256 (RFC 9068), by PyJWT."""

import time
import uuid
from datetime import datetime
from functools import lru_cache
from typing import Any

import jwt
from jwt.algorithms import ECAlgorithm

from lib.adapters.shared import shared
from lib.config import TokenSettings
from lib.errors import ConfigError, InvalidTokenError
from lib.web.ports import Claims

_ALGORITHM = "ES256"
_TYPE = "at+jwt"
# These and no others: none that brings a key or says where one is, none that must be understood (`crit`).
_HEADERS = {"alg", "kid", "typ"}
_LONGEST = 4096
# Headers that were read: all tokens of one key have the same.
_KEPT_HEADERS = 32
# Tokens that were verified, some kilobyte each: a player comes with the same one every half minute, with thousands of
# others in between.
_KEPT_TOKENS = 8192
# How far the clocks of two instances may differ: a token just issued is no token of the future.
_LEEWAY_SECONDS = 10


class JwtTokens:
    """Signs with the first key, verifies with all of them. Keys are parsed once, here.

    That a signature is good, and what it stands under, does not change: it is found out once for each token. Whether
    its time is over, and whether its login is, is asked each time.

    Raises:
        ConfigError: a key is not a usable P-256 key.
    """

    def __init__(self, settings: TokenSettings) -> None:
        self._settings = settings
        algorithm = ECAlgorithm(ECAlgorithm.SHA256)
        try:
            self._signing: Any = algorithm.from_jwk(settings.keys[0])
            self._verifying: dict[str, Any] = {
                key["kid"]: algorithm.from_jwk({part: key[part] for part in ("kty", "crv", "x", "y")})
                for key in settings.keys
            }
        except (jwt.InvalidKeyError, ValueError):
            raise ConfigError("ACCESS_TOKEN_KEYS should hold valid P-256 keys") from None
        self._key_of = lru_cache(_KEPT_HEADERS)(self._key_of_header)
        self._checked = lru_cache(_KEPT_TOKENS)(self._check)

    def issue(self, claims: Claims, *, now: datetime) -> tuple[str, int]:
        issued = int(now.timestamp())
        lifetime = self._settings.access_seconds
        payload = {
            "iss": self._settings.issuer,
            "aud": self._settings.audience,
            "sub": str(claims.user_id),
            "sid": str(claims.session_id),
            "jti": str(uuid.uuid4()),
            "iat": issued,
            "nbf": issued,
            "exp": issued + lifetime,
        }
        headers = {"kid": self._settings.keys[0]["kid"], "typ": _TYPE}
        return jwt.encode(payload, self._signing, algorithm=_ALGORITHM, headers=headers), lifetime

    def verify(self, token: str) -> Claims:
        try:
            # What is refused raises, and is not kept.
            claims, end = self._checked(token)
            # PyJWT's leeway is for all three times, but nobody needs a token past its end: clients refresh.
            is_over = end <= time.time()
        except (jwt.PyJWTError, KeyError, ValueError, TypeError, AttributeError):
            raise InvalidTokenError from None
        if is_over:
            raise InvalidTokenError
        return claims

    def _check(self, token: str) -> tuple[Claims, Any]:
        """Whose a good token is, and when it ends.

        PyJWT leaves `typ` and key references in the header to the caller: they are checked here.
        """
        if len(token) > _LONGEST:
            raise InvalidTokenError
        payload = jwt.decode(
            token,
            self._key_of(token.partition(".")[0]),
            algorithms=[_ALGORITHM],
            issuer=self._settings.issuer,
            audience=self._settings.audience,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["exp", "nbf", "iat", "iss", "aud", "sub"]},
        )
        return Claims(uuid.UUID(payload["sub"]), uuid.UUID(payload["sid"])), payload["exp"]

    def _key_of_header(self, encoded: str) -> Any:
        """The key that a token's first part names, if that part is as ours are."""
        header = jwt.get_unverified_header(f"{encoded}..")
        key = self._verifying.get(str(header.get("kid")))
        if key is None or str(header.get("typ")).lower() != _TYPE or set(header) != _HEADERS:
            raise InvalidTokenError
        return key


@shared
def access_tokens(settings: TokenSettings) -> JwtTokens:
    """The process's one verifier of these keys: functions that share a process check a token once."""
    return JwtTokens(settings)
