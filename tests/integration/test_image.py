"""The image `service` without Docker: the Dockerfile's COPY lines are followed by hand, then its CMD is started.

The packages are those of the tests. That a root with requirements.txt alone is enough, docs/docker.md tells.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import httpx
import pytest

from infra.local.processes import dying_with_parent, free_port
from infra.service.app import ROOT, function_names
from tests.factories import wait_for

DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
SANDBOX = re.compile(r".*_BASE|DISPATCHER_URL|OIDC_.*")
CLOUD = {
    "K_SERVICE": "streamly",
    "TASKS_QUEUE": "projects/p/locations/r/queues/q",
    "STRIPE_SECRET_KEY": "sk_test_0",
    "SMTP_URL": "smtps://mail.example.com",
}


def instructions(stage: str) -> list[tuple[str, str]]:
    """A stage's instructions with those of the stages it is made from, in order."""
    stages: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    for line in DOCKERFILE.splitlines():
        name, _, rest = line.strip().partition(" ")
        if name == "FROM":
            parent, _, alias = rest.partition(" AS ")
            current = stages[alias] = list(stages.get(parent, []))
        elif name and not name.startswith("#"):
            current.append((name, rest.strip()))
    return stages[stage]


def let_through(path: PurePosixPath) -> bool:
    """Whether .dockerignore lets a file of the repository into the build. The last line that fits decides."""
    kept = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and any(fits(pattern, part) for part in (path, *path.parents)):
            kept = line.startswith("!")
    return kept


def fits(pattern: str, path: PurePosixPath) -> bool:
    """As Docker: part by part; `**/` stands for any folders above."""
    parts, wanted = path.parts, pattern.split("/")
    if wanted[0] == "**":
        parts, wanted = parts[-1:], wanted[1:]
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def context() -> list[PurePosixPath]:
    """What is sent to the engine: the files of the repository, as they lie there, that are let through."""
    found: list[PurePosixPath] = []
    for folder, folders, files in os.walk(ROOT):
        here = PurePosixPath(Path(folder).relative_to(ROOT).as_posix())
        # Only to spare the walk through what is large and surely out.
        folders[:] = [name for name in folders if name not in {".git", ".venv", "node_modules"}]
        found += [here / name for name in files if let_through(here / name)]
    return found


def build(stage: str, target: Path) -> None:
    """Follow the stage's COPY lines from the context; /app is `target`."""
    files = context()
    for name, rest in instructions(stage):
        if name != "COPY" or rest.startswith("--from="):
            continue
        *sources, destination = shlex.split(rest)
        for source in sources:
            # Of a folder the content is copied; of a pattern, the files that fit it.
            chosen = [file for file in files if PurePosixPath(source) in file.parents]
            single = [file for file in files if fits(source, file)]
            assert chosen or single, f"COPY {rest}: nothing to copy"
            for file in chosen:
                put(file, target / destination / file.relative_to(source))
            for file in single:
                into = destination.endswith("/")
                put(file, target / destination / file.name if into else target / destination)


def put(file: PurePosixPath, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / file, to)


def content(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@dataclass
class Image:
    """The finished /app, write-protected, and how the Dockerfile starts it."""

    folder: Path
    command: list[str]
    environment: dict[str, str]

    def run(self, command: list[str], log: Path, **settings: str) -> "subprocess.Popen[bytes]":
        """Start a command in it with no rights of root, and none of the surrounding environment."""
        if os.geteuid() == 0:
            command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", *command]
        with log.open("wb") as output:
            return subprocess.Popen(
                dying_with_parent(command, "TERM"),
                cwd=self.folder,
                env=self.environment | settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )


@pytest.fixture(scope="module")
def image(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("image") / "app"
    build("service", folder)
    steps = instructions("service")
    (command,) = (rest for name, rest in steps if name == "CMD")
    compiling = next(rest for name, rest in steps if name == "RUN" and "compileall" in rest)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(shlex.split(compiling), cwd=folder, env={"PATH": path}, check=True, timeout=120)
    for entry in (folder, *folder.rglob("*")):
        entry.chmod(0o555 if entry.is_dir() else 0o444)
    settings = {name: value for name, value in environment.items() if not SANDBOX.fullmatch(name)}
    # The same database; the providers are as far away as in the cloud.
    cloud = {**settings, **CLOUD, "PATH": path, "HOME": "/nonexistent", "PYTHONUNBUFFERED": "1"}
    yield Image(folder, [part.strip('[], "') for part in command.split(",")], cloud)
    for entry in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        entry.chmod(0o755)


@pytest.fixture
def start(image: Image, tmp_path: Path) -> Iterator["Start"]:
    starting = Start(image, tmp_path)
    yield starting
    starting.end()


class Start:
    """Starts the image as Cloud Run would; called, it gives a client of it."""

    def __init__(self, image: Image, folder: Path) -> None:
        self._image = image
        self.log = folder / "image.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._client: httpx.Client | None = None

    def __call__(self, **settings: str) -> httpx.Client:
        port = free_port()
        # What is known of the container beside its files: a port, and one folder to write to.
        given = {"PORT": str(port), "TMPDIR": str(self.log.parent), **settings}
        self.process = self._image.run(self._image.command, self.log, **given)
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False)
        wait_for(self._listens, 60)
        return self._client

    def _listens(self) -> bool:
        assert self.process is not None
        assert self._client is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            self._client.get("/health")
        except httpx.ConnectError:
            return False
        return True

    def end(self) -> None:
        if self._client is not None:
            self._client.close()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)


def test_only_what_serves_is_in_it(image: Image) -> None:
    files = content(image.folder)
    tops = {name.partition("/")[0] for name in files}
    assert tops == {"main.py", "lib", "functions", "infra", "__pycache__"}
    beside = {name for name in files if name.startswith("infra/") and "__pycache__" not in name}
    assert {"infra/service/app.py", "infra/service/start.sh"} <= beside
    assert not [name for name in files if re.search(r"sandbox|infra/local|test|\.env|\.pem$|\.key$", name)]
    assert {f"functions/{name.replace('-', '_')}/main.py" for name in function_names()} <= files


def test_what_lies_about_in_a_working_copy_stays_out() -> None:
    stray = [
        ".env",
        "lib/.env",
        "functions/login/.env.prod",
        "infra/local/mux.pem",
        "infra/service/signing.key",
        "lib/gcp-credentials.json",
        ".local/settings.json",
        "tests/conftest.py",
        ".git/config",
        "infra/gcp/terraform.tfstate",
        "lib/__pycache__/config.cpython-313.pyc",
    ]
    assert [name for name in stray if let_through(PurePosixPath(name))] == []


def test_it_is_no_root_and_its_last_stage_is_the_service() -> None:
    for stage in ("service", "local"):
        users = [rest for name, rest in instructions(stage) if name == "USER"]
        assert users == ["streamly"]
    assert re.findall(r"^FROM .* AS (\w+)", DOCKERFILE, re.MULTILINE)[-1] == "service"


def test_it_runs_the_version_of_the_functions() -> None:
    found = re.search(r"^ARG PYTHON=python:(\d+)\.(\d+)-slim", DOCKERFILE, re.MULTILINE)
    assert found is not None
    assert f'"python{found[1]}{found[2]}"' in (ROOT / "infra/gcp/variables.tf").read_text()


def test_the_whole_api_behind_one_port(image: Image, start: Start) -> None:
    before = content(image.folder)
    client = start()
    assert client.get("/health").json() == {"status": "ok"}
    assert [plan["code"] for plan in client.get("/list-plans").json()["plans"]] == ["basic", "premium"]
    assert client.get("/jwks").json()["keys"]
    assert client.get("/api-docs/openapi.json").status_code == 200
    bad = client.post("/login", json={"email": "nobody"})
    assert (bad.status_code, bad.json()["code"]) == (422, "invalid_request")
    body = {"email": "image@example.com", "password": "a long walk by the sea"}
    assert client.post("/register", json=body).status_code == 201
    token = client.post("/login", json=body).json()["access_token"]
    account = client.get("/account", headers={"Authorization": f"Bearer {token}"})
    assert account.json()["user"]["email"] == body["email"]
    # Every function is there: whatever it says to a stranger's GET, it is not that there is no such function.
    for name in function_names():
        assert client.get(f"/{name}").status_code != 404 or name == "api-docs", name
    for path in ("/", "/sandbox/", "/checkout/success", "/healthz", "/health/", "/login/x"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    assert client.post("/health").status_code == 404
    assert content(image.folder) == before
    assert start.process is not None
    start.process.terminate()
    assert start.process.wait(10) == 0


def test_one_function_alone(start: Start) -> None:
    client = start(FUNCTION_TARGET="login")
    assert client.post("/", json={"email": "nobody"}).json()["code"] == "invalid_request"
    assert client.get("/list-plans").status_code == 404


def test_a_missing_setting_ends_it_with_one_line(image: Image, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = image.run(image.command, log, PORT=str(free_port()), TMPDIR=str(tmp_path), MUX_TOKEN_SECRET="")
    assert process.wait(60) != 0
    (line,) = log.read_text().splitlines()
    assert line.startswith("streamly: process_task cannot start: MUX_TOKEN_SECRET is missing")


def test_the_migrations_run_in_it(image: Image, tmp_path: Path) -> None:
    """As the job in infra/gcp/migrations.tf starts it."""
    log = tmp_path / "log"
    process = image.run(["python", "-m", "lib.database.migrate"], log)
    assert process.wait(60) == 0, log.read_text()
