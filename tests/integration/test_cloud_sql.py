"""Google's own connector, through a stand-in of its proxy, to a real PostgreSQL."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.auth.credentials import Credentials, Scoped
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from infra.local.supervisor import Stack
from lib.config import DatabaseSettings, Environment
from lib.database.cloud_sql import CloudSqlConnections, load_connector
from lib.database.connections import Limits
from lib.database.engine import Database
from lib.database.round_trips import round_trips
from lib.errors import UnavailableError
from tests.factories import wait_for
from tests.fakes.cloud_sql_server import INSTANCE, CloudSqlServer

ROBOT = "functions@a-project.iam"
TOKEN = "a-token-of-the-robot"
LIMITS = {"statement_timeout": "15000"}
Open = Callable[..., Database]


class Robot(Credentials, Scoped):
    """A service account whose token never changes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.refresh(None)

    @property
    def requires_scopes(self) -> bool:
        return True

    def with_scopes(self, scopes: object, default_scopes: object = None) -> "Robot":
        return Robot()

    def refresh(self, request: object) -> None:
        self.token = TOKEN
        self.expiry = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None)


@pytest.fixture
def server(stack: Stack, tmp_path: Path) -> Iterator[CloudSqlServer]:
    url = urlsplit(stack.database_url)
    with CloudSqlServer((str(url.hostname), int(url.port or 0)), token=TOKEN, folder=tmp_path) as running:
        yield running


@pytest.fixture
def settings(stack: Stack) -> DatabaseSettings:
    url = urlsplit(stack.database_url)
    values = {"INSTANCE_CONNECTION_NAME": INSTANCE, "DB_NAME": url.path[1:], "DB_USER": str(url.username)}
    return Environment(values | {"DB_PASSWORD": str(url.password), "DB_POOL_SIZE": "1"}).database()


@pytest.fixture
def open_database(server: CloudSqlServer) -> Iterator[Open]:
    """Opens databases whose connectors look at the stand-in; everything is closed at the end."""
    databases: list[Database] = []
    connectors: list[Any] = []

    def build() -> Any:
        connector = load_connector()(
            credentials=Robot(), sqladmin_api_endpoint=server.api_url, refresh_strategy="lazy"
        )
        connectors.append(connector)
        return connector

    def opened(settings: DatabaseSettings, seconds: float = 8, answer: float = 20) -> Database:
        connections = CloudSqlConnections(settings, LIMITS, build, seconds)
        databases.append(Database(settings, connections.connect, Limits(answer=answer)))
        return databases[-1]

    yield opened
    server.silence(silent=False)
    for database in databases:
        database.dispose()
    server.hang_up()
    wait_for(lambda: not attempts())
    socket.setdefaulttimeout(None)
    for connector in connectors:
        connector.close()
        connector._loop.close()  # which the connector itself forgets


def attempts() -> list[threading.Thread]:
    """Connections in the making, those given up included."""
    return [thread for thread in threading.enumerate() if thread.name == "cloud-sql-connect"]


def whoever(database: Database) -> Any:
    found = database.read("SELECT current_user AS name, current_setting('statement_timeout') AS bound")
    assert found is not None
    return found


def test_by_password(server: CloudSqlServer, settings: DatabaseSettings, open_database: Open) -> None:
    database = open_database(settings)
    assert whoever(database) == {"name": settings.user, "bound": "15s"}
    assert server.login_tokens == [None]


def trust(database: Database, user: str) -> None:
    """In Cloud SQL the certificate that carries the login token logs in; here, whoever has the name."""
    before = database.read("SELECT pg_conf_load_time() AS at, current_setting('hba_file') AS file")
    assert before is not None
    file = Path(before["file"])
    file.write_text(f'host all "{user}" 127.0.0.1/32 trust\n{file.read_text()}')
    with database.transaction() as tx:
        tx.execute(text(f'CREATE ROLE "{user}" LOGIN'))
        tx.execute(text("SELECT pg_reload_conf()"))
    wait_for(
        lambda: (
            database.read("SELECT pg_conf_load_time() > :at AS is_new", at=before["at"]) == {"is_new": True}
        )
    )


def test_by_iam(
    server: CloudSqlServer, settings: DatabaseSettings, open_database: Open, database: Database
) -> None:
    trust(database, ROBOT)
    robot = open_database(replace(settings, user=ROBOT, password=None))
    assert whoever(robot)["name"] == ROBOT
    assert server.login_tokens == [TOKEN]


def test_a_warm_read_is_one_round_trip(settings: DatabaseSettings, open_database: Open) -> None:
    database = open_database(settings)
    whoever(database)
    before = round_trips.get()
    whoever(database)
    assert round_trips.get() - before == 1


def test_transactions(settings: DatabaseSettings, open_database: Open) -> None:
    database = open_database(settings)
    with database.transaction() as tx:
        tx.execute(text("CREATE TEMP TABLE kept (n int)"))
    with pytest.raises(DBAPIError), database.transaction() as tx:
        tx.execute(text("INSERT INTO kept VALUES (1), (1 / 0)"))
    with database.transaction() as tx:
        tx.execute(text("INSERT INTO kept VALUES (2)"))
    assert database.read("SELECT sum(n) AS sum FROM kept") == {"sum": 2}


def test_a_silent_proxy_is_given_up_and_a_healthy_one_used_again(
    server: CloudSqlServer, settings: DatabaseSettings, open_database: Open
) -> None:
    database = open_database(settings, seconds=1.5)
    server.silence(silent=True)
    started = time.monotonic()
    with pytest.raises(UnavailableError), database.transaction():
        pass
    assert time.monotonic() - started < 3
    server.silence(silent=False)
    assert whoever(database)["name"] == settings.user


def test_what_was_given_up_ends_by_itself(
    server: CloudSqlServer, settings: DatabaseSettings, open_database: Open
) -> None:
    """The proxy never says a word, and nobody hangs up."""
    database = open_database(settings, seconds=1.5)
    server.silence(silent=True)
    with pytest.raises(UnavailableError):
        whoever(database)
    wait_for(lambda: not attempts())


def test_silence_in_the_middle_is_bounded_too(
    server: CloudSqlServer, settings: DatabaseSettings, open_database: Open
) -> None:
    database = open_database(settings, answer=0.5)
    whoever(database)
    server.freeze(frozen=True)
    started = time.monotonic()
    with pytest.raises(UnavailableError), database.transaction() as tx:
        tx.execute(text("SELECT 1"))
    assert time.monotonic() - started < 3
    server.freeze(frozen=False)
    assert whoever(database)["name"] == settings.user


def test_googles_api_refusing(
    server: CloudSqlServer, settings: DatabaseSettings, open_database: Open
) -> None:
    database = open_database(settings)
    server.api_refusing = True
    with pytest.raises(UnavailableError):
        whoever(database)
    server.api_refusing = False
    assert whoever(database)["name"] == settings.user


LAZILY = """
import sys
from lib.config import Environment
from lib.database.engine import Database
from lib.errors import UnavailableError

database = Database(Environment({env!r}).database())
assert not [name for name in sys.modules if name.startswith(("google.cloud.", "google.auth"))], "loaded before it is needed"
try:
    database.read("SELECT 1")
except UnavailableError:
    assert "google.cloud.sql.connector" in sys.modules
else:
    raise AssertionError("there is no such instance")
"""


def test_the_connector_is_loaded_with_the_first_connection() -> None:
    values = {"INSTANCE_CONNECTION_NAME": INSTANCE, "DB_NAME": "streamly", "DB_USER": ROBOT}
    ended = subprocess.run(
        [sys.executable, "-c", LAZILY.replace("{env!r}", repr(values))],
        # No credentials, and none to be looked for on the network.
        env={"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere.json"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
