"""What the pieces of one machine share about processes: ports, locks, and ends that leave nothing behind."""

import fcntl
import os
import random
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Below what Linux (32768) and macOS (49152) hand out to outgoing connections, so that a server
# started again finds its port still free.
_PORTS = range(20_000, 32_000)


@dataclass(frozen=True, slots=True)
class Process:
    """What runs: its parent and the command it was started with, words joined by spaces."""

    parent: int
    command: str


def processes() -> dict[int, Process]:
    """Everything that runs on this machine, by pid; without what ended and waits to be collected.

    Linux tells it in /proc, so that a bare machine needs no `ps`; others have one.
    """
    if not Path("/proc/self/stat").exists():
        listed = subprocess.run(
            ["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,command="],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
        rows = [line.split(None, 3) for line in listed.stdout.splitlines()]
        return {
            int(row[0]): Process(int(row[1]), row[3]) for row in rows if len(row) == 4 and row[2][0] != "Z"
        }
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        # It may end while it is looked at.
        with suppress(OSError):
            # After the name, which may hold anything and stands in brackets: state, parent, …
            state, parent = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if state not in ("Z", "X"):
                found[int(folder.name)] = Process(int(parent), " ".join(words).strip())
    return found


class AlreadyRunningError(RuntimeError):
    """The data folder is in use by another process."""


def free_port() -> int:
    """A TCP port on 127.0.0.1 nobody listens on right now.

    Raises:
        RuntimeError: No free one among 100 tried.
    """
    # The system's randomness: test tools seed Python's, and then two processes would be after the same ports.
    for port in random.SystemRandom().sample(_PORTS, 100):
        if port_is_free(port):
            return port
    raise RuntimeError("no free TCP port on 127.0.0.1 between 20000 and 32000")


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def dying_with_parent(command: list[str], signal_name: str) -> list[str]:
    """The command, made to receive a signal when the *thread* that starts it ends, even by kill -9.

    Linux only (elsewhere the command is returned as it is). Goes innermost: a change of user on the way
    to the command clears the wish. The pid stays that of the command.

    Args:
        command: What to run.
        signal_name: Without SIG, such as `TERM`.
    """
    if sys.platform != "linux" or shutil.which("setpriv") is None:
        return command
    return ["setpriv", "--pdeathsig", signal_name, *command]


class FolderLock:
    """An exclusive lock on a file; whoever holds it owns the folder. Freed by the kernel however we end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, or raise AlreadyRunningError at once, naming the holder."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode() or "unknown"
            os.close(descriptor)
            raise AlreadyRunningError(
                f"{self._path.parent} is in use by another Streamly (process {holder}); stop that one first"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Give it back; twice does no harm."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
