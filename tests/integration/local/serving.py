"""Servers to test against, and patience: what the tests of the local machine share."""

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

PATIENCE = 20.0


def eventually(holds: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """What `holds` returns, once it is true; fails after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {patience} s: {what}"
        time.sleep(0.02)
    return found


def is_running(pid: int) -> bool:
    """Whether a process is there and more than an entry its parent has not collected yet."""
    listed = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(listed.stdout.strip()) and not listed.stdout.strip().startswith("Z")


@contextmanager
def served(app: Any, port: int = 0) -> Iterator[int]:
    """Serve an ASGI application on 127.0.0.1 from a thread; gives its port."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=1,
        )
    )
    with socket.create_server(("127.0.0.1", port)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            eventually(lambda: server.started, "the server is up")
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
