"""Whatever openapi.json allows, and whatever it does not, sent to every operation by schemathesis.

Answers are held against the description: status, type, schema, headers. What it does not allow has to be refused, and
what it allows may be refused for reasons only that no description can know (`REASONS`).
"""

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode

from infra.local.openapi import OPERATIONS
from infra.local.supervisor import Stack
from lib.database.engine import Database
from lib.web.operation import Who
from tests.api import described
from tests.faults.counts import tried
from tests.faults.hostile import Callers, functions_url, signatures

SEED = int(os.environ.get("FAULTS_SEED") or 7)
THOROUGH = os.environ.get("FAULTS") == "all"
EXAMPLES = 20 if THOROUGH else 3

CONFIG = {
    "seed": SEED,
    "generation": {
        "max-examples": EXAMPLES,
        "database": "none",
        "no-shrink": not THOROUGH,
        "with-security-parameters": False,
    },
    # `REASONS` is stricter: it looks at codes.
    "checks": {"positive_data_acceptance": {"enabled": False}},
}
schema = schemathesis.openapi.from_dict(described(), config=SchemathesisConfig.from_dict(CONFIG))

BY_NAME = {f"{operation.method} /{operation.function}": operation for operation in OPERATIONS}
# Ids, links, codes, cursors, signatures and passwords that are nobody's, and what fits no row as it is.
LINK = {"invalid_link", "weak_password"}
REASONS: dict[str, set[str]] = {
    "POST /register": {"weak_password", "invalid_email", "email_taken"},
    "POST /login": {"invalid_credentials", "invalid_email", "too_many_attempts"},
    "POST /refresh": {"invalid_refresh_token"},
    "POST /logout": {"not_found"},
    "PATCH /account": {"wrong_password", "weak_password", "invalid_email"},
    "DELETE /account": {"wrong_password"},
    # With nothing in it, it is for those who are logged in.
    "POST /verify-email": {"invalid_link", "invalid_token"},
    "POST /reset-password": {"invalid_link", "weak_password", "invalid_email", "too_many_requests"},
    "POST /create-checkout": {"unknown_plan", "video_not_found"},
    "POST /confirm-checkout": {"not_found"},
    "POST /create-portal": {"no_customer"},
    "POST /redeem": {"unknown_code"},
    # What one has begun is for those who are logged in.
    "GET /list-videos": {
        "malformed_request",
        "invalid_token",
        "unknown_value",
        "goes_alone",
        "video_not_found",
    },
    "GET /get-playback": {"video_not_found"},
    "POST /heartbeat": {"playback_session_not_found"},
    "GET /manage-video": {"video_not_found", "malformed_request", "goes_alone"},
    "PATCH /manage-video": {"video_not_found"},
    "DELETE /manage-video": {"video_not_found"},
    "POST /process-task": {"unknown_kind"},
    **{f"POST /{name}-webhook": {"malformed_request"} for name in ("stripe", "mux", "cloudflare")},
}
# Whoever else asks is refused for what they are.
ENOUGH = dict.fromkeys(Who, ("stranger", "viewer", "admin", "machine")) | {Who.ADMIN: ("admin",)}
TRIES: Counter[str] = Counter()


@pytest.fixture(scope="module")
def callers(stack: Stack, environment: dict[str, str], database: Database) -> Iterator[Callers]:
    yield Callers(stack, environment, database)
    tried("requests by schemathesis", tries=TRIES.total(), held=TRIES.total(), seed=SEED)


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        yield opened


def codes(response: requests.Response) -> set[str]:
    """What was wrong: of fields that are, theirs."""
    problem = response.json()
    return {error["code"] for error in problem.get("errors", [])} or {problem["code"]}


@schema.parametrize()
def test_every_operation(
    case: schemathesis.Case[Any],
    stack: Stack,
    environment: dict[str, str],
    callers: Callers,
    session: requests.Session,
) -> None:
    name = f"{case.operation.method.upper()} {case.operation.path}"
    operation = BY_NAME[name]
    positive = case.meta is None or case.meta.generation.mode is GenerationMode.POSITIVE
    asking = list(callers.tokens(operation).items())
    # Where there is no time for all of them, they ask in turn.
    for role, token in asking if THOROUGH else [asking[TRIES[name] % len(asking)]]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        sent = requests.Request(**case.as_transport_kwargs(base_url=functions_url(stack), headers=headers))
        prepared = session.prepare_request(sent)
        body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body or b""
        if positive:
            prepared.headers.update(signatures(environment, operation.function, body))
        response = session.send(prepared, timeout=30, allow_redirects=False)
        TRIES[name] += 1
        case.validate_response(response, headers=headers)
        if positive and role in ENOUGH[operation.who] and response.status_code >= 400:
            assert codes(response) <= REASONS.get(name, set()), (role, body, response.text)
