"""How much of it: some in every run of the tests, all of it by `make faults`."""

import os
import random

import pytest

# Whether there is time for all of it.
THOROUGH = os.environ.get("FAULTS") == "all"


@pytest.fixture(scope="session")
def thorough() -> bool:
    return THOROUGH


@pytest.fixture
def dice() -> random.Random:
    """Chance, to be had again: FAULTS_SEED names the seed that a failing run has printed."""
    seed = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"FAULTS_SEED={seed}")
    return random.Random(seed)  # noqa: S311 - chance, no secret
