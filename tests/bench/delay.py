"""A longer way to the database: a proxy that delivers every byte so much later, in each direction."""

import socket
import threading
import time
from contextlib import suppress
from queue import SimpleQueue
from urllib.parse import urlsplit


class DelayProxy:
    """Stands between a client and a server. Order is kept; what is said meanwhile is on its way meanwhile.

    With threads, since an event loop's timers are of whole milliseconds.

    Args:
        url: of the server, with host and port.
        seconds: that each way takes.
    """

    def __init__(self, url: str, seconds: float) -> None:
        parts = urlsplit(url)
        self._server = (str(parts.hostname), int(parts.port or 5432))
        self._seconds = seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        port = self._listener.getsockname()[1]
        user, at, _ = parts.netloc.rpartition("@")
        self.url = parts._replace(netloc=f"{user}{at}127.0.0.1:{port}").geturl()

    def __enter__(self) -> "DelayProxy":
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for end in (self._listener, *self._open):
            # Wakes whoever waits for it.
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join(10)

    def _start(self, what: object, *arguments: object) -> None:
        thread = threading.Thread(target=what, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open += [client, server]
                for source, target in ((client, server), (server, client)):
                    under_way: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
                    self._start(self._receive, source, under_way)
                    self._start(self._deliver, target, under_way)

    def _receive(self, source: socket.socket, under_way: "SimpleQueue[tuple[float, bytes]]") -> None:
        piece = b"-"
        while piece:
            try:
                piece = source.recv(1 << 16)
            except OSError:
                piece = b""
            under_way.put((time.monotonic() + self._seconds, piece))

    @staticmethod
    def _deliver(target: socket.socket, under_way: "SimpleQueue[tuple[float, bytes]]") -> None:
        with suppress(OSError):
            while True:
                due, piece = under_way.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not piece:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(piece)
