"""Load by wrk: many requests, each of its own, from a file that Lua reads."""

import json
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("requests.lua")


@dataclass(frozen=True, slots=True)
class Request:
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    method: str = "GET"


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it; times in milliseconds."""

    requests: int
    rate: float
    p50: float
    p99: float


class BadAnswersError(RuntimeError):
    """Something was not answered as it should have been: no figure is made of that."""


def find_wrk() -> str:
    """Raises SystemExit, with what to do, where there is none."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit(
            "wrk is missing, which makes the load: apt-get install wrk (macOS: brew install wrk)"
        )
    return found


class Wrk:
    """One load, running; `result` waits for it."""

    def __init__(
        self, url: str, requests: Path, *, connections: int, seconds: float = 3600, most: int = 0
    ) -> None:
        command = [find_wrk(), "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "60s"]
        self._url, self._most = url, most
        self._process = subprocess.Popen(
            [*command, "-s", str(SCRIPT), url, "--", str(requests), str(most)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def result(self) -> Load:
        """Raises BadAnswersError unless each request had an answer below 400."""
        assert self._process.stdout is not None
        output = ""
        for line in self._process.stdout:
            output += line
            if line == "reached\n":
                self._process.send_signal(signal.SIGINT)
        self._process.wait()
        lines = [line for line in output.splitlines() if line.startswith("{")]
        if self._process.returncode != 0 or not lines:
            raise BadAnswersError(f"wrk: {output.strip()[-500:]}")
        found = json.loads(lines[-1])
        bad = {name: found[name] for name in ("status", "connect", "read", "write", "timeout") if found[name]}
        if bad or found["requests"] == 0 or found["requests"] < self._most:
            raise BadAnswersError(f"{self._url}: of {found['requests']} requests {bad or 'too few'}")
        rate = found["requests"] / found["duration_us"] * 1e6
        return Load(found["requests"], rate, found["p50_us"] / 1000, found["p99_us"] / 1000)


def write_requests(path: Path, requests: Sequence[Request]) -> Path:
    """The file for the script: one request a line, as JSON could not be read by wrk's Lua."""
    with path.open("w") as file:
        for request in requests:
            headers = "\x1f".join(f"{name}\x1e{value}" for name, value in request.headers)
            parts = [request.method, request.path, headers, request.body]
            if any("\n" in part or "\t" in part for part in parts):
                raise ValueError("a request of several lines")
            file.write("\t".join(parts) + "\n")
    return path


def load(url: str, requests: Path, *, connections: int, seconds: float) -> Load:
    """Asks in turn what the file holds, over so many connections, for so long."""
    return Wrk(url, requests, connections=connections, seconds=seconds).result()


def burst(url: str, requests: Path, *, connections: int, most: int) -> Load:
    """Asks so many requests of the file, as fast as they are answered, and stops."""
    return Wrk(url, requests, connections=connections, most=most).result()
