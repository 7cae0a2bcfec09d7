"""The first task of a process: what it loads, and that it is the one that Google's own client would send.

Each in a process of its own, led by its environment to what stands in for Google.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.service.app import ROOT
from tests.fakes.cloud_tasks_server import CloudTasksServer
from tests.fakes.google_cloud import TOKEN, GoogleCloud

QUEUE = "projects/p/locations/l/queues/q"
URL = "https://region-project.cloudfunctions.net/process-task"

OURS = f"""
import json, os, sys, threading, time
from lib.adapters.cloud_tasks import CloudTasks
from lib.config import Environment
from lib.errors import UnavailableError
from lib.web.ports import Task

values = {{"TASKS_QUEUE": "{QUEUE}", "TASKS_URL": "{URL}", "TASKS_SERVICE_ACCOUNT": "tasks@example.com"}}
settings = Environment(values | dict(os.environ)).tasks()
tasks = CloudTasks(settings)
task = Task("a-name", "mail", {{"mail_id": "naïve – ✓"}})
"""
GOOGLES = f"""
import json, os
from google.cloud import tasks_v2

if "TASKS_ENDPOINT" in os.environ:
    import grpc
    from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
    channel = grpc.insecure_channel(os.environ["TASKS_ENDPOINT"])
    client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
else:
    client = tasks_v2.CloudTasksClient()
client.create_task(
    parent="{QUEUE}",
    task={{
        "name": "{QUEUE}/tasks/a-name",
        "http_request": {{
            "url": "{URL}",
            "http_method": tasks_v2.HttpMethod.POST,
            "headers": {{"Content-Type": "application/json"}},
            "body": json.dumps({{"kind": "mail", "body": {{"mail_id": "naïve – ✓"}}}}).encode(),
            "oidc_token": {{"service_account_email": "tasks@example.com", "audience": "{URL}"}},
        }},
    }},
)
"""


@pytest.fixture
def emulator() -> Iterator[CloudTasksServer]:
    with CloudTasksServer(QUEUE) as running:
        yield running


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[GoogleCloud]:
    with GoogleCloud(QUEUE, tmp_path) as running:
        yield running


def said(code: str, environment: dict[str, str]) -> str:
    """What a fresh process prints."""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


# -- what it loads ----------------------------------------------------------------------------------------

COSTLY = {
    "aiohttp",
    "google.api_core",
    "google.auth",
    "google.cloud.tasks_v2.services",
    "requests",
}


def test_the_first_task_loads_no_client_of_google_s(emulator: CloudTasksServer) -> None:
    """Red where a version of Google's library has its messages load more, or has them elsewhere."""
    code = OURS + "tasks.enqueue(task); print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(said(code, {"TASKS_ENDPOINT": emulator.endpoint})))
    assert {"grpc", "google.cloud.tasks_v2.types.task"} <= loaded
    assert loaded & COSTLY == set()
    assert len(emulator.tasks) == 1


# What others in the process may do with Google's package: all of it is there, and made once.
WHOLE = """
import google.cloud.tasks_v2
from google.cloud import tasks_v2
from google.cloud.tasks_v2 import *
assert CloudTasksClient is tasks_v2.CloudTasksClient is google.cloud.tasks_v2.CloudTasksClient
assert google.cloud.tasks_v2.types.Task is tasks_v2.Task is tasks_v2.types.task.Task
assert tasks_v2.services.cloud_tasks.CloudTasksClient is tasks_v2.CloudTasksClient
assert tasks_v2.__version__ == tasks_v2.gapic_version.__version__
assert not hasattr(tasks_v2, "no_such_thing")
"""
ONE_KIND = """
from lib.adapters import cloud_tasks_messages
assert cloud_tasks_messages.Task is tasks_v2.Task
"""


@pytest.mark.parametrize(
    "code",
    [OURS + "tasks.enqueue(task)\n" + WHOLE + ONE_KIND, WHOLE + OURS + "tasks.enqueue(task)\n" + ONE_KIND],
    ids=["ours first", "google's first"],
)
def test_google_s_package_stays_whole(emulator: CloudTasksServer, code: str) -> None:
    said(code, {"TASKS_ENDPOINT": emulator.endpoint})
    assert len(emulator.tasks) == 1


TWENTY = (
    OURS
    + """
together = threading.Barrier(20)
def first(number):
    together.wait()
    tasks.enqueue(Task(f"a-name-{number}", "mail", {}))
threads = [threading.Thread(target=first, args=(number,)) for number in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
)


@pytest.mark.parametrize("where", ["emulator", "cloud"])
def test_twenty_at_once(where: str, emulator: CloudTasksServer, cloud: GoogleCloud) -> None:
    server = cloud.tasks if where == "cloud" else emulator
    said(TWENTY, cloud.environment if where == "cloud" else {"TASKS_ENDPOINT": emulator.endpoint})
    assert {task.name.rpartition("/")[2] for task in server.tasks} == {f"a-name-{n}" for n in range(20)}


# -- what it sends ----------------------------------------------------------------------------------------


def as_by_google(server: CloudTasksServer, environment: dict[str, str]) -> dict[str, str | bytes]:
    """Asserts that ours sends what Google's client sends; the headers that count."""
    said(OURS + "tasks.enqueue(task)", environment)
    server.forget()
    said(GOOGLES, environment)
    ours, googles = server.received
    assert ours.message == googles.message
    own = {"user-agent", "x-goog-api-client"}  # what a client says of itself
    kept, expected = (
        {name: value for name, value in call.metadata.items() if name not in own} for call in (ours, googles)
    )
    assert kept == expected
    return kept


def test_the_same_request_as_google_s_client(emulator: CloudTasksServer) -> None:
    headers = as_by_google(emulator, {"TASKS_ENDPOINT": emulator.endpoint})
    assert headers["x-goog-request-params"] == f"parent={QUEUE}"


def test_the_same_request_as_google_s_client_in_the_cloud(cloud: GoogleCloud) -> None:
    headers = as_by_google(cloud.tasks, cloud.environment)
    assert headers["x-goog-request-params"] == f"parent={QUEUE}"
    assert headers["authorization"] == f"Bearer {TOKEN}"


def test_the_token_is_asked_for_once(cloud: GoogleCloud) -> None:
    said(OURS + "for name in 'abc': tasks.enqueue(Task(name, 'mail', {}))", cloud.environment)
    assert len(cloud.tasks.tasks) == 3
    assert len([path for path in cloud.asked if path.endswith("/token")]) == 1


# -- credentials out of reach -----------------------------------------------------------------------------

REFUSED = (
    OURS
    + """
tasks = CloudTasks(settings, seconds=2)
began = time.monotonic()
try:
    tasks.enqueue(task)
except UnavailableError:
    print(json.dumps({"seconds": time.monotonic() - began}))
else:
    raise AssertionError("nobody can be called without credentials")
"""
)


def test_no_credentials(cloud: GoogleCloud) -> None:
    lines = said(REFUSED, cloud.environment | {"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere.json"})
    log = [json.loads(line) for line in lines.splitlines()]
    assert log[0]["message"] == "no credentials for Google"
    assert "DefaultCredentialsError" in log[0]["error"]
    assert "nowhere" not in lines
    assert cloud.tasks.received == []


def test_a_metadata_server_that_does_not_answer(cloud: GoogleCloud) -> None:
    """The call ends in its own time (here two seconds), and the next one, once there is an answer, goes through."""
    cloud.knows_us.clear()
    log = [json.loads(line) for line in said(REFUSED, cloud.environment).splitlines()]
    assert log[-1]["seconds"] < 5
    assert log[0]["answered"] == "DEADLINE_EXCEEDED"
    assert cloud.tasks.received == []
