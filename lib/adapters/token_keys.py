"""New keys for access tokens."""

import base64
import secrets

from cryptography.hazmat.primitives.asymmetric import ec


def make_key() -> dict[str, str]:
    """A private ES256 key as a JWK, with a name of its own: one entry of `ACCESS_TOKEN_KEYS`."""
    numbers = ec.generate_private_key(ec.SECP256R1()).private_numbers()
    parts = {"x": numbers.public_numbers.x, "y": numbers.public_numbers.y, "d": numbers.private_value}
    encoded = {
        name: base64.urlsafe_b64encode(value.to_bytes(32, "big")).rstrip(b"=").decode()
        for name, value in parts.items()
    }
    return {"kty": "EC", "crv": "P-256", "kid": secrets.token_hex(8), "use": "sig", "alg": "ES256", **encoded}
