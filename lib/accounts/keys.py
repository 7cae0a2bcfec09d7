"""jwks: the public half of the keys that sign access tokens."""

import hashlib
import json

from lib.config import TokenSettings
from lib.web.operation import Answer, Call, Operation, Who

JWKS = Operation(
    function="jwks",
    method="GET",
    tag="Accounts",
    summary="Public keys of the access tokens (RFC 7517)",
    who=Who.ANYONE,
    answers={200: "lib.accounts.answers:KeySetAnswer", 304: None},
)


def jwks(settings: TokenSettings, call: Call) -> Answer:
    """Named members only, so that a private part cannot slip out."""
    keys = [
        {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256"}
        | {part: key[part] for part in ("kid", "x", "y")}
        for key in settings.keys
    ]
    tag = f'"{hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:32]}"'
    headers = {"Cache-Control": "public, max-age=300", "ETag": tag}
    known = {name.strip().removeprefix("W/") for name in call.headers.get("If-None-Match", "").split(",")}
    if known & {tag, "*"}:
        return Answer(304, headers=headers)
    return Answer(200, {"keys": keys}, headers=headers)
