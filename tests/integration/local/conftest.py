"""Fixtures of the tests of the local machine."""

from collections.abc import Callable, Iterator

import pytest

from tests.integration.local.serving import Servers


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """`serve(app, port=0) -> port`, until the test ends."""
    servers = Servers()
    yield servers.serve
    servers.stop()
