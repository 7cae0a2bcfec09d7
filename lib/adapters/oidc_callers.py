"""OIDC tokens of service accounts, as Cloud Tasks and Cloud Scheduler send them, by PyJWT."""

import http.client
import json
import time
from typing import Any

import jwt

from lib.adapters.plain_http import ask
from lib.config import CallerSettings
from lib.errors import ForbiddenError, InvalidTokenError, UnavailableError

CERTS_TIMEOUT_SECONDS = 5
_LEEWAY_SECONDS = 30
_LONGEST_KEYS = 262144


class _IssuersKeys(jwt.PyJWKClient):
    """The issuer's keys, kept for a while. An issuer that sends something else is out of reach, too: no
    token of its is judged by that."""

    def fetch_data(self) -> Any:
        """As PyJWT's own, but all of it in time, and no more than keys are."""
        try:
            ends = time.monotonic() + self.timeout
            status, content = ask("GET", self.uri, ends, {}, longest=_LONGEST_KEYS)
            found = json.loads(content)
            if status != 200 or not jwt.PyJWKSet.from_dict(found).keys:
                raise ValueError("no keys")
        except (
            jwt.PyJWTError,
            ValueError,
            TypeError,
            AttributeError,
            OSError,
            http.client.HTTPException,
        ) as error:
            raise UnavailableError("The issuer's keys are out of reach") from error
        if self.jwk_set_cache is not None:
            self.jwk_set_cache.put(found)
        self._last_successful_fetch = time.monotonic()
        return found


class OidcCallers:
    """Checks issuer, signature, audience, time and email. The issuer's keys are fetched when needed."""

    def __init__(self, settings: CallerSettings, seconds: float = CERTS_TIMEOUT_SECONDS) -> None:
        self._settings = settings
        self._keys = _IssuersKeys(
            settings.certs_url,
            # PyJWT keeps single keys for ever; one that the issuer withdraws must go within the hour.
            cache_keys=False,
            lifespan=3600,
            timeout=seconds,
        )

    def check(self, token: str) -> str:
        """The caller's email.

        Raises:
            InvalidTokenError: not a token of the issuer for this audience, or too old.
            ForbiddenError: a good token of somebody else.
            UnavailableError: the issuer's keys cannot be fetched.
        """
        try:
            key = self._keys.get_signing_key_from_jwt(token)
            payload = jwt.decode(
                token,
                key.key,
                algorithms=["RS256"],
                audience=self._settings.audience,
                issuer=list(self._settings.issuers),
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError):
            raise InvalidTokenError from None
        email = payload.get("email")
        known = isinstance(email, str) and email in self._settings.emails
        if payload.get("email_verified") is not True or not known:
            raise ForbiddenError
        return str(email)
