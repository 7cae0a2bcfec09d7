"""Requests after one another, by schemathesis: what an answer gave is asked with, in any order, until something is odd.

The links are those of `LINKS`: what a client does with an answer. Each story has an account of its own; payment pages are paid.
"""

import copy
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import Phase, seed, settings
from schemathesis.config import SchemathesisConfig

from infra.local.supervisor import Stack
from lib.database.engine import Database
from tests.api import described
from tests.factories import Factory
from tests.faults.counts import tried
from tests.faults.hostile import Callers, functions_url

SEED = int(os.environ.get("FAULTS_SEED") or 7)
CONFIG = {
    "seed": SEED,
    "generation": {"database": "none", "with-security-parameters": False},
    # Tokens are `test_hostile_tokens.py`'s. A film that was deleted answers its admin until it is gone at its provider.
    "checks": {
        "positive_data_acceptance": {"enabled": False},
        "use_after_free": {"enabled": False},
        "ignored_auth": {"enabled": False},
    },
}
# From which answer -> to which operation, with what.
LINKS: list[tuple[str, str, str, str, dict[str, Any]]] = [
    ("register", "post", "201", "post-refresh", {"requestBody": {"refresh_token": "$response.body#/refresh_token"}}),
    ("refresh", "post", "200", "post-refresh", {"requestBody": {"refresh_token": "$response.body#/refresh_token"}}),
    ("account", "get", "200", "post-logout", {"requestBody": {"session_id": "$response.body#/sessions/0/id"}}),
    ("list-plans", "get", "200", "post-create-checkout", {"requestBody": {"plan": "$response.body#/plans/0/code"}}),
    *(("create-checkout", "post", status, "post-confirm-checkout",
       {"requestBody": {"session_id": "$response.body#/session_id"}}) for status in ("200", "201")),
    ("list-videos", "get", "200", "get-get-playback", {"parameters": {"video_id": "$response.body#/videos/0/id"}}),
    ("list-videos", "get", "200", "get-list-videos", {"parameters": {"cursor": "$response.body#/next_cursor"}}),
    ("get-playback", "get", "200", "post-heartbeat",
     {"requestBody": {"session_id": "$response.body#/session_id", "position": 7}}),
    ("get-playback", "get", "200", "get-get-playback",
     {"parameters": {"video_id": "$response.body#/video_id", "takeover": "$response.body#/session_id"}}),
    ("upload-asset", "post", "201", "get-manage-video", {"parameters": {"video_id": "$response.body#/video/id"}}),
    ("upload-asset", "post", "201", "patch-manage-video", {"parameters": {"video_id": "$response.body#/video/id"}}),
    ("manage-video", "patch", "200", "delete-manage-video", {"parameters": {"video_id": "$response.body#/video/id"}}),
]  # fmt: skip


def linked() -> dict[str, Any]:
    document = copy.deepcopy(described())
    for number, (function, method, status, target, what) in enumerate(LINKS):
        answer = document["paths"][f"/{function}"][method]["responses"][status]
        answer.setdefault("links", {})[f"link{number}"] = {"operationId": target, **what}
    return document


# Hypothesis keeps to what it drew before, and what is allowed here depends on the server's answers: after some tens of
# stories it finds that inconsistent. So many short runs, each with a seed of its own; and more, as long as stories have not
# come to where they lead.
RUNS, MOST_RUNS, STORIES_EACH = 8, 60, 10
# What an account's stories are for. Watching is the viewer's.
LED_TO = {
    "viewer": (
        {"/refresh 200"},
        {"/confirm-checkout 200"},
        {"/get-playback 200"},
        {"/heartbeat 200", "/heartbeat 204"},
    ),
    "admin": ({"/refresh 200"}, {"/upload-asset 201"}, {"/manage-video 200"}, {"/manage-video 204"}),
}


@pytest.mark.parametrize("role", ["viewer", "admin"])
def test_stories(
    role: str, stack: Stack, environment: dict[str, str], database: Database, make: Factory, thorough: bool
) -> None:
    callers, tries = Callers(stack, environment, database), Counter[str]()
    for _ in range(3):
        make.video(level=0)
    for number in range(MOST_RUNS if thorough else 1):
        _tell(SEED + number, functions_url(stack), lambda: callers.guest(role).token or "", tries)
        if number + 1 >= RUNS and all(one_of & set(tries) for one_of in LED_TO[role]):
            break
    tried(
        f"stories by schemathesis, {role}",
        tries=tries["requests"],
        held=tries["requests"],
        stories=tries["stories"],
    )
    print(dict(tries))
    if thorough:
        never = [one_of for one_of in LED_TO[role] if not one_of & set(tries)]
        assert not never, "stories come to where they lead"


def _tell(number: int, url: str, log_in: Callable[[], str], tries: Counter[str]) -> None:
    schema = schemathesis.openapi.from_dict(linked(), config=SchemathesisConfig.from_dict(CONFIG))
    schema.config.update(base_url=url)

    class Story(schema.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            tries["stories"] += 1
            self.token = log_in()

        def before_call(self, case: schemathesis.Case[Any]) -> None:
            case.headers["Authorization"] = f"Bearer {self.token}"

        def after_call(self, response: schemathesis.Response, case: schemathesis.Case[Any]) -> None:
            path = case.operation.path
            tries["requests"] += 1
            tries[f"{path} {response.status_code}"] += 1
            if path == "/create-checkout" and response.status_code in (200, 201):
                url = response.json()["checkout_url"]
                httpx.post(url, data={"card": "4242424242424242"}, timeout=30)

    seed(number)(Story).run(
        settings=settings(
            Story.TestCase.settings,
            max_examples=STORIES_EACH,
            stateful_step_count=8,
            database=None,
            phases=[Phase.generate],
        )
    )
