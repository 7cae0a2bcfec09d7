"""Fixtures of the tests of the local machine."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from serving import served


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """`serve(app, port=0) -> port`, until the test ends."""
    with ExitStack() as running:
        yield lambda app, port=0: running.enter_context(served(app, port))
