"""What unit tests share: a complete set of settings, and nothing running behind it."""

import pytest

from infra.local.settings import LocalSettings


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Valid settings of every function; the database they name is not there."""
    local = LocalSettings.load(tmp_path_factory.mktemp("settings"), 8000)
    return local.function_environment("postgresql+pg8000://nobody:none@127.0.0.1:1/none", {})
