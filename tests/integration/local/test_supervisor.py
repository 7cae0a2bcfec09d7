"""`python -m infra.local`: one command starts everything, one signal ends everything."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from infra.env_file import EnvFileError, read_env_file
from infra.local.processes import free_port, processes
from infra.local.supervisor import REPOSITORY
from tests.integration.local.serving import eventually, is_running

START_PATIENCE = 90.0
END_PATIENCE = 20.0


class Machine:
    """The command, started the way a shell starts it: in a process group of its own."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.data_dir = data_dir
        self.url = f"http://localhost:{port}"
        self._output_path = data_dir.with_suffix(".out")
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with self._output_path.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "infra.local"],
                cwd=REPOSITORY,
                env={**kept, "PORT": str(port), "STREAMLY_LOCAL_DIR": str(data_dir)},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._output_path.read_text()

    def wait_until_running(self) -> None:
        def running() -> bool:
            assert self.process.poll() is None, self.output
            return "Streamly is running" in self.output

        eventually(running, "the banner", START_PATIENCE)

    def descendants(self) -> dict[int, str]:
        """Every process below the command: pid to command line."""
        running = processes()
        found: dict[int, str] = {}
        parents = {self.process.pid}
        while parents:
            level = {pid: process.command for pid, process in running.items() if process.parent in parents}
            found |= level
            parents = set(level)
        return found

    def pid_of(self, part: str) -> int:
        """The first process under the command whose command line has this part; 0 if there is none."""
        return min((pid for pid, command in self.descendants().items() if part in command), default=0)


@contextmanager
def started(folder: Path) -> Iterator[Machine]:
    machine = Machine(folder / "data", free_port())
    try:
        yield machine
    finally:
        if machine.process.poll() is None:
            machine.process.terminate()
            machine.process.wait(END_PATIENCE)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """One to be ended."""
    with started(tmp_path) as machine:
        yield machine


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One that runs on, shared."""
    with started(tmp_path_factory.mktemp("lasting")) as machine:
        machine.wait_until_running()
        yield machine


@pytest.mark.parametrize(
    ("number", "whole_group"), [(signal.SIGINT, False), (signal.SIGINT, True), (signal.SIGTERM, True)]
)
def test_a_signal_ends_it_and_leaves_no_process(
    machine: Machine, number: signal.Signals, whole_group: bool
) -> None:
    machine.wait_until_running()
    below = machine.descendants()
    assert len(below) >= 5, below
    (os.killpg if whole_group else os.kill)(machine.process.pid, number)
    assert machine.process.wait(END_PATIENCE) == 0, machine.output
    for pid in below:
        assert not is_running(pid), below[pid]


def test_a_signal_while_starting_leaves_no_process_and_it_starts_again(
    machine: Machine, tmp_path: Path
) -> None:
    eventually(machine.descendants, "the first process")
    below = machine.descendants()
    machine.process.send_signal(signal.SIGINT)
    assert machine.process.wait(END_PATIENCE) == 0, machine.output
    assert [command for pid, command in below.items() if is_running(pid)] == []
    again = Machine(machine.data_dir, free_port())
    again.wait_until_running()
    again.process.send_signal(signal.SIGTERM)
    assert again.process.wait(END_PATIENCE) == 0


def test_the_page_and_the_sample_film_are_there(lasting: Machine) -> None:
    assert "<title>Streamly</title>" in httpx.get(f"{lasting.url}/", trust_env=False).text
    eventually(lambda: "The sample film is ready" in lasting.output, "the sample film", 60)
    videos = httpx.get(f"{lasting.url}/list-videos", trust_env=False).json()["videos"]
    assert [(video["title"], video["level"]) for video in videos] == [("Sample film", 1)]


def test_whatever_ends_by_itself_is_started_again(lasting: Machine) -> None:
    for part in ("gunicorn", "infra.local.sandbox.app", "infra.local.gateway", "postgres -D"):
        killed = lasting.pid_of(part)
        os.kill(killed, signal.SIGKILL)
        eventually(partial(has_ended, killed), "it has ended")
        eventually(partial(lasting.pid_of, part), f"{part} is there again")
        for path in ("/list-videos", "/sandbox/"):
            eventually(partial(answers, lasting.url + path), f"{path} after {part} was killed", 30)
    assert lasting.process.poll() is None
    assert lasting.output.count("starting it again") >= 4


def test_killed_by_force_it_leaves_no_process_behind(machine: Machine) -> None:
    machine.wait_until_running()
    below = machine.descendants()
    machine.process.kill()
    machine.process.wait()
    if sys.platform == "linux":
        for pid, command in below.items():
            eventually(partial(has_ended, pid), command)


def test_a_second_one_on_the_same_data_is_refused_in_a_line(lasting: Machine) -> None:
    second = refused({"PORT": str(free_port()), "STREAMLY_LOCAL_DIR": str(lasting.data_dir)})
    assert re.fullmatch(
        rf"streamly: .* in use by another Streamly \(process {lasting.process.pid}\).*\n", second
    )
    assert answers(f"{lasting.url}/list-plans")


def test_a_taken_port_is_refused_in_a_line(lasting: Machine, tmp_path: Path) -> None:
    port = lasting.url.rpartition(":")[2]
    second = refused({"PORT": port, "STREAMLY_LOCAL_DIR": str(tmp_path / "other")})
    assert second == f"streamly: port {port} is taken; choose another: make run PORT=8001\n"


def test_a_port_that_is_none_is_refused_in_a_line(tmp_path: Path) -> None:
    second = refused({"PORT": "http", "STREAMLY_LOCAL_DIR": str(tmp_path / "other")})
    assert second == "streamly: PORT should be a number from 1 to 65535, not 'http'\n"


def test_a_setting_that_a_function_refuses_ends_it_with_that_line(lasting: Machine, tmp_path: Path) -> None:
    """Over the other's database, which is quicker than one of its own."""
    sourced = (lasting.data_dir / "functions.env").read_text()
    (database_url,) = re.findall(r"^DATABASE_URL=(.*)$", sourced, re.MULTILINE)
    settings = {"DATABASE_URL": database_url, "PORT": str(free_port()), "PASSWORD_MIN_LENGTH": "x"}
    second = refused({**settings, "STREAMLY_LOCAL_DIR": str(tmp_path / "other")})
    (last,) = second.splitlines()[1:]
    assert (
        last == "streamly: account cannot start: PASSWORD_MIN_LENGTH should be a whole number from 4 to 128"
    )


def test_the_settings_of_the_functions_can_be_sourced(lasting: Machine) -> None:
    path = lasting.data_dir / "functions.env"
    assert path.stat().st_mode & 0o777 == 0o600
    sourced = subprocess.run(
        ["sh", "-c", f"set -a; . '{path}'; env"], capture_output=True, text=True, check=True
    ).stdout
    assert f"MUX_API_BASE={lasting.url}/sandbox/mux\n" in sourced
    assert 'PLANS=[{"code": "basic"' in sourced


def test_the_env_file_is_read_like_a_shell_would(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# keys\nexport A=1\nB='two words' # note\nC=\"x=y\"\nD=\n\n")
    assert read_env_file(path) == {"A": "1", "B": "two words", "C": "x=y", "D": ""}
    assert read_env_file(tmp_path / "none") == {}
    for wrong in ("A=two words", "no equals", "A='open"):
        path.write_text(f"OK=1\n{wrong}\n")
        with pytest.raises(EnvFileError, match=r"\.env, line 2"):
            read_env_file(path)


def has_ended(pid: int) -> bool:
    return not is_running(pid)


def answers(url: str) -> bool:
    """Whether a GET succeeds."""
    try:
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def refused(environment: dict[str, str]) -> str:
    """What the command says on stderr when it will not start; it takes no longer than a few seconds."""
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "infra.local"],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=END_PATIENCE,
    )
    assert ended.returncode == 1
    assert time.monotonic() - began < 10
    return ended.stderr
