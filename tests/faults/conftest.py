"""How much of it: some in every run of the tests, all of it by `make faults`."""

import dataclasses
import os
import random
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import delete

from infra.local.supervisor import Stack
from lib.database.engine import Database
from lib.database.schema import attempts
from tests.faults.hostile import Callers, functions_url

# Whether there is time for all of it.
THOROUGH = os.environ.get("FAULTS") == "all"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """schemathesis gives its tests one id, and of tests with one id xdist runs one."""
    for item in items:
        operation = getattr(item, "operation_label", None)
        if operation is not None:
            item._id = dataclasses.replace(item.id, params=operation)
    ids = Counter(item.nodeid for item in items)
    assert ids.total() == len(ids), f"one id for several tests: {ids.most_common(1)}"


@pytest.fixture(scope="session")
def thorough() -> bool:
    return THOROUGH


@pytest.fixture
def dice() -> random.Random:
    """Chance, to be had again: FAULTS_SEED names the seed that a failing run has printed."""
    seed = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"FAULTS_SEED={seed}")
    return random.Random(seed)  # noqa: S311 - chance, no secret


@pytest.fixture(scope="module", autouse=True)
def forgiven(request: pytest.FixtureRequest) -> Iterator[None]:
    """What hostile files did wrong is not held against those that follow: all of them have one address."""
    if not request.path.name.startswith("test_hostile_"):
        yield
        return
    database: Database = request.getfixturevalue("database")
    for moment in ("before", "after"):
        with database.transaction() as tx:
            tx.execute(delete(attempts))
        if moment == "before":
            yield


@pytest.fixture(scope="module")
def callers(stack: Stack, environment: dict[str, str], database: Database) -> Callers:
    return Callers(stack, environment, database)


@pytest.fixture(scope="module")
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=functions_url(stack), timeout=30) as client:
        yield client
