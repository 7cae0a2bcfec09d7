"""Bounds a whole exchange on a connection, as a socket's timeout does not: who sends a byte now and then keeps each
wait short, and holds a thread for ever."""

import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

_base: Any = socket.socket


class Watchdog:
    """Ends a socket when the time of the block is over: whoever waits for it there meets its end. A block that takes
    that for a good end raises TimeoutError.

    Args:
        seconds: how long the block may take once the socket is there. Making it is bounded by its own timeout.
        find: the socket, None while there is none.
    """

    def __init__(self, seconds: float, find: Callable[[], socket.socket | None]) -> None:
        self._timer = threading.Timer(max(0.0, seconds), self._bite)
        self._timer.daemon = True
        self._find = find
        self._bitten = False

    def __enter__(self) -> "Watchdog":
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._bitten and error is None:
            raise TimeoutError("The whole took too long")

    def _bite(self) -> None:
        self._bitten = True
        sock = self._find()
        if sock is not None:
            try:
                # Of the plain socket below TLS: a goodbye in TLS would wait, too.
                _base.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                return
