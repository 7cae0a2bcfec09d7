"""The README's walk, run as it stands: what a newcomer copies must work."""

import os
import re
import subprocess
from pathlib import Path

from infra.local.sample_film import make_sample_film
from infra.local.supervisor import Stack

README = Path(__file__).resolve().parents[2] / "README.md"
WALK = "A walk through the story"
SECONDS = 150


def commands(heading: str) -> str:
    """The bash blocks under a heading of the README, as one script."""
    _, found, rest = README.read_text().partition(f"\n## {heading}\n")
    assert found, f"the README has no heading {heading!r}"
    return "".join(re.findall(r"^```bash\n(.*?)^```$", rest.partition("\n## ")[0], re.MULTILINE | re.DOTALL))


def test_the_walk_works_line_by_line(stack: Stack) -> None:
    # The stack of the tests loads no film by itself.
    make_sample_film(stack.data_dir / "sample-film.mp4")
    script = commands(WALK)
    for written, meant in (("http://localhost:8000", stack.base_url), (".local/", f"{stack.data_dir}/")):
        assert written in script
        script = script.replace(written, meant)
    walked = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input=script,
        env={"PATH": os.environ["PATH"], "NO_PROXY": "localhost"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    said = walked.stdout
    assert walked.returncode == 0, said + walked.stderr
    assert re.search(r"^303 \S+/checkout/success\?session_id=cs_test_\w+$", said, re.MULTILINE), said
    # Once by confirm-checkout, once by account.
    assert said.count('"active":true,"plan":"basic"') == 2, said
    assert '"playback_url":"' in said
    assert re.search(r"^#EXTM3U$", said, re.MULTILINE), said
    # The upload was taken; the playlist without its token was not.
    assert re.findall(r"^\d{3}$", said, re.MULTILINE) == ["200", "403"]


def test_the_table_of_functions_names_those_that_there_are() -> None:
    rows = re.findall(r"^\| (`.+?) \|", README.read_text(), re.MULTILINE)
    called = {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)}
    folders = (README.parent / "functions").glob("*/main.py")
    assert called == {path.parent.name.replace("_", "-") for path in folders}


def test_the_commands_are_those_of_the_makefile() -> None:
    listed = re.findall(r"^(make [a-z-]+ {2,}.+)$", README.read_text(), re.MULTILINE)
    told = subprocess.run(
        ["make", "help"],
        cwd=README.parent,
        # Without the notes of a make around us, which would make this one say where it works.
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert listed == told.stdout.splitlines()
