"""One real stack for the whole run: PostgreSQL, sandbox, functions, gateway, each a process.

Tests share it and never clean up: each makes people and films of its own (tests/factories.py).
"""

import logging
import re
import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import NullPool, create_engine, make_url

from infra.local.postgres import EmbeddedPostgres
from infra.local.processes import free_port
from infra.local.supervisor import Stack, StartError
from lib.config import Environment
from lib.database.engine import Database
from lib.database.migrate import upgrade
from tests.api import Api
from tests.factories import Factory
from tests.javascript import JavaScript

# Not standard output: a test may be looking at its own.
CONSOLE = logging.getLogger("stack")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """What `make run` starts, on a free port, its data in a temporary folder."""
    running = started(tmp_path_factory)
    yield running
    running.stop()


def started(folders: pytest.TempPathFactory, tries: int = 3) -> Stack:
    """A stack that runs. Until it listens, a port that was free may be had by another worker's: then once more."""
    while True:
        data_dir = folders.mktemp("stack")
        running = Stack(data_dir, free_port(), durable=False, film=False, say=CONSOLE.info)
        try:
            running.start()
        except StartError as error:
            tries -= 1
            if tries == 0 or not re.search(
                "is taken|already in use|connection in use", str(error), re.IGNORECASE
            ):
                raise
            CONSOLE.info("%s", error)
        else:
            return running


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a migrated database to which nobody connects, so that it can be copied."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("apart"), durable=False) as url:
        upgrade(url)
        yield url


def copied(template: str) -> str:
    """The address of a new copy of the template."""
    url = make_url(template)
    name = f"apart_{uuid.uuid4().hex}"
    engine = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {url.database}")
    return url.set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def apart(template: str) -> str:
    """The address of a database of the test's own, that no running function looks at.

    For services with fakes: what a test leaves lying about is found by no reconcile but its own.
    """
    return copied(template)


@pytest.fixture
def database_apart(apart: str) -> Iterator[Database]:
    opened = Database(Environment({"DATABASE_URL": apart}).database())
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def environment(stack: Stack) -> dict[str, str]:
    """The settings the stack's functions run with."""
    return stack.settings.function_environment(stack.database_url, {})


@pytest.fixture(scope="session")
def database(stack: Stack) -> Iterator[Database]:
    """The stack's database, for looking behind the answers."""
    opened = Database(Environment({"DATABASE_URL": stack.database_url}).database())
    yield opened
    opened.dispose()


@pytest.fixture
def api(stack: Stack) -> Iterator[Api]:
    """A client of the stack, as a stranger."""
    with Api(stack.base_url) as client:
        yield client


@pytest.fixture
def make(stack: Stack, database: Database) -> Iterator[Factory]:
    """Makes people, subscriptions and films."""
    with Factory(stack, database) as factory:
        yield factory


@pytest.fixture(scope="session")
def javascript() -> JavaScript:
    """The official JavaScript SDKs, as strangers' eyes on what ours signs and reads."""
    return JavaScript()
