"""A streaming standby of a running PostgreSQL, to be promoted when that one is gone."""

import shutil
import subprocess
import time
from pathlib import Path

from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from infra.local.postgres import _ServerHome
from infra.local.processes import free_port


class Standby:
    """Follows `url` from a copy of its own. What the primary answers with a yes is here first: its commits wait for it.

    That is what Cloud SQL promises of its other zone: a failover loses nothing that was committed.
    """

    def __init__(self, folder: Path, url: str) -> None:
        primary = make_url(url)
        folder.mkdir()
        self.port = free_port()
        self.url = primary.set(port=self.port).render_as_string(hide_password=False)
        self._log = (folder / "standby.log").open("ab")
        home = _ServerHome.choose(folder)
        source = (
            f"host={primary.host} port={primary.port} user={primary.username} password={primary.password}"
        )
        copy = home.popen(
            [
                "pg_basebackup",
                "-D",
                str(home.data),
                "-d",
                source,
                "-R",
                "-X",
                "stream",
                "-c",
                "fast",
                "--no-sync",
            ],
            stdout=self._log,
            stderr=self._log,
        )
        assert copy.wait(60) == 0, (folder / "standby.log").read_text()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "fsync": "off",
        }
        command = ["postgres", "-D", str(home.data)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self.process: subprocess.Popen[bytes] = home.popen(
            command, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL
        )
        self._folder = folder
        _wait_until(self.url, "SELECT pg_is_in_recovery()")
        ask(url, "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        _wait_until(url, "SELECT bool_or(sync_state = 'sync') FROM pg_stat_replication")
        # Who looked at the setting before it was there is answered without the standby.
        time.sleep(0.5)

    def promote(self) -> None:
        """From now on it is a primary, which waits for nobody."""
        ask(
            self.url,
            "SELECT pg_promote(true)",
            "ALTER SYSTEM SET synchronous_standby_names = ''",
            "SELECT pg_reload_conf()",
        )

    def stop(self) -> None:
        self.process.terminate()
        self.process.kill()
        self.process.wait(10)
        self._log.close()
        shutil.rmtree(self._folder)


def _wait_until(url: str, query: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if ask(url, query):
                return
        except (SQLAlchemyError, OSError):
            assert time.monotonic() < deadline, f"in vain: {query}"
        time.sleep(0.1)


def ask(url: str, *statements: str) -> object:
    """What the last one says; each by itself."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    said: object = None
    with engine.connect() as connection:
        for statement in statements:
            result = connection.execute(text(statement))
            said = result.scalar() if result.returns_rows else None
    return said
