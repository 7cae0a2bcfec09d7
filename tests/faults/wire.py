"""A stretch of network between a process and what it speaks to, where everything can go wrong at a word.

All that is spoken here (PostgreSQL, HTTP/1.1, SMTP) is asked and answered in turns. So one proxy that knows no protocol
sees each step a process takes towards the outside: `watch` is told of it before the first byte of a question is
passed on, and again when the first byte of its answer has come.
"""

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Moment = Literal["before", "after"]
Watch = Callable[[bytes, Moment], bool]
"""Of a question's first bytes: whether it, or its answer, goes on. False: both ends are cut."""

_CHUNK = 65536


@dataclass(frozen=True)
class Weather:
    """What the wire does.

    Args:
        kind: `fair` passes everything on; `refused` takes no connection and cuts those there are; `silent` takes all
            and passes nothing on; `late` holds each answer back for `seconds`; `cut` ends the connection after
            `size` bytes of an answer; `drip` passes a byte of the answer every `seconds`; `said` answers each
            question with `words` itself, without anybody else, and then closes; `greets` says them before it is asked,
            as a mail server does.
    """

    kind: Literal["fair", "refused", "silent", "late", "cut", "drip", "said", "greets"] = "fair"
    seconds: float = 0.0
    size: int = 0
    words: Callable[[], Iterator[bytes]] | None = None


FAIR = Weather()


def _reset(sock: socket.socket) -> None:
    """An end that the other side notices at once."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        sock.close()


@dataclass(eq=False)
class _Line:
    """One connection through the wire."""

    near: socket.socket
    far: socket.socket | None
    asked: bytes | None = None
    """The first bytes of the question that waits for its answer."""
    passed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    closed: bool = False

    def close(self) -> None:
        with self.lock:
            if not self.closed:
                self.closed = True
                # Woken first: whoever waits in a select would not notice a close.
                for end in (self.near, self.far):
                    if end is not None:
                        with contextlib.suppress(OSError):
                            end.shutdown(socket.SHUT_RDWR)
                        _reset(end)


class Wire:
    """Listens on a port of its own and leads to `target`.

    Args:
        target: may be set anew at any time, as an address that moves to another machine.
        watch: see above; called in the connection's own thread.
    """

    def __init__(self, target: tuple[str, int], watch: Watch | None = None) -> None:
        self.target = target
        self.taken = 0
        """Connections so far."""
        self._watch = watch
        self._weather = FAIR
        self._lines: set[_Line] = set()
        self._guard = threading.Lock()
        self._listener: socket.socket | None = self._listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._start()

    @staticmethod
    def _listen(port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        return listener

    def _start(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    @property
    def weather(self) -> Weather:
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        """From now on, also for the connections there are."""
        was, self._weather = self._weather, weather
        if weather.kind == "refused":
            self._shut()
            self.cut()
        elif was.kind == "refused":
            self._listener = self._listen(self.port)
            self._start()
        elif was.kind == "silent":
            # Whatever was swallowed never arrived: who waits for its answer would wait for ever.
            self.cut()

    def _shut(self) -> None:
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def cut(self) -> None:
        """End all connections."""
        with self._guard:
            lines = list(self._lines)
        for line in lines:
            line.close()

    def close(self) -> None:
        self._shut()
        self.cut()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.taken += 1
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        line = _Line(near, None)
        with self._guard:
            self._lines.add(line)
        try:
            weather = self._weather
            if weather.kind == "greets":
                self._say(line, weather)
                return
            if weather.kind not in ("silent", "said") and not self._reach(line):
                return
            self._exchange(line)
        except OSError:
            pass  # an end was closed, which is what close() tells the other
        finally:
            line.close()
            with self._guard:
                self._lines.discard(line)

    def _reach(self, line: _Line) -> bool:
        try:
            far = socket.create_connection(self.target, 5)
        except OSError:
            return False
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        far.settimeout(None)
        with line.lock:
            if line.closed:
                _reset(far)
                return False
            line.far = far
        return True

    def _exchange(self, line: _Line) -> None:
        with selectors.DefaultSelector() as waiting:
            waiting.register(line.near, selectors.EVENT_READ, self._question)
            if line.far is not None:
                waiting.register(line.far, selectors.EVENT_READ, self._answer)
            while not line.closed:
                for key, _ in waiting.select():
                    if not key.data(line):
                        return

    def _question(self, line: _Line) -> bool:
        heard = line.near.recv(_CHUNK)
        weather = self._weather
        if not heard:
            return False
        if weather.kind == "silent":
            return True
        if weather.kind == "said":
            return self._say(line, weather)
        if line.asked is None:
            line.asked, line.passed = heard, 0
            if self._watch is not None and not self._watch(heard, "before"):
                return False
        if line.far is None:
            return False
        line.far.sendall(heard)
        return True

    def _answer(self, line: _Line) -> bool:
        if line.far is None:
            return False
        heard = line.far.recv(_CHUNK)
        weather = self._weather
        if not heard:
            return False
        if weather.kind in ("silent", "said"):
            return True
        asked, line.asked = line.asked, None
        if asked is not None and self._watch is not None and not self._watch(asked, "after"):
            return False
        if weather.kind == "late":
            time.sleep(weather.seconds)
        elif weather.kind == "cut":
            left = weather.size - line.passed
            line.near.sendall(heard[: max(0, left)])
            line.passed += len(heard)
            return len(heard) < left
        elif weather.kind == "drip":
            for byte in heard:
                if line.closed or self._weather is not weather:
                    return False
                line.near.sendall(bytes([byte]))
                time.sleep(weather.seconds)
            return True
        line.near.sendall(heard)
        return True

    @staticmethod
    def _say(line: _Line, weather: Weather) -> bool:
        """The answer, whatever was asked. What is still being asked is read first: closing upon unread bytes would
        throw away what was said."""
        line.near.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            while line.near.recv(_CHUNK):
                pass
        line.near.settimeout(None)
        for piece in weather.words() if weather.words else ():
            line.near.sendall(piece)
        with contextlib.suppress(OSError):
            line.near.shutdown(socket.SHUT_WR)
            line.near.settimeout(1)
            while line.near.recv(_CHUNK):
                pass
        return False
