"""Servers to test against, and patience: what the tests of the local machine share."""

import threading
import time
from collections.abc import Callable
from typing import Any

import uvicorn

from infra.local.processes import processes

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
    return pid in processes()


class Servers:
    """ASGI applications served on 127.0.0.1, each from a thread of its own, until `stop`."""

    def __init__(self) -> None:
        self._running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def serve(self, app: Any, port: int = 0) -> int:
        """Serve the application; returns its port, a free one unless given."""
        config = uvicorn.Config(
            app,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        self._running.append((server, thread))
        eventually(lambda: server.started, "the server is up")
        found: int = server.servers[0].sockets[0].getsockname()[1]
        return found

    def stop(self) -> None:
        for server, _ in self._running:
            server.should_exit = True
        for _, thread in self._running:
            thread.join(PATIENCE)
