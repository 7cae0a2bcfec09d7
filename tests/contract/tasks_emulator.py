"""The Cloud Tasks emulator from PyPI, which cannot live in our environment: it needs an older protobuf."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from uv import find_uv_bin

from infra.local.processes import dying_with_parent, free_port

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "tests" / "emulator-requirements.txt"
START_SECONDS = 30


@contextmanager
def running_emulator(queue: str) -> Iterator[str]:
    """An emulator with one queue, which calls the tasks' URLs; its host:port."""
    port = free_port()
    command = [str(_python()), "-m", "gcloud_tasks_emulator", "start", "-q", "-p", str(port), "-d", queue]
    with subprocess.Popen(
        dying_with_parent(command, "TERM"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            with grpc.insecure_channel(f"localhost:{port}") as channel:
                grpc.channel_ready_future(channel).result(START_SECONDS)
            yield f"localhost:{port}"
        finally:
            process.kill()


def _python() -> Path:
    """The Python of an environment with the pinned requirements; made once for each version of them."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    environment = ROOT / "build" / "tasks-emulator" / digest
    if not environment.exists():
        unfinished = environment.with_name(f"{digest}.{os.getpid()}")
        _uv("venv", "--python", sys.executable, str(unfinished))
        python = str(unfinished / "bin" / "python")
        _uv("pip", "install", "--python", python, "--require-hashes", "-r", str(REQUIREMENTS))
        try:
            unfinished.rename(environment)
        except OSError:  # another run was quicker
            shutil.rmtree(unfinished)
    return environment / "bin" / "python"


def _uv(*arguments: str) -> None:
    ended = subprocess.run(
        [find_uv_bin(), "--quiet", *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
