"""The embedded PostgreSQL: kept, recovered, alone on its folder."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import InterfaceError, ProgrammingError
from sqlalchemy.pool import NullPool

from infra.local.postgres import EmbeddedPostgres
from infra.local.processes import AlreadyRunningError
from infra.local.supervisor import REPOSITORY
from tests.integration.local.serving import eventually, is_running

HOLD = """
import sys, time
from pathlib import Path
from infra.local.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), durable=False)
server.start()
print(server.process.pid, flush=True)
time.sleep(60)
"""


def run(url: str, sql: str) -> list[object]:
    """Execute one statement on a connection of its own; the first column."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        result = connection.execute(text(sql))
        return list(result.scalars()) if result.returns_rows else []


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(tmp_path, durable=False)
    yield postgres
    postgres.stop()


def test_a_fresh_folder_gives_an_empty_database_in_utf_8(server: EmbeddedPostgres) -> None:
    url = server.start()
    assert run(url, "SELECT current_database()") == ["streamly"]
    assert run(url, "SHOW server_encoding") == ["UTF8"]
    assert run(url, "SHOW max_connections") == ["200"]
    assert run(url, "SHOW listen_addresses") == ["127.0.0.1"]


def test_durability_is_on_unless_declined(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as url:
        assert run(url, "SHOW fsync") == ["on"]


def test_data_outlive_a_stop(server: EmbeddedPostgres, tmp_path: Path) -> None:
    run(server.start(), "CREATE TABLE kept AS SELECT 7 AS number")
    server.stop()
    with EmbeddedPostgres(tmp_path, durable=False) as url:
        assert run(url, "SELECT number FROM kept") == [7]


def test_what_was_committed_outlives_a_kill(server: EmbeddedPostgres) -> None:
    url = server.start()
    run(url, "CREATE TABLE kept AS SELECT 7 AS number")
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    with pytest.raises(InterfaceError):
        run(url, "SELECT 1")
    server.stop()
    assert server.start() == url
    assert run(url, "SELECT number FROM kept") == [7]


def test_a_second_server_on_the_folder_is_refused(server: EmbeddedPostgres, tmp_path: Path) -> None:
    url = server.start()
    with pytest.raises(AlreadyRunningError, match=f"in use by another Streamly .process {os.getpid()}"):
        EmbeddedPostgres(tmp_path).start()
    assert run(url, "SELECT 1") == [1]


def home(data_dir: Path) -> Path:
    """Where PostgreSQL's own files are: as root without user namespaces they are elsewhere."""
    elsewhere = data_dir / "postgres-home"
    return elsewhere if elsewhere.is_symlink() else data_dir


def test_the_password_is_asked_for(server: EmbeddedPostgres, tmp_path: Path) -> None:
    url = server.start()
    name, _, rest = url.rpartition("@")
    with pytest.raises(ProgrammingError, match="password authentication failed"):
        run(f"{name}x@{rest}", "SELECT 1")
    assert (home(tmp_path) / "postgres.password").stat().st_mode & 0o777 == 0o600


def test_a_folder_only_its_owner_may_enter_will_do(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(0o700)
    with EmbeddedPostgres(closed / "data", durable=False) as url:
        assert run(url, "SELECT 1") == [1]


def test_an_interrupted_first_start_is_begun_anew(server: EmbeddedPostgres, tmp_path: Path) -> None:
    (tmp_path / "postgres.unfinished").mkdir()
    (tmp_path / "postgres.unfinished" / "PG_VERSION").write_text("18\n")
    assert run(server.start(), "SELECT 1") == [1]


def test_a_stale_pid_now_of_another_process_does_no_harm(server: EmbeddedPostgres, tmp_path: Path) -> None:
    server.start()
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    server.stop()
    pid_file = home(tmp_path).resolve() / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert run(server.start(), "SELECT 1") == [1]


def test_a_killed_owner_leaves_a_folder_that_starts_again(server: EmbeddedPostgres, tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    orphan = int(owner.stdout.readline())
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    assert run(server.start(), "SELECT 1") == [1]
    eventually(lambda: not is_running(orphan), "the orphan has ended")
