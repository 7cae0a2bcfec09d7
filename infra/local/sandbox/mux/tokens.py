"""Signing keys and the playback tokens they sign."""

import base64
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.local.sandbox.mux.identifiers import new_id
from infra.local.sandbox.mux.refusals import forbidden, not_found
from infra.local.sandbox.mux.restrictions import Restrictions
from infra.local.sandbox.state import Document, State

_KIND = "mux.signing_key"
# Audiences: v video, t thumbnail, s storyboard, g animated image, d licence of the DRM.


class SigningKeys:
    """The environment's signing keys; private halves are handed out once and not kept."""

    def __init__(
        self,
        state: State,
        restrictions: Restrictions,
        clock: Callable[[], float],
        *,
        seed_id: str,
        seed_private_key: str,
    ) -> None:
        """Args:
        state: Where the keys are remembered.
        restrictions: What a token may name to be of use on some sites only.
        clock: Current time in Unix seconds.
        seed_id: Id of the key the installation was given.
        seed_private_key: That key, base64 of a PEM, as Mux gives it.
        """
        self._state = state
        self._restrictions = restrictions
        self._clock = clock
        # A deleted key stays as a document, so that a restart does not bring the seed back to life.
        if state.get(_KIND, seed_id) is None:
            pem = base64.b64decode(seed_private_key, validate=True)
            self._remember(seed_id, cast("rsa.RSAPrivateKey", serialization.load_pem_private_key(pem, None)))

    def create(self) -> Document:
        """A new key `{id, created_at, private_key}`."""
        private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        key_id = new_id()
        self._remember(key_id, private_key)
        return self.get(key_id) | {"private_key": base64.b64encode(pem).decode()}

    def get(self, key_id: str) -> Document:
        """One key `{id, created_at}`.

        Raises:
            MuxError: 404.
        """
        key = self._state.get(_KIND, key_id)
        if key is None or key["deleted"]:
            raise not_found()
        return {"id": key["id"], "created_at": key["created_at"]}

    def all(self) -> list[Document]:
        """Every live key `{id, created_at}`, newest first."""
        return [
            {"id": key["id"], "created_at": key["created_at"]}
            for key in reversed(self._state.all(_KIND))
            if not key["deleted"]
        ]

    def delete(self, key_id: str) -> None:
        """End a key and everything signed with it.

        Raises:
            MuxError: 404.
        """
        self.get(key_id)
        key = cast("Document", self._state.get(_KIND, key_id))
        self._state.put(_KIND, key_id, key | {"deleted": True})

    def verify(self, token: str, *, playback_id: str, audience: str, referrer: str | None) -> Document:
        """The claims of a token that opens this playback id for this audience now, from a page of the referrer.

        Raises:
            MuxError: 403, with the reason.
        """
        claims = self._signed_claims(token)
        if claims.get("sub") != playback_id:
            raise forbidden("the token's sub is not this playback ID")
        if claims.get("aud") != audience:
            raise forbidden(f"the token's aud is not {audience!r}")
        now = self._clock()
        if not _is_time(claims.get("exp")):
            raise forbidden("the token has no exp")
        if claims["exp"] <= now:
            raise forbidden("the token has expired")
        if "nbf" in claims and not (_is_time(claims["nbf"]) and claims["nbf"] <= now):
            raise forbidden("the token is not valid yet")
        if "playback_restriction_id" in claims:
            self._restrictions.check(claims["playback_restriction_id"], referrer)
        return claims

    def _signed_claims(self, token: str) -> Document:
        try:
            unverified = jwt.decode_complete(token, options={"verify_signature": False})
            header, claims = unverified["header"], unverified["payload"]
            # Mux takes the key's id from the header or from the claims: its own libraries disagree.
            named = {kid for kid in (header.get("kid"), claims.get("kid")) if isinstance(kid, str)}
            if header.get("alg") != "RS256" or len(named) != 1:
                raise forbidden("the token must be RS256 and name one signing key")
            key = self._state.get(_KIND, named.pop())
            if key is None or key["deleted"]:
                raise forbidden("the token's signing key does not exist")
            # Times, audience and subject are judged by `verify`, without the leniency of the library.
            verified: Document = jwt.decode(
                token,
                _public_key(key["public_key"]),
                algorithms=["RS256"],
                options={
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_aud": False,
                    "verify_sub": False,
                },
            )
        except jwt.InvalidTokenError as error:
            raise forbidden(f"the token is invalid: {error}") from error
        return verified

    def _remember(self, key_id: str, private_key: rsa.RSAPrivateKey) -> None:
        public_pem = private_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._state.put(
            _KIND,
            key_id,
            {
                "id": key_id,
                "created_at": str(int(self._clock())),
                "public_key": public_pem.decode(),
                "deleted": False,
            },
        )


@lru_cache(maxsize=64)
def _public_key(pem: str) -> rsa.RSAPublicKey:
    return cast("rsa.RSAPublicKey", serialization.load_pem_public_key(pem.encode()))


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
