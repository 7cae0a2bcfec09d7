"""Servers to be measured: Streamly's functions and their peers, each started as it would be in production."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from infra.local.processes import dying_with_parent, free_port
from infra.service.app import ROOT
from tests.bench.load import BadAnswersError, Request

BIN = Path(sys.executable).parent
# With requirements.txt alone, as in the image: Stripe's SDK loads httpx, and that its command line, where tests left them.
PRODUCTION = ROOT / "build/production/bin"
MAP = json.loads((ROOT / "infra/gcp/functions.auto.tfvars.json").read_text())["functions"]
PEERS = ROOT / "tests/bench/peers"
START_SECONDS = 60


@dataclass(frozen=True)
class Program:
    """A server that can be started: what to run, and with what beside the common settings.

    Args:
        command: with `{port}` where the port goes.
    """

    name: str
    command: Sequence[str]
    settings: Mapping[str, str] = field(default_factory=dict)


def function(name: str, **settings: str) -> Program:
    """A function of ours, with the threads and the pool that the cloud gives it."""
    sizes = {"threads": 8} | MAP[name]
    own = {"THREADS": str(sizes["threads"]), "DB_POOL_SIZE": str(sizes["pool"]), "TRUSTED_PROXIES": "1"}
    return Program(name, framework(name), own | settings)


def framework_peer(name: str, threads: int, where: Path = BIN) -> Program:
    """A peer that is a function, with as many threads as the one it is compared with."""
    return Program(name, framework(name, PEERS / f"{name}.py", where), {"THREADS": str(threads)})


def uvicorn_peer(name: str) -> Program:
    """A peer that is an ASGI application: one worker, on the fastest loop and parser there are."""
    command = [
        str(BIN / "uvicorn"),
        f"tests.bench.peers.{name}:app",
        "--host",
        "127.0.0.1",
        "--port",
        "{port}",
    ]
    return Program(name, [*command, "--loop", "uvloop", "--http", "httptools"])


def threads_of(name: str) -> int:
    return int(({"threads": 8} | MAP[name])["threads"])


def framework(target: str, source: Path | None = None, where: Path = PRODUCTION) -> list[str]:
    """What starts a function, ours or that of the source."""
    command = [
        str(where / "functions-framework"),
        "--target",
        target,
        "--port",
        "{port}",
        "--host",
        "127.0.0.1",
    ]
    return [*command, *(["--source", str(source)] if source else [])]


@dataclass(frozen=True, slots=True)
class Running:
    process: "subprocess.Popen[bytes]"
    port: int
    began: float
    """By `time.perf_counter`, when the process was started."""

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def first_answer(self, request: Request, status: int) -> float:
        """Seconds from the start of the process to the end of its first answer."""
        deadline = self.began + START_SECONDS
        while not self.listens():
            if time.perf_counter() > deadline or self.process.poll() is not None:
                raise BadAnswersError(f"{self.url} does not listen")
            time.sleep(0.002)
        with httpx.Client(timeout=START_SECONDS, trust_env=False) as client:
            answer = ask(client, self.url, request)
        took = time.perf_counter() - self.began
        expect(answer, status)
        return took

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def ask(client: httpx.Client, url: str, request: Request) -> httpx.Response:
    return client.request(
        request.method, url + request.path, headers=dict(request.headers), content=request.body.encode()
    )


def expect(answer: httpx.Response, status: int) -> None:
    if answer.status_code != status:
        raise BadAnswersError(f"{answer.url}: {answer.status_code} {answer.text[:500]}")


@contextmanager
def running(program: Program, environment: Mapping[str, str], log: Path) -> Iterator[Running]:
    """The server, starting; it ends with the block."""
    port = free_port()
    command = [part.format(port=port) for part in program.command]
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            dying_with_parent(command, "TERM"),
            cwd=ROOT,
            env={**environment, **program.settings, "PATH": os.environ["PATH"]},
            stdout=output,
            stderr=output,
        )
    try:
        yield Running(process, port, began)
    except (BadAnswersError, httpx.HTTPError):
        # What went well is of no interest.
        lines = [
            line for line in log.read_text(errors="replace").splitlines() if '"severity":"INFO"' not in line
        ]
        print(f"{program.name} said:", *lines[-40:], sep="\n", file=sys.stderr)
        raise
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
