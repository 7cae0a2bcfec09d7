"""What every queue does: the one in memory, the local dispatcher, Cloud Tasks."""

import asyncio
import json
import socket
import socketserver
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from infra.local.dispatcher import Dispatcher, Pace, create_app
from infra.local.processes import free_port
from infra.local.settings import LocalSettings
from lib.adapters.cloud_tasks import CloudTasks
from lib.adapters.dispatcher_tasks import DispatcherTasks
from lib.adapters.task_queue import task_queue
from lib.config import Environment, TaskSettings
from lib.database.engine import Database
from lib.database.schema import inbox
from lib.errors import UnavailableError
from lib.web.ports import Task, Tasks
from tests.billing import Billing, event
from tests.contract.tasks_emulator import running_emulator
from tests.factories import wait_for
from tests.fakes.cloud_tasks_server import CloudTasksServer
from tests.fakes.payments import FakePayments
from tests.fakes.tasks import FakeTasks
from tests.integration.local.serving import Servers

QUEUE = "projects/p/locations/l/queues/stripe"
ROBOT = "tasks@a-project.iam.gserviceaccount.com"
Work = dict[str, Any]


class Machine:
    """process-task as the queues call it, and a dispatcher beside it."""

    def __init__(self, settings: LocalSettings, servers: Servers) -> None:
        self.url = f"{settings.base_url}/process-task"
        self.dispatcher_url = f"{settings.base_url}/sandbox/tasks"
        self.requests: list[tuple[dict[str, str], Work]] = []
        self._settings = settings
        servers.serve(self._app(), settings.port)

    def _app(self) -> Starlette:
        dispatcher = Dispatcher(self._settings, Pace(reconcile_first=3600))

        @asynccontextmanager
        async def lifespan(_app: Starlette) -> AsyncIterator[None]:
            running = asyncio.create_task(dispatcher.run())
            yield
            running.cancel()
            await asyncio.wait([running])

        return Starlette(
            routes=[
                Route("/process-task", self._called, methods=["POST"]),
                Mount("/sandbox/tasks", create_app(dispatcher)),
            ],
            lifespan=lifespan,
        )

    async def _called(self, request: Request) -> Response:
        self.requests.append((dict(request.headers), await request.json()))
        return Response(status_code=204)

    def called(self) -> list[Work]:
        return [work for _, work in self.requests]


@dataclass
class Queue:
    """A queue under test, and the work that has come out of it."""

    tasks: Tasks
    came: Callable[[], list[Work]]


def settings_for(url: str, **values: str) -> TaskSettings:
    return Environment({"TASKS_URL": url, "TASKS_SERVICE_ACCOUNT": ROBOT} | values).tasks()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    servers = Servers()
    yield Machine(LocalSettings.load(tmp_path_factory.mktemp("machine"), free_port()), servers)
    servers.stop()


@pytest.fixture(scope="session")
def emulator() -> Iterator[str]:
    with running_emulator(QUEUE) as endpoint:
        yield endpoint


@pytest.fixture
def server() -> Iterator[CloudTasksServer]:
    with CloudTasksServer(QUEUE) as running:
        yield running


@pytest.fixture(params=["fake", "dispatcher", "strict Cloud Tasks"])
def queue(request: pytest.FixtureRequest, machine: Machine) -> Queue:
    """Queues that remember names."""
    if request.param == "fake":
        fake = FakeTasks()
        return Queue(fake, lambda: [{"kind": task.kind, "body": task.body} for task in fake.queued])
    if request.param == "dispatcher":
        return Queue(
            DispatcherTasks(settings_for(machine.url, DISPATCHER_URL=machine.dispatcher_url)), machine.called
        )
    server: CloudTasksServer = request.getfixturevalue("server")
    cloud = CloudTasks(settings_for(machine.url, TASKS_QUEUE=QUEUE, TASKS_ENDPOINT=server.endpoint))
    return Queue(cloud, lambda: [json.loads(task.http_request.body) for task in server.tasks])


def task(**body: str) -> Task:
    body = {"event_id": f"evt_{uuid.uuid4().hex}"} | body
    return Task(uuid.uuid4().hex, "stripe-event", body)


def as_sent(sent: Task) -> Work:
    return {"kind": sent.kind, "body": dict(sent.body)}


def test_work_comes_out(queue: Queue) -> None:
    sent = task(note="naïve – ✓")
    queue.tasks.enqueue(sent)
    wait_for(lambda: as_sent(sent) in queue.came())


def test_the_same_name_again_is_no_error_and_no_second_task(queue: Queue) -> None:
    sent, after = task(), task()
    queue.tasks.enqueue(sent)
    queue.tasks.enqueue(sent)
    queue.tasks.enqueue(after)
    wait_for(lambda: as_sent(after) in queue.came())
    wait_for(lambda: as_sent(sent) in queue.came())
    assert queue.came().count(as_sent(sent)) == 1


def test_another_name_is_another_task(queue: Queue) -> None:
    first = task()
    second = Task(uuid.uuid4().hex, first.kind, first.body)
    for sent in (first, second):
        queue.tasks.enqueue(sent)
    wait_for(lambda: queue.came().count(as_sent(first)) == 2)


# -- Cloud Tasks ----------------------------------------------------------------------------------------


def test_cloud_tasks_calls_process_task(machine: Machine, emulator: str) -> None:
    """The emulator speaks Google's protocol and makes the call (it forgets names, and knows no OIDC)."""
    cloud = CloudTasks(settings_for(machine.url, TASKS_QUEUE=QUEUE, TASKS_ENDPOINT=emulator))
    sent = task()
    cloud.enqueue(sent)
    wait_for(lambda: as_sent(sent) in machine.called())
    headers = next(headers for headers, work in machine.requests if work == as_sent(sent))
    assert headers["content-type"] == "application/json"
    assert headers["x-cloudtasks-taskname"] == sent.name


def test_the_emulator_keeps_what_google_needs_to_know(machine: Machine, emulator: str) -> None:
    cloud = CloudTasks(settings_for(machine.url, TASKS_QUEUE=QUEUE, TASKS_ENDPOINT=emulator))
    with grpc.insecure_channel(emulator) as channel:
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        client.pause_queue(name=QUEUE)
        sent = task()
        cloud.enqueue(sent)
        (kept,) = client.list_tasks(parent=QUEUE)
        client.resume_queue(name=QUEUE)
    check_kept(kept, sent, machine.url)
    wait_for(lambda: as_sent(sent) in machine.called())


def test_a_created_task_is_whole(server: CloudTasksServer) -> None:
    url = "https://region-project.cloudfunctions.net/process-task"
    sent = task()
    CloudTasks(settings_for(url, TASKS_QUEUE=QUEUE, TASKS_ENDPOINT=server.endpoint)).enqueue(sent)
    (kept,) = server.tasks
    check_kept(kept, sent, url)


def check_kept(kept: tasks_v2.Task, sent: Task, url: str) -> None:
    assert kept.name == f"{QUEUE}/tasks/{sent.name}"
    request = kept.http_request
    assert (request.url, request.http_method) == (url, tasks_v2.HttpMethod.POST)
    assert dict(request.headers) == {"Content-Type": "application/json"}
    assert json.loads(request.body) == as_sent(sent)
    assert (request.oidc_token.service_account_email, request.oidc_token.audience) == (ROBOT, url)


@pytest.mark.parametrize(
    "status",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INTERNAL,
    ],
)
def test_cloud_tasks_refusing(server: CloudTasksServer, status: grpc.StatusCode) -> None:
    cloud = CloudTasks(settings_for("https://x.example", TASKS_QUEUE=QUEUE, TASKS_ENDPOINT=server.endpoint))
    server.refusal = status
    with pytest.raises(UnavailableError):
        cloud.enqueue(task())
    server.refusal = None
    cloud.enqueue(task())


def test_cloud_tasks_slow(server: CloudTasksServer) -> None:
    settings = settings_for("https://x.example", TASKS_QUEUE=QUEUE, TASKS_ENDPOINT=server.endpoint)
    cloud = CloudTasks(settings, seconds=0.5)
    server.answers.clear()
    assert seconds_until_unavailable(cloud) < 2
    server.answers.set()
    cloud.enqueue(task())


@pytest.mark.parametrize(
    "status",
    [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.PERMISSION_DENIED],
)
def test_what_the_queue_refuses_is_left_to_reconcile(
    server: CloudTasksServer, database_apart: Database, status: grpc.StatusCode
) -> None:
    """Over gRPC: the webhook's event stays in the inbox, and its next task has a name of its own."""
    cloud = CloudTasks(
        settings_for("https://x.example", TASKS_QUEUE=QUEUE, TASKS_ENDPOINT=server.endpoint), seconds=2
    )
    billing = Billing(database_apart, FakePayments(), tasks=cloud)
    payload = event(billing.customer(billing.user()))
    server.refusal = status
    billing.deliver(payload)
    server.refusal = None
    assert server.tasks == []
    long_ago = inbox.update().values(enqueued_at=inbox.c.enqueued_at - timedelta(minutes=5))
    with database_apart.transaction() as tx:
        tx.execute(long_ago)
    assert billing.left.reconcile() == {"events_left": 1, "events_enqueued": 1, "events_dead": 0}
    with database_apart.transaction() as tx:
        tx.execute(long_ago)
    assert billing.left.reconcile()["events_enqueued"] == 1
    first, second = (kept.name.rpartition("/")[2] for kept in server.tasks)
    assert first.partition("-")[0] == second.partition("-")[0]
    assert (first.partition("-")[2], second.partition("-")[2]) == ("2", "3")
    for kept in server.tasks:
        billing.events.process(json.loads(kept.http_request.body)["body"])
    with database_apart.transaction() as tx:
        assert tx.execute(select(inbox.c.state)).scalar_one() == "processed"


# -- out of reach ---------------------------------------------------------------------------------------


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def raving() -> Iterator[int]:
    """A port where somebody speaks neither HTTP nor gRPC."""

    class Rave(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(100)
            self.request.sendall(b"what?\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Rave) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(10)


@pytest.fixture(params=["dispatcher", "Cloud Tasks"])
def open_tasks(request: pytest.FixtureRequest) -> Callable[[int], Tasks]:
    """An adapter that talks to a port, and does not wait long."""

    def dispatcher(port: int) -> Tasks:
        return DispatcherTasks(settings_for("http://x", DISPATCHER_URL=f"http://127.0.0.1:{port}"), 0.5)

    def cloud(port: int) -> Tasks:
        return CloudTasks(
            settings_for("http://x", TASKS_QUEUE=QUEUE, TASKS_ENDPOINT=f"127.0.0.1:{port}"), 0.5
        )

    return dispatcher if request.param == "dispatcher" else cloud


def seconds_until_unavailable(tasks: Tasks) -> float:
    started = time.monotonic()
    with pytest.raises(UnavailableError):
        tasks.enqueue(task())
    return time.monotonic() - started


def test_nobody_there(open_tasks: Callable[[int], Tasks]) -> None:
    assert seconds_until_unavailable(open_tasks(free_port())) < 2


def test_somebody_silent(open_tasks: Callable[[int], Tasks], silent: int) -> None:
    assert seconds_until_unavailable(open_tasks(silent)) < 2


def test_somebody_raving(open_tasks: Callable[[int], Tasks], raving: int) -> None:
    assert seconds_until_unavailable(open_tasks(raving)) < 2


# -- the stack's ----------------------------------------------------------------------------------------


def test_the_stacks_queue_reaches_the_real_process_task(
    environment: dict[str, str], database: Database
) -> None:
    event_id = f"evt_{uuid.uuid4().hex}"
    row = inbox.insert().values(
        event_id=event_id, type="invoice.paid", customer_id="cus_x", state="received", enqueues=1
    )
    with database.transaction() as tx:
        tx.execute(row)
    tasks = task_queue(Environment(environment).tasks())
    assert isinstance(tasks, DispatcherTasks)
    tasks.enqueue(task(event_id=event_id))

    def state() -> str | None:
        with database.transaction() as tx:
            found: str | None = tx.scalar(select(inbox.c.state).where(inbox.c.event_id == event_id))
            return found

    wait_for(lambda: state() == "ignored")
