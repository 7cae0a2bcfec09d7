"""What the figures are taken on: a stack with its sandbox, databases of our own, a queue, requests."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from argon2 import PasswordHasher

from infra.local.processes import free_port
from infra.local.supervisor import Stack
from tests.bench import people
from tests.bench.load import Request, write_requests
from tests.bench.served import Program, Running, running
from tests.factories import PASSWORD
from tests.fakes.cloud_tasks_server import CloudTasksServer

QUEUE = "projects/bench/locations/local/queues/tasks"
ACCOUNTS, VIDEOS, VIEWERS = 1000, 1000, 1000


@dataclass(frozen=True)
class Stage:
    """`url`: a database with 1,000 accounts and 1,000 films, beside the stack's own."""

    folder: Path
    stack: Stack
    queue: CloudTasksServer
    url: str
    password_hash: str

    def environment(self, url: str | None = None, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The settings of functions and peers over this database."""
        settings = self.stack.settings.function_environment(
            url or self.url, {"TASKS_QUEUE": QUEUE, "TASKS_ENDPOINT": self.queue.endpoint}
        )
        return {**settings, "ACCESS_TOKEN_SECONDS": "86400", "TMPDIR": str(self.folder), **(more or {})}

    def database(self, name: str, *, accounts: int, videos: int) -> str:
        """Another database, as `url`."""
        made = people.new_database(self.stack.database_url, name)
        people.fill(made, accounts=accounts, videos=videos, password_hash=self.password_hash)
        return made

    def viewers(self, url: str | None = None, number: int = VIEWERS) -> list[Request]:
        return people.viewers(url or self.url, self.environment(), number)

    def file(self, name: str, requests: list[Request]) -> Path:
        return write_requests(self.folder / f"{name}.requests", requests)

    @contextmanager
    def started(
        self, programs: Mapping[str, Program], environment: Mapping[str, str] | None = None
    ) -> Iterator[dict[str, Running]]:
        """All of them at once: who is not asked costs nothing."""
        with ExitStack() as stack:
            yield {
                name: stack.enter_context(self.one(program, environment, name))
                for name, program in programs.items()
            }

    @contextmanager
    def one(
        self, program: Program, environment: Mapping[str, str] | None = None, name: str = ""
    ) -> Iterator[Running]:
        log = self.folder / f"{name or program.name}.log"
        with running(program, environment or self.environment(), log) as found:
            yield found


@contextmanager
def set_up(folder: Path) -> Iterator[Stage]:
    with CloudTasksServer(QUEUE) as queue:
        stack = Stack(folder / "stack", free_port(), durable=False, film=False, say=lambda _: None)
        stack.start()
        try:
            url = people.new_database(stack.database_url, "bench")
            password_hash = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1).hash(PASSWORD)
            people.fill(url, accounts=ACCOUNTS, videos=VIDEOS, password_hash=password_hash)
            yield Stage(folder, stack, queue, url, password_hash)
        finally:
            stack.stop()


def json_request(path: str, body: object, **headers: str) -> Request:
    told = {
        "Content-Type": "application/json",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return Request(path, tuple(told.items()), json.dumps(body), "POST")
