"""The dispatcher: signed calls, retried until taken, each name once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from infra.local.dispatcher import Dispatcher, Pace, create_app
from infra.local.processes import free_port
from infra.local.settings import LocalSettings
from tests.integration.local.serving import eventually

Serve = Callable[..., int]
QUICK = Pace(first_retry=0.01, longest_retry=0.02, attempts=5, answer=5, concurrency=2, reconcile_first=3600)


class Machine:
    """A dispatcher and the functions it calls, behind one port as on the real machine."""

    def __init__(self, serve: Serve, settings: LocalSettings, pace: Pace) -> None:
        self.settings = replace(settings, port=free_port())
        self.url = self.settings.base_url
        self.calls: list[tuple[str, dict[str, str], Any]] = []
        self.answers: list[int] = []
        self._pace = pace
        serve(self._app(), self.settings.port)

    def _app(self) -> Starlette:
        # Made by the event loop that runs it.
        dispatcher = Dispatcher(self.settings, self._pace)

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            running = asyncio.create_task(dispatcher.run())
            yield
            running.cancel()
            await asyncio.wait([running])

        called = [Route(path, self._called, methods=["POST"]) for path in ("/process-task", "/reconcile")]
        return Starlette(routes=[*called, Mount("/sandbox/tasks", create_app(dispatcher))], lifespan=lifespan)

    async def _called(self, request: Request) -> Response:
        self.calls.append((request.url.path, dict(request.headers), await request.json()))
        return Response(status_code=self.answers.pop(0) if self.answers else 204)

    def enqueue(self, **changes: Any) -> httpx.Response:
        task = {
            "name": "first",
            "url": f"{self.url}/process-task",
            "audience": f"{self.url}/process-task",
            "service_account": "tasks@local.streamly",
            "body": {"id": "evt_1"},
        }
        return httpx.post(f"{self.url}/sandbox/tasks/queue", json=task | changes, trust_env=False)

    def caller(self, headers: dict[str, str], audience: str) -> dict[str, Any]:
        """Who called, the way Google's libraries find out."""
        certs = httpx.get(f"{self.url}/sandbox/tasks/certs", trust_env=False).json()
        token = headers["authorization"].removeprefix("Bearer ")
        key = next(
            key
            for key in jwt.PyJWKSet.from_dict(certs).keys
            if key.key_id == jwt.get_unverified_header(token)["kid"]
        )
        claims: dict[str, Any] = jwt.decode(
            token, key.key, algorithms=["RS256"], audience=audience, issuer=f"{self.url}/sandbox/tasks"
        )
        return claims


@pytest.fixture
def settings(tmp_path: Path) -> LocalSettings:
    return LocalSettings.load(tmp_path, 1)


@pytest.fixture
def machine(serve: Serve, settings: LocalSettings) -> Machine:
    return Machine(serve, settings, QUICK)


def test_a_task_is_called_once_with_its_body_and_a_signed_identity(machine: Machine) -> None:
    answer = machine.enqueue()
    assert (answer.status_code, answer.json()) == (201, {"name": "first"})
    eventually(lambda: machine.calls, "the call")
    path, headers, body = machine.calls[0]
    assert (path, body, headers["content-type"]) == ("/process-task", {"id": "evt_1"}, "application/json")
    claims = machine.caller(headers, f"{machine.url}/process-task")
    assert (claims["email"], claims["email_verified"]) == ("tasks@local.streamly", True)
    assert claims["exp"] - claims["iat"] == 3600
    assert "d" not in httpx.get(f"{machine.url}/sandbox/tasks/certs", trust_env=False).json()["keys"][0]


def test_a_task_is_called_again_until_it_is_taken(machine: Machine) -> None:
    machine.answers = [500, 503, 404]
    machine.enqueue()
    eventually(lambda: len(machine.calls) == 4, "the fourth call")
    retries = [headers["x-cloudtasks-taskretrycount"] for _, headers, _ in machine.calls]
    assert retries == ["0", "1", "2", "3"]


def test_a_task_nobody_takes_is_given_up(machine: Machine) -> None:
    machine.answers = [500] * 5
    machine.enqueue()
    eventually(lambda: len(machine.calls) == 5, "the last call")
    machine.enqueue(name="second")
    eventually(lambda: len(machine.calls) == 6, "the next task")
    assert machine.calls[5][1]["x-cloudtasks-taskname"] == "second"


def test_a_name_is_taken_once_even_when_it_is_done(machine: Machine) -> None:
    assert machine.enqueue().status_code == 201
    eventually(lambda: machine.calls, "the call")
    assert machine.enqueue(body={"id": "evt_2"}).status_code == 409
    assert machine.enqueue(name="second").status_code == 201
    eventually(lambda: len(machine.calls) == 2, "the second task")
    assert machine.calls[1][2] == {"id": "evt_1"}


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "http://localhost:1/process-task"},
        {"url": "http://localhost.example.com/"},
        {"url": "file:///etc/passwd"},
        {"url": "http://localhost:\x00/"},
        {"name": ""},
        {"name": 1},
        {"body": "text"},
        {"audience": None},
        {"more": 1},
    ],
)
def test_a_task_of_another_shape_or_for_elsewhere_is_refused(
    machine: Machine, changes: dict[str, Any]
) -> None:
    assert machine.enqueue(**changes).status_code == 400
    assert machine.calls == []


def test_what_is_not_json_or_too_large_is_refused(machine: Machine) -> None:
    queue = f"{machine.url}/sandbox/tasks/queue"
    assert httpx.post(queue, content=b"{", trust_env=False).status_code == 400
    assert httpx.post(queue, content=b'"' + b"x" * 200_000 + b'"', trust_env=False).status_code == 413


def test_no_more_wait_than_were_agreed_on(serve: Serve, settings: LocalSettings) -> None:
    machine = Machine(serve, settings, replace(QUICK, waiting=3, first_retry=60, longest_retry=60))
    machine.answers = [500] * 3
    assert [machine.enqueue(name=f"task {number}").status_code for number in range(4)] == [201, 201, 201, 429]


def test_reconcile_is_called_on_its_schedule_as_the_scheduler(serve: Serve, settings: LocalSettings) -> None:
    machine = Machine(serve, settings, replace(QUICK, reconcile_first=0, reconcile_every=0.01))
    machine.answers = [404, 500]
    eventually(lambda: len(machine.calls) >= 4, "reconcile, after failures too")
    path, headers, body = machine.calls[-1]
    assert (path, body) == ("/reconcile", {})
    claims = machine.caller(headers, f"{machine.url}/reconcile")
    assert claims["email"] == "scheduler@local.streamly"


def test_reconcile_can_be_called_at_once(machine: Machine) -> None:
    answer = httpx.post(f"{machine.url}/sandbox/tasks/reconcile", trust_env=False)
    assert (answer.status_code, answer.json()["status"]) == (200, 204)
    assert [path for path, _, _ in machine.calls] == ["/reconcile"]
