"""Webhook signatures of the form `t=<unix time>,v1=<hex>`: HMAC-SHA256 of `t.body`.

Stripe and Mux name the parts so; Cloudflare calls them `time` and `sig1`.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from datetime import datetime

from lib.errors import InvalidSignatureError

TOLERANCE_SECONDS = 300
_LONGEST_HEADER = 4096


def verify(
    payload: bytes,
    header: str,
    secrets: Iterable[str],
    now: datetime,
    names: tuple[str, str] = ("t", "v1"),
) -> None:
    """Returns if one of the secrets signed the payload within five minutes of now, before or after.

    All candidates are compared, each in constant time.

    Args:
        names: what the header calls the time and the signature.

    Raises:
        InvalidSignatureError: whatever is wrong; the answer does not tell a forger what.
    """
    parts = [part.strip().partition("=") for part in header[:_LONGEST_HEADER].split(",")]
    times = [value for name, _, value in parts if name == names[0]]
    signatures = [value.encode() for name, _, value in parts if name == names[1]]
    if len(times) != 1 or not re.fullmatch(r"[0-9]{1,12}", times[0]) or not signatures:
        raise InvalidSignatureError
    if abs(now.timestamp() - int(times[0])) > TOLERANCE_SECONDS:
        raise InvalidSignatureError
    signed = times[0].encode() + b"." + payload
    fits = False
    for secret in secrets:
        expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode()
        for signature in signatures:
            fits |= hmac.compare_digest(expected, signature)
    if not fits:
        raise InvalidSignatureError
