"""One server process under the supervisor: started, watched, ended with everything it has started."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import httpx

from infra.local.processes import dying_with_parent

LOG_BYTES = 10 * 1024 * 1024
_LOUD_JSON = {"ERROR", "CRITICAL", "ALERT", "EMERGENCY"}
_LOUD_TEXT = re.compile(r"\b(ERROR|CRITICAL|FATAL|PANIC)\b|^\w*(Error|Exception)\b")
_AT_ONCE = 5


class Child:
    """A server that is started anew whenever it ends by itself."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        log_dir: Path,
        health_url: str,
        cwd: Path,
    ) -> None:
        self.name = name
        self.log_path = log_dir / f"{name}.log"
        self._command = list(command)
        self._environment = dict(environment)
        self._health_url = health_url
        self._cwd = cwd
        self._read_to = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; on Linux it ends with the calling thread."""
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        with self.log_path.open("ab") as log:
            self._read_to = log.tell() if self.process is None else min(self._read_to, log.tell())
            self.process = subprocess.Popen(
                dying_with_parent(self._command, "TERM"),
                env=self._environment,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C is for the supervisor, which then ends its children in order.
                start_new_session=True,
            )

    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def is_healthy(self) -> bool:
        """Whether it answers its health check with anything but a fault, within 2 s."""
        try:
            return httpx.get(self._health_url, timeout=2, trust_env=False).status_code < 500
        except httpx.HTTPError:
            return False

    def ask_to_end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def end(self, deadline: float) -> None:
        """Wait for its end until `deadline` (monotonic), then kill it and whatever is left of its group."""
        if self.process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0, deadline - time.monotonic()))
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the process and all it has started (kept in its process group)."""
        if self.process is None:
            return
        # The group may outlive its leader, and its number is not given away while it does.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def last_words(self) -> str:
        """The end of what it has logged since its first start."""
        with self.log_path.open("rb") as log:
            log.seek(self._read_to)
            return log.read()[-2000:].decode(errors="replace").strip()

    def report(self, say: Callable[[str], None]) -> None:
        """Tell what it has logged since the last call, failures only, at most a few lines."""
        with self.log_path.open("rb") as log:
            log.seek(self._read_to)
            news = log.read(1_000_000)
        whole = news.rpartition(b"\n")[0]
        if not whole:
            return
        self._read_to += len(whole) + 1
        loud = [text for line in whole.decode(errors="replace").splitlines() if (text := _failure_in(line))]
        for text in loud[:_AT_ONCE]:
            say(f"{self.name}: {text}")
        if len(loud) > _AT_ONCE:
            say(f"{self.name}: … {len(loud) - _AT_ONCE} more in {self.log_path}")


def _failure_in(line: str) -> str | None:
    """The failure a log line tells of, shortened; None if it tells of none."""
    if not line.startswith("{"):
        return line.strip()[:300] if _LOUD_TEXT.search(line) else None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or entry.get("severity") not in _LOUD_JSON:
        return None
    shown = ("function", "method", "status", "code", "error", "request_id")
    details = " ".join(f"{name}={entry[name]}" for name in shown if entry.get(name) is not None)
    return f"{entry.get('message', '')} {details}".strip()[:300]
