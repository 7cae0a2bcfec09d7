"""jwks: the public half of the keys that sign access tokens."""

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


def jwks(settings: TokenSettings, _call: Call) -> Answer:
    """Named members only, so that a private part cannot slip out."""
    keys = [
        {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256"}
        | {part: key[part] for part in ("kid", "x", "y")}
        for key in settings.keys
    ]
    return Answer(200, {"keys": keys}, headers={"Cache-Control": "public, max-age=300"}, tagged=True)
