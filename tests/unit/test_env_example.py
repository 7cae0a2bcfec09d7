""".env.example against docs/settings.md (which is itself held against lib/config.py) and the local stack."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from infra.env_file import read_env_file
from infra.local.settings import PASSED_ON, LocalSettings
from infra.service.app import ROOT

EXAMPLE = ROOT / ".env.example"
SETTING = re.compile(r"#([A-Z][A-Z0-9_]+)=(.*)")
ROW = re.compile(r"\| `([A-Z0-9_]+)` \| (.*?) \| (.*?) \|")
DOCUMENTED = {name: default for name, default, _ in ROW.findall((ROOT / "docs" / "settings.md").read_text())}
# Read by the supervisor, not by the functions; docs/settings.md has them in a list.
SUPERVISOR = {"PORT": "8000", "GATEWAY_HOST": "127.0.0.1", "STREAMLY_LOCAL_DIR": ".local"}
# Set by Cloud Run, never by hand.
BY_CLOUD_RUN = {"K_SERVICE"}


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings of the example with every # taken away, as `make run` reads them."""
    file: Path = tmp_path_factory.mktemp("example") / ".env"
    lines = EXAMPLE.read_text().splitlines()
    file.write_text("\n".join(line[1:] for line in lines if SETTING.fullmatch(line)))
    return read_env_file(file)


def test_a_copy_changes_nothing() -> None:
    assert read_env_file(EXAMPLE) == {}


def test_it_offers_every_setting_once_and_nothing_else(offered: dict[str, str]) -> None:
    names = [match[1] for line in EXAMPLE.read_text().splitlines() if (match := SETTING.fullmatch(line))]
    assert len(names) == len(set(names))
    assert set(names) == set(offered) == (set(DOCUMENTED) - BY_CLOUD_RUN) | {*SUPERVISOR, "ADMIN_PASSWORD"}


def test_every_setting_is_explained() -> None:
    lines = EXAMPLE.read_text().splitlines()
    for before, line in pairwise(lines):
        if SETTING.fullmatch(line):
            assert before.startswith("# "), f"{line}: no line above says what it is"
        else:
            assert line in {"", "#"} or line.startswith("# "), f"neither setting nor comment: {line}"


def test_a_default_is_shown_as_it_is(offered: dict[str, str]) -> None:
    defaults = {name: text.strip("`") for name, text in DOCUMENTED.items() if text.startswith("`")}
    shown = {name: offered[name] for name in offered if name in defaults or name in SUPERVISOR}
    assert shown == defaults | SUPERVISOR


def test_what_has_a_local_value_is_shown_with_it(offered: dict[str, str], tmp_path: Path) -> None:
    """Apart from made-up secrets, from what has a default beside it, and from the plans."""
    local = LocalSettings.load(tmp_path, 8000).function_environment(offered["DATABASE_URL"], {})
    addresses = {name: value for name, value in local.items() if value.startswith("http://localhost:8000")}
    named = {name for name in addresses if not DOCUMENTED[name].startswith("`")}
    assert {name: offered[name] for name in named} == {name: addresses[name] for name in named}


def test_everything_offered_reaches_the_functions_or_says_that_it_does_not(
    offered: dict[str, str], tmp_path: Path
) -> None:
    settings = LocalSettings.load(tmp_path, 8000)
    reached = settings.function_environment(offered["DATABASE_URL"], dict.fromkeys(offered, "given"))
    missing = set(offered) - {name for name, value in reached.items() if value == "given"} - {"DATABASE_URL"}
    of_the_cloud = {"INSTANCE_CONNECTION_NAME", "DB_NAME", "DB_USER", "DB_PASSWORD", "DB_IP_TYPE"}
    assert missing == of_the_cloud | {"GOOGLE_CLOUD_PROJECT", "ADMIN_PASSWORD", *SUPERVISOR}
    assert set(PASSED_ON) & set(DOCUMENTED) <= set(offered)
