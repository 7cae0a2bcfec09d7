"""docs/settings.md against lib/config.py: names, defaults, what is needed, what is taken."""

import ast
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.local.settings import LocalSettings
from lib import config
from lib.config import Environment
from lib.errors import ConfigError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
ROW = re.compile(r"\| `([A-Z0-9_]+)` \| (.*?) \| (.*?) \|")
# name -> (default, what it takes), both as the page writes them
ROWS = {name: (default, takes.strip()) for name, default, takes in ROW.findall(PAGE.read_text())}
DEFAULTS = {name: default.strip("`") for name, (default, _) in ROWS.items() if default.startswith("`")}
RANGES = {
    name: match.groups()
    for name, (_, takes) in ROWS.items()
    if (match := re.fullmatch(r"(\d+) to (\d+)", takes))
}
GROUPS = [
    name for name, method in inspect.getmembers(Environment, inspect.isfunction) if not name.startswith("_")
]


@pytest.fixture(scope="module")
def installations(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """Complete settings: those of `make run`, the same with Cloud SQL, and the cloud's."""
    settings = LocalSettings.load(tmp_path_factory.mktemp("settings"), 8000)
    local = settings.function_environment("postgresql+pg8000://u:p@127.0.0.1:5432/streamly", {})
    instance = {"INSTANCE_CONNECTION_NAME": "p:r:i", "DB_NAME": "streamly", "DB_USER": "functions"}
    cloud_sql = {name: value for name, value in local.items() if name != "DATABASE_URL"} | instance
    cloud = {name: value for name, value in cloud_sql.items() if not name.endswith("_BASE")}
    for name in ("DISPATCHER_URL", "OIDC_ISSUER", "OIDC_CERTS_URL"):
        del cloud[name]
    cloud |= {"K_SERVICE": "login", "TASKS_QUEUE": "projects/p/locations/r/queues/q"}
    cloud |= {"SMTP_URL": "smtps://user:password@smtp.example.com"}
    return [local, cloud_sql, cloud]


def read(values: Mapping[str, str]) -> dict[str, Any]:
    """Every group of settings."""
    environment = Environment(values)
    return {group: getattr(environment, group)() for group in GROUPS}


def complaint(values: Mapping[str, str]) -> str:
    """What is wrong with the settings, or nothing."""
    try:
        read(values)
    except ConfigError as error:
        return str(error)
    return ""


def without(values: Mapping[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in values.items() if key != name}


def test_the_page_names_what_is_read_and_nothing_else() -> None:
    source = ast.parse(inspect.getsource(config))
    constants = [node.value for node in ast.walk(source) if isinstance(node, ast.Constant)]
    names = {
        text for text in constants if isinstance(text, str) and re.fullmatch(r"[A-Z][A-Z0-9_]{3,}", text)
    }
    assert names == set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_needed_is_what_nothing_starts_without(name: str, installations: list[dict[str, str]]) -> None:
    complaints = [complaint(without(values, name)) for values in installations if name in values]
    named = any(name in text for text in complaints)
    assert named == (ROWS[name][0] == "needed"), complaints


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_default_is_what_counts_without_it(name: str, installations: list[dict[str, str]]) -> None:
    local, cloud_sql, _ = installations
    values = without(cloud_sql if name.startswith("DB_") else local, name)
    assert read(values) == read(values | {name: DEFAULTS[name]})


@pytest.mark.parametrize("name", RANGES)
def test_a_range_is_taken_to_its_ends_and_no_further(name: str, installations: list[dict[str, str]]) -> None:
    least, most = RANGES[name]
    said = f"{name} should be a whole number from {least} to {most}"
    local = installations[0]
    assert [complaint(local | {name: end}) for end in (least, most)] == ["", ""]
    assert complaint(local | {name: str(int(most) + 1)}) == said
    assert complaint(local | {name: "x"}) == said


def test_the_cloud_refuses_what_belongs_to_the_sandbox(installations: list[dict[str, str]]) -> None:
    local, _, cloud = installations
    assert complaint(cloud) == ""
    refused = {
        name
        for name in ROWS
        if name in local and name not in cloud and name in complaint(cloud | {name: local[name]})
    }
    marked = {name for name in ROWS if re.search(rf"`{name}` .*Refused in the cloud", PAGE.read_text())}
    # It is refused beside an instance.
    assert refused - {"DATABASE_URL"} == marked - {"TASKS_ENDPOINT"}
    assert "TASKS_ENDPOINT" in complaint(cloud | {"TASKS_ENDPOINT": "localhost:8123"})
