"""Each function by itself under functions-framework, as the cloud starts it; no gateway in front."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from infra.local.processes import free_port
from infra.service.app import ROOT
from tests.factories import wait_for

# Target -> a request that it refuses after some work of its own.
FIRST_WORDS: dict[str, tuple[str, dict[str, object] | None, int, str]] = {
    "register": ("POST", {"email": "nobody", "password": "x"}, 422, "invalid_request"),
    "login": ("POST", {"email": "nobody@example.com", "password": "x"}, 401, "invalid_credentials"),
    "create_checkout": ("POST", {"plan": "basic"}, 401, "invalid_token"),
    "stripe_webhook": ("POST", {"id": "evt_1"}, 400, "invalid_signature"),
    "upload_asset": ("POST", {"title": "A film"}, 401, "invalid_token"),
    "get_playback": ("GET", None, 401, "invalid_token"),
}
TARGETS = [*FIRST_WORDS, *(name.replace("_", "-") for name in FIRST_WORDS if "_" in name)]
FUNCTIONS_FRAMEWORK = Path(sys.executable).with_name("functions-framework")


@dataclass
class Running:
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def request(self, method: str, **options: object) -> httpx.Response:
        return httpx.request(method, f"http://127.0.0.1:{self.port}/", timeout=20, trust_env=False, **options)  # type: ignore[arg-type]

    def answers(self) -> bool:
        """Whether it says something, whatever that is; a process that has ended is a failure at once.

        To listen is not enough: that is begun before the function is imported, and on a busy machine the first
        answer takes longer than a request waits.
        """
        assert self.process.poll() is None, self.log.read_text()
        try:
            self.request("HEAD")
        except httpx.TransportError:
            return False
        return True


@pytest.fixture(scope="module")
def alone(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Running]]:
    """`alone(target)`: that function's own process, over the stack's database. Started all together."""
    folder = tmp_path_factory.mktemp("alone")
    running = {target: _start(target, environment, folder / f"{target}.log") for target in TARGETS}

    def find(target: str) -> Running:
        wait_for(running[target].answers, 60)
        return running[target]

    yield find
    for found in running.values():
        found.process.terminate()
    for found in running.values():
        found.process.wait(20)


def _start(target: str, environment: dict[str, str], log: Path) -> Running:
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(FUNCTIONS_FRAMEWORK), "--target", target, "--port", str(port), "--host", "127.0.0.1"],
            cwd=ROOT,
            env=environment | {"PATH": os.environ["PATH"], "THREADS": "2"},
            stdout=output,
            stderr=output,
        )
    return Running(port, process, log)


@pytest.mark.parametrize("target", TARGETS)
def test_it_starts_and_answers_alone(alone: Callable[[str], Running], target: str) -> None:
    method, body, status, code = FIRST_WORDS[target.replace("-", "_")]
    answer = alone(target).request(method, **({} if body is None else {"json": body}))
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_login_alone(alone: Callable[[str], Running]) -> None:
    body = {"email": "alone@example.com", "password": "a long walk by the sea"}
    created = alone("register").request("POST", json=body)
    assert created.status_code == 201
    found = alone("login").request("POST", json=body)
    assert found.status_code == 200
    headers = {"Authorization": f"Bearer {found.json()['access_token']}"}
    film = "00000000-0000-0000-0000-000000000000"
    playback = alone("get-playback").request("GET", headers=headers, params={"video_id": film})
    assert (playback.status_code, playback.json()["code"]) == (404, "video_not_found")


def test_a_chunked_body_is_read_up_to_the_limit(alone: Callable[[str], Running]) -> None:
    """No Content-Length tells beforehand; gunicorn reads for real."""
    headers = {"Content-Type": "application/json"}

    def chunks(size: int) -> Iterator[bytes]:
        yield b'{"email":"nobody","password":"'
        for _ in range(size // 1000):
            yield b"x" * 1000
        yield b'"}'

    small = alone("login").request("POST", content=chunks(100), headers=headers)
    assert (small.status_code, small.json()["code"]) == (422, "invalid_request")
    large = alone("login").request("POST", content=chunks(70_000), headers=headers)
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")


def test_a_webhook_may_be_larger(alone: Callable[[str], Running]) -> None:
    large = alone("stripe-webhook").request("POST", content=b"x" * 100_000)
    assert (large.status_code, large.json()["code"]) == (400, "invalid_signature")
    huge = alone("stripe-webhook").request("POST", content=b"x" * ((1 << 20) + 1))
    assert (huge.status_code, huge.json()["code"]) == (413, "body_too_large")


def test_a_body_that_breaks_off_is_a_refusal(alone: Callable[[str], Running]) -> None:
    with socket.create_connection(("127.0.0.1", alone("login").port), 10) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
            b'{"email":'
        )
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(20)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"malformed_request"' in answer


@pytest.mark.parametrize(
    ("target", "setting"),
    [
        ("login", "DATABASE_URL"),
        ("create-checkout", "STRIPE_SECRET_KEY"),
        ("get_playback", "MUX_SIGNING_PRIVATE_KEY"),
        ("reconcile", "SCHEDULER_SERVICE_ACCOUNT"),
    ],
)
def test_a_missing_setting_stops_it_with_one_line(
    environment: dict[str, str], target: str, setting: str
) -> None:
    settings = {name: value for name, value in environment.items() if name != setting}
    ended = subprocess.run(
        [str(FUNCTIONS_FRAMEWORK), "--target", target, "--port", str(free_port())],
        cwd=ROOT,
        env=settings | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode != 0
    (line,) = (ended.stdout + ended.stderr).strip().splitlines()
    assert line.startswith(f"streamly: {target} cannot start: {setting} is missing")
