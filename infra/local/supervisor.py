"""All of Streamly on one machine: started in order, kept running, ended without a trace."""

import errno
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from infra.local.children import Child
from infra.local.gateway import EVERYWHERE, LOOPBACK, gateway_sockets
from infra.local.postgres import EmbeddedPostgres, PostgresError
from infra.local.processes import FolderLock, free_port
from infra.local.seed import is_loaded
from infra.local.settings import LocalSettings, write_private

REPOSITORY = Path(__file__).resolve().parents[2]
ADMIN_EMAIL = "admin@example.com"
START_SECONDS = 60
END_SECONDS = 5
_LONGEST_PAUSE = 10.0
_SETTLED_SECONDS = 30.0
# What every child gets beside its own settings; above all no secrets of whoever runs this.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "HTTP_PROXY", "HTTPS_PROXY")

MIGRATE = "import os; from lib.database.migrate import upgrade; upgrade(os.environ['DATABASE_URL'])"
MAKE_ADMIN = (
    "import os; from infra.local.admin import ensure_admin; "
    "ensure_admin(os.environ['DATABASE_URL'], os.environ['ADMIN_EMAIL'], os.environ['ADMIN_PASSWORD'])"
)


class StartError(RuntimeError):
    """The machine cannot be started; the message is fit for the console."""


class StoppedError(Exception):
    """It was asked to stop while starting."""


class Stack:
    """PostgreSQL, sandbox, functions and gateway.

    `start` returns once all of them answer. From then on a thread watches them: one that ends by itself
    is started again. A stack is used once.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int,
        *,
        host: str = LOOPBACK,
        overrides: Mapping[str, str] | None = None,
        durable: bool = True,
        film: bool = True,
        say: Callable[[str], None] = print,
    ) -> None:
        """Args:
        data_dir: Where everything is kept; no two stacks may share one.
        port: The gateway's, on localhost.
        host: Where the gateway listens: 127.0.0.1, or 0.0.0.0 in a container.
        overrides: Settings that win over the local ones, such as the caller's environment;
            `DATABASE_URL` among them means a database of one's own, `ADMIN_PASSWORD` the demo admin's.
        durable: See `EmbeddedPostgres`.
        film: Load the sample film, in the background.
        say: Takes each line for the console.
        """
        self.data_dir = data_dir.resolve()
        self.host = host
        self.port = port
        self.base_url = f"http://localhost:{port}"
        self.settings: LocalSettings
        """Known after `start`, as are `database_url` and `children`."""
        self.database_url: str
        self.children: dict[str, Child] = {}
        self.postgres: EmbeddedPostgres | None = None
        self._overrides = dict(overrides or {})
        self._durable = durable
        self._wants_film = film
        self._say = say
        self._lock = FolderLock(self.data_dir / "run.lock")
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def processes(self) -> dict[str, "subprocess.Popen[bytes]"]:
        """What runs now, by name: `postgres` (unless it is one's own), `sandbox`, `functions`, `gateway`."""
        running = {name: child.process for name, child in self.children.items()}
        if self.postgres is not None:
            running = {"postgres": self.postgres.process, **running}
        return {name: process for name, process in running.items() if process is not None}

    @property
    def film_is_loading(self) -> bool:
        """Whether the sample film is wanted and not there yet."""
        return self._wants_film and not is_loaded(self.data_dir)

    def start(self) -> None:
        """Start everything and wait until it answers, at most about two minutes.

        The calling thread must outlive the stack: on Linux the processes end with it.

        Raises:
            StartError: With a line or a few saying why; nothing is left running.
            AlreadyRunningError: The data folder is in use.
            StoppedError: `ask_to_stop` was called meanwhile.
        """
        self._lock.acquire()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def ask_to_stop(self) -> None:
        """Make a `start` that is under way give up soon; safe in a signal handler."""
        self._stopping.set()

    def stop(self) -> None:
        """End everything, within about ten seconds; twice does no harm."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join(END_SECONDS)
        for child in self.children.values():
            child.ask_to_end()
        deadline = time.monotonic() + END_SECONDS
        for child in self.children.values():
            child.end(deadline)
        if self.postgres is not None:
            self.postgres.stop()
        self._lock.release()

    def kill(self, name: str) -> None:
        """SIGKILL one of `processes` and all it has started, as tests of faults do; it is started again."""
        if name == "postgres" and self.postgres is not None and self.postgres.process is not None:
            self.postgres.process.kill()
        else:
            self.children[name].kill()

    def wait_until_healthy(self) -> None:
        """Wait until every child answers.

        Raises:
            StartError: One does not within a minute.
            StoppedError: The stack is stopping.
        """
        for child in self.children.values():
            self._await_health(child)

    def _start(self) -> None:
        settings = replace(LocalSettings.load(self.data_dir, self.port), smtp_port=free_port())
        password = self._overrides.get("ADMIN_PASSWORD")
        self.settings = replace(settings, admin_password=password) if password else settings
        self._check_port()
        self._say("Starting …")
        (self.data_dir / "logs").mkdir(exist_ok=True)
        self._start_database()
        self._run_to_end("migrations", MIGRATE, {"DATABASE_URL": self.database_url})
        environment = self.settings.function_environment(self.database_url, self._overrides)
        self._write_functions_env(environment)
        self._make_children(environment)
        for child in self.children.values():
            child.start()
        self.wait_until_healthy()
        admin = {"ADMIN_EMAIL": ADMIN_EMAIL, "ADMIN_PASSWORD": self.settings.admin_password}
        self._run_to_end("the demo admin", MAKE_ADMIN, {"DATABASE_URL": self.database_url, **admin})
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._watcher.start()

    def _check_port(self) -> None:
        if self.host not in {LOOPBACK, EVERYWHERE}:
            raise StartError(f"GATEWAY_HOST should be {LOOPBACK} or {EVERYWHERE}, not {self.host!r}")
        try:
            sockets = gateway_sockets(self.host, self.port)
        except OSError as error:
            why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise StartError(f"port {self.port} {why}; choose another: make run PORT=8001") from None
        for bound in sockets:
            bound.close()

    def _start_database(self) -> None:
        given = self._overrides.get("DATABASE_URL")
        if given:
            self.database_url = given
            return
        self.postgres = EmbeddedPostgres(self.data_dir, durable=self._durable)
        try:
            self.database_url = self.postgres.start()
        except PostgresError as error:
            raise StartError(str(error)) from error

    def _make_children(self, functions: Mapping[str, str]) -> None:
        sandbox_port, functions_port = free_port(), free_port()
        python = [sys.executable, "-m"]
        self._add_child(
            "sandbox",
            [*python, "infra.local.sandbox.app", "--port", str(sandbox_port)],
            {
                "STREAMLY_LOCAL_DIR": str(self.data_dir),
                "PORT": str(self.port),
                "SMTP_PORT": str(self.settings.smtp_port),
            },
            f"http://127.0.0.1:{sandbox_port}/sandbox/tasks/certs",
        )
        server = [
            *python,
            "gunicorn",
            "infra.service.app:app()",
            "--bind",
            f"127.0.0.1:{functions_port}",
        ]
        # Loaded before the fork, so that a wrong setting ends it with its line instead of one worker after another.
        server += ["--preload", "--worker-class", "gthread", "--workers", "1", "--threads", "8"]
        # Longer than the gateway keeps an idle connection, which is how none is closed while being used.
        server += [
            "--keep-alive",
            "15",
            # No limit of its own, as under functions-framework: a long query is for the function to refuse.
            "--limit-request-line",
            "0",
            "--graceful-timeout",
            "3",
            "--no-control-socket",
            "--log-level",
            "warning",
        ]
        self._add_child("functions", server, functions, f"http://127.0.0.1:{functions_port}/health")
        self._add_child(
            "gateway",
            [
                *(*python, "infra.local.gateway", "--host", self.host, "--port", str(self.port)),
                *("--functions-port", str(functions_port), "--sandbox-port", str(sandbox_port)),
            ],
            {},
            f"http://127.0.0.1:{self.port}/pages/style.css",
        )

    def _add_child(
        self, name: str, command: list[str], environment: Mapping[str, str], health_url: str
    ) -> None:
        self.children[name] = Child(
            name,
            command,
            _inherited() | dict(environment),
            log_dir=self.data_dir / "logs",
            health_url=health_url,
            cwd=REPOSITORY,
        )

    def _await_health(self, child: Child) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not child.is_healthy():
            # Once the watcher is there, a child that has ended is about to be started again.
            hopeless = child.has_ended() and self._watcher is None
            if hopeless or time.monotonic() > deadline:
                raise StartError(f"{child.name} does not start ({child.log_path}):\n{child.last_words()}")
            if self._stopping.wait(0.05):
                raise StoppedError

    def _run_to_end(self, what: str, code: str, environment: Mapping[str, str]) -> None:
        """Run a few lines of Python in a process of their own, for a failure of theirs in one clear line."""
        command = [sys.executable, "-c", code]
        log_path = self.data_dir / "logs" / "start.log"
        with log_path.open("ab") as log:
            began = log.tell()
            process = subprocess.Popen(
                command,
                env=_inherited() | dict(environment),
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None:
            if self._stopping.wait(0.02) or time.monotonic() > deadline:
                process.kill()
                process.wait()
                if self._stopping.is_set():
                    raise StoppedError
        if process.returncode != 0:
            lines = log_path.read_bytes()[began:].decode(errors="replace").strip().splitlines() or [
                "no message"
            ]
            raise StartError(f"{what}: {lines[-1]} (all of it in {log_path})")

    def _write_functions_env(self, environment: Mapping[str, str]) -> None:
        """For one function by itself: `set -a; . .local/functions.env; functions-framework --target login`."""
        lines = [f"{name}={shlex.quote(value)}\n" for name, value in sorted(environment.items())]
        write_private(self.data_dir / "functions.env", "".join(lines))

    def _watch(self) -> None:
        """Start again what ends by itself, sooner if it had run well; tell what goes wrong; load the film."""
        keepers = [_Keeper(name, partial(self._restart, name)) for name in self.processes]
        film = _Film(self) if self.film_is_loading else None
        while not self._stopping.wait(0.2):
            for keeper in keepers:
                process = self.processes.get(keeper.name)
                keeper.look(process, self._say, stopping=self._stopping)
            for child in self.children.values():
                child.report(self._say)
            if film is not None and film.is_over(self._say):
                film = None
        if film is not None:
            film.end()

    def _restart(self, name: str) -> None:
        if name == "postgres" and self.postgres is not None:
            self.postgres.stop()
            self.postgres.start()
        else:
            self.children[name].kill()  # what a dead leader may have left of its group
            self.children[name].start()


class _Keeper:
    """Decides when a process that has ended is started again."""

    def __init__(self, name: str, start: Callable[[], object]) -> None:
        self.name = name
        self._start = start
        self._started_at = time.monotonic()
        self._due_at: float | None = None
        self._pause = 0.0

    def look(
        self,
        process: "subprocess.Popen[bytes] | None",
        say: Callable[[str], None],
        *,
        stopping: threading.Event,
    ) -> None:
        now = time.monotonic()
        if process is not None and process.poll() is None:
            return
        if self._due_at is None:
            settled = now - self._started_at > _SETTLED_SECONDS
            self._pause = 0.0 if settled else min(max(self._pause * 2, 0.2), _LONGEST_PAUSE)
            self._due_at = now + self._pause
            how = "does not start" if process is None else f"has ended ({_how(process.returncode)})"
            say(f"{self.name} {how}; starting it again in {self._pause:.1f} s")
        if now >= self._due_at and not stopping.is_set():
            self._due_at, self._started_at = None, now
            try:
                self._start()
            except (OSError, RuntimeError) as error:
                say(f"{self.name}: {error}")


class _Film:
    """The sample film on its way, in a process of its own."""

    def __init__(self, stack: Stack) -> None:
        environment = {
            "STREAMLY_LOCAL_DIR": str(stack.data_dir),
            "STREAMLY_URL": stack.base_url,
            "ADMIN_EMAIL": ADMIN_EMAIL,
            "ADMIN_PASSWORD": stack.settings.admin_password,
        }
        self._child = Child(
            "seed",
            [sys.executable, "-m", "infra.local.seed"],
            _inherited() | environment,
            log_dir=stack.data_dir / "logs",
            health_url=stack.base_url,
            cwd=REPOSITORY,
        )
        self._child.start()

    def is_over(self, say: Callable[[str], None]) -> bool:
        if not self._child.has_ended():
            return False
        process = self._child.process
        words = self._child.last_words()
        if process is not None and process.returncode != 0:
            say(f"the sample film could not be loaded: {words.splitlines()[-1] if words else 'no message'}")
        elif words:
            say(words.splitlines()[-1])
        return True

    def end(self) -> None:
        self._child.kill()


def _inherited() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _INHERITED if os.environ.get(name)}
    return {**kept, "NO_PROXY": "localhost,127.0.0.1,::1", "PYTHONUNBUFFERED": "1"}


def _how(returncode: int) -> str:
    return f"signal {-returncode}" if returncode < 0 else f"exit {returncode}"
