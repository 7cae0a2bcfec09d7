"""How long a fresh process takes to its first answer, which asked the database, and what it holds then."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from infra.service.app import ROOT
from lib.config import Environment
from lib.database.engine import Database
from tests.bench.figures import Figure, against, median
from tests.bench.load import Request
from tests.bench.machine import memory
from tests.bench.playback import BARE, FULL, TUNED
from tests.bench.served import (
    PRODUCTION,
    Program,
    framework,
    framework_peer,
    function,
    threads_of,
    uvicorn_peer,
)
from tests.bench.stage import Stage, json_request
from tests.billing import event, signed
from tests.factories import PASSWORD, Factory
from tests.fakes.cloud_sql_server import INSTANCE, CloudSqlServer

CONNECTOR = "get-playback, Cloud SQL connector"


@dataclass(frozen=True)
class Start:
    """What is started, and what it is asked; each time something else."""

    program: Program
    request: Callable[[], Request]
    status: int = 200
    settings: Mapping[str, str] = field(default_factory=dict)


def cold_start(stage: Stage, rounds: int) -> Iterator[Figure]:
    url = urlsplit(stage.url)
    database = Database(Environment({"DATABASE_URL": stage.stack.database_url}).database())
    with (
        CloudSqlServer(
            (str(url.hostname), int(url.port or 0)), token="bench", folder=stage.folder
        ) as cloud_sql,
        Factory(stage.stack, database) as make,
    ):
        starts = _starts(stage, make, cloud_sql)
        took: dict[str, list[float]] = {name: [] for name in starts}
        held: dict[str, list[float]] = {name: [] for name in starts}
        # The first time reads files from the disk and compiles them, so it is not counted.
        for number in range(rounds + 1):
            for name, start in starts.items():
                environment = {**stage.environment(), **start.settings}
                if "INSTANCE_CONNECTION_NAME" in start.settings:
                    environment.pop("DATABASE_URL")
                # A person who pays is made with the stack's help: that is not to be busy with it during the start.
                request = start.request()
                with stage.one(start.program, environment) as running:
                    seconds = running.first_answer(request, start.status)
                    if number:
                        took[name].append(seconds * 1000)
                        held[name].append(memory(running.pid))
                # Its end is no part of the next one's start.
                time.sleep(0.05)
    database.dispose()
    yield from _rows({name: median(times) for name, times in took.items()})
    mebibytes = {name: median(values) for name, values in held.items()}
    yield from against(
        "memory",
        "get-playback after its first answer",
        "MiB (PSS)",
        mebibytes["get-playback"],
        {name: mebibytes[name] for name in (BARE, FULL, TUNED)},
        most={BARE: 2.0, FULL: 0.85},
    )


def _rows(times: dict[str, float]) -> Iterator[Figure]:
    targets: dict[str, dict[str, float]] = {
        "get-playback": {BARE: 2.4, FULL: 0.75},
        "login": {BARE: 3.0, FULL: 0.9},
        "register": {BARE: 3.0, FULL: 0.9},
        "stripe-webhook": {BARE: 3.5},
        "create-checkout": {BARE: 3.5},
        CONNECTOR: {BARE: 4.0},
    }
    for name, most in targets.items():
        peers = {peer: times[peer] for peer in most}
        yield from against("cold start", f"cold start of {name}", "ms", times[name], peers, most=most)


def _starts(stage: Stage, make: Factory, cloud_sql: CloudSqlServer) -> dict[str, Start]:
    viewer = stage.viewers(number=1)[0]
    url = urlsplit(stage.url)
    # By password: what logs in by IAM is the certificate, which PostgreSQL here does not look at.
    over_connector = {
        "INSTANCE_CONNECTION_NAME": INSTANCE,
        "DB_NAME": url.path[1:],
        "DB_USER": str(url.username),
        "DB_PASSWORD": str(url.password),
        "BENCH_SQL_ADMIN": cloud_sql.api_url,
        "BENCH_TOKEN": "bench",
        "PYTHONPATH": str(ROOT),
    }
    sizes = function("get-playback").settings
    connector = Program(
        "over_connector", framework("get_playback", ROOT / "tests/bench/over_connector.py"), sizes
    )

    def login() -> Request:
        return json_request("/", {"email": "viewer1@bench.example.com", "password": PASSWORD})

    def register() -> Request:
        return json_request("/", {"email": f"{uuid.uuid4().hex}@bench.example.com", "password": PASSWORD})

    def webhook() -> Request:
        payload = event("cus_of_nobody")
        secret = stage.stack.settings.stripe_webhook_secret
        headers = (("Stripe-Signature", signed(payload, secret=secret)), ("Content-Type", "application/json"))
        return Request("/", headers, payload.decode(), "POST")

    def checkout() -> Request:
        token = str(make.person().api.token)
        return json_request("/", {"plan": "basic"}, Authorization=f"Bearer {token}")

    def asked() -> Request:
        return viewer

    return {
        BARE: Start(framework_peer("bare", threads_of("get-playback"), PRODUCTION), asked),
        FULL: Start(uvicorn_peer("full_stack"), asked),
        TUNED: Start(uvicorn_peer("tuned"), asked),
        "get-playback": Start(function("get-playback"), asked),
        "login": Start(function("login"), login),
        "register": Start(function("register"), register, 201),
        "stripe-webhook": Start(function("stripe-webhook"), webhook),
        # Over the stack's own database, where the sandbox's customers are.
        "create-checkout": Start(
            function("create-checkout"), checkout, 201, {"DATABASE_URL": stage.stack.database_url}
        ),
        CONNECTOR: Start(connector, asked, settings=over_connector),
    }
