"""Identity tokens of the machines that call us: the local dispatcher and the scheduler."""

import time
from typing import Any

import jwt

from infra.local.settings import LocalSettings

CALLERS = {"process-task": "tasks@local.streamly", "reconcile": "scheduler@local.streamly"}


def identity(
    local: LocalSettings, function: str, *, key: Any = None, kid: str | None = None, **claims: Any
) -> str:
    """A token as the dispatcher makes it for this function; `...` for a claim leaves it out."""
    now, caller = int(time.time()), CALLERS.get(function, CALLERS["process-task"])
    wanted = {
        "iss": f"{local.base_url}/sandbox/tasks",
        "aud": f"{local.base_url}/{function}",
        "sub": caller,
        "email": caller,
        "email_verified": True,
        "iat": now,
        "exp": now + 3600,
    } | claims
    return jwt.encode(
        {name: value for name, value in wanted.items() if value is not ...},
        key or local.oidc_private_key,
        algorithm="RS256",
        headers={"kid": kid or local.oidc_key_id},
    )
