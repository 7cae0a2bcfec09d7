"""More of the same: events applied to their end by 1, 2 and 4 workers, get-playback by 1 and 2 processes.

The rate is stated, and what was busy meanwhile: this machine's cores are shared with PostgreSQL, the sandbox and the
load tool.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
from sqlalchemy import select

from infra.local.dispatcher import Dispatcher
from lib.billing.receiving import StripeInbox
from lib.config import Environment
from lib.database.engine import Database
from lib.database.schema import billing_accounts
from lib.web.ports import SystemClock
from tests.bench.figures import Figure
from tests.bench.load import Request, load
from tests.bench.machine import busy, cpu
from tests.bench.playback import CONNECTIONS, WARM_UP
from tests.bench.served import Running, ask, expect, function
from tests.bench.stage import Stage, json_request
from tests.billing import event, signed
from tests.factories import Factory
from tests.fakes.tasks import FakeTasks

TASKS_CALLER = "tasks@local.streamly"
# Tasks of one account wait for each other.
PAYERS = 8


class Observed:
    """How busy processes were, and the machine, while something happened. In cores."""

    def __init__(self, pids: Mapping[str, list[int]]) -> None:
        self._pids = pids
        self._before = self._spent()
        self._began, self._busy = time.monotonic(), busy()[0]

    def _spent(self) -> dict[str, float]:
        return {name: sum(cpu(pid) for pid in pids) for name, pids in self._pids.items()}

    def told(self, cores: int) -> str:
        seconds = time.monotonic() - self._began
        after = self._spent()
        shares = {name: (after[name] - self._before[name]) / seconds for name in after}
        whole = (busy()[0] - self._busy) / seconds
        parts = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
        verdict = "all cores are busy" if whole > 0.9 * cores else f"{cores - whole:.1f} cores idle"
        return f"cores: {parts}; the machine {whole:.2f} of {cores}: {verdict}"


def events(stage: Stage, number: int) -> Iterator[Figure]:
    """Each worker is a process-task of its own that does one task at a time; Stripe is the sandbox, one process."""
    url = stage.stack.database_url
    database = Database(Environment({"DATABASE_URL": url}).database())
    settings = stage.stack.settings
    with Factory(stage.stack, database) as make:
        payers = [make.subscriber().id for _ in range(PAYERS)]
    with database.transaction() as tx:
        theirs = billing_accounts.c.user_id.in_(payers)
        customers = tx.execute(select(billing_accounts.c.stripe_customer_id).where(theirs)).scalars().all()
    inbox = StripeInbox(database, FakeTasks(), SystemClock(), (settings.stripe_webhook_secret,))
    identity = Dispatcher(settings).identity(TASKS_CALLER, f"{settings.base_url}/process-task")

    def task(count: int) -> Request:
        payload = event(customers[count % PAYERS])
        event_id = inbox.receive(payload, signed(payload, secret=settings.stripe_webhook_secret))
        body = {"kind": "stripe-event", "body": {"event_id": event_id}}
        return json_request("/", body, Authorization=f"Bearer {identity}")

    program, environment = function("process-task"), stage.environment(url)
    for workers in (1, 2, 4):
        with ExitStack() as running:
            servers = [
                running.enter_context(stage.one(program, environment, f"worker{count}"))
                for count in range(workers)
            ]
            for server in servers:
                server.first_answer(task(0), 204)
            tasks = [task(count) for count in range(number)]
            pids = {
                "process-task": [server.pid for server in servers],
                "sandbox": [stage.stack.processes["sandbox"].pid],
                "PostgreSQL": [stage.stack.processes["postgres"].pid],
            }
            observed, began = Observed(pids), time.monotonic()
            with ThreadPoolExecutor(workers) as pool:
                shares = [tasks[count::workers] for count in range(workers)]
                list(pool.map(_work, servers, shares))
            seconds, told = time.monotonic() - began, observed.told(_cores())
        plural = "s" if workers > 1 else ""
        yield Figure(
            "workers", f"events applied by {workers} worker{plural}", "events/s", number / seconds, note=told
        )
    database.dispose()


def _work(server: Running, tasks: list[Request]) -> None:
    with httpx.Client(timeout=60, trust_env=False, limits=httpx.Limits(keepalive_expiry=1)) as client:
        for task in tasks:
            expect(ask(client, server.url, task), 204)


def processes(stage: Stage, seconds: float) -> Iterator[Figure]:
    """As instances are in the cloud, each with eight connections of its own: of one listening socket with two processes
    behind it the first may take them all."""
    viewers = stage.viewers()
    for number in (1, 2):
        files = [stage.file(f"viewers{number}-{count}", viewers[count::number]) for count in range(number)]
        with ExitStack() as running, ThreadPoolExecutor(number) as pool:
            servers = [
                running.enter_context(stage.one(function("get-playback"), name=f"process{count}"))
                for count in range(number)
            ]
            for server in servers:
                server.first_answer(viewers[0], 200)

            rate = partial(_rate, pool, servers, files)
            rate(WARM_UP)
            pids = {
                "get-playback": [server.pid for server in servers],
                "PostgreSQL": [stage.stack.processes["postgres"].pid],
            }
            observed = Observed(pids)
            found, told = rate(seconds), observed.told(_cores())
        plural = "es" if number > 1 else ""
        yield Figure("workers", f"get-playback by {number} process{plural}", "requests/s", found, note=told)


def _rate(pool: Executor, servers: Sequence[Running], files: Sequence[Path], seconds: float) -> float:
    """Of all of them together, each asked by viewers of its own."""
    asked = [
        pool.submit(load, server.url, file, connections=CONNECTIONS, seconds=seconds)
        for server, file in zip(servers, files, strict=True)
    ]
    return sum(one.result().rate for one in asked)


def _cores() -> int:
    return os.cpu_count() or 1
