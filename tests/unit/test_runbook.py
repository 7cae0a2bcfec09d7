"""The runbook: every alert leads to a page that is there, every command in the docs is one that there is."""

import re
import shlex
from pathlib import Path

import click
import pytest

from infra.cli.program import program

REPOSITORY = Path(__file__).resolve().parents[2]
RUNBOOK = REPOSITORY / "docs" / "runbook"
PAGES = sorted([*RUNBOOK.glob("*.md"), REPOSITORY / "docs" / "operations.md"])
TERRAFORM = "".join(path.read_text() for path in sorted((REPOSITORY / "infra" / "gcp").glob("*.tf")))
COMMAND = re.compile(r"python -m infra\.cli ([^`|>\n]+)")
WANTED = {
    "renewal-day",
    "stripe-down",
    "mux-down",
    "mail-down",
    "database-failover",
    "key-leak",
    "poison-event",
    "restore-from-backup",
    "region-loss",
    "cost-spike",
}


def test_every_page_is_there_and_listed() -> None:
    listed = set(
        re.findall(r"^\| \[([a-z-]+)\]\(\1\.md\)", (RUNBOOK / "README.md").read_text(), re.MULTILINE)
    )
    assert {path.stem for path in RUNBOOK.glob("*.md")} == listed | {"README"}
    assert listed == WANTED


def test_every_alert_leads_to_a_page() -> None:
    named = set(re.findall(r'\brunbook\s*=\s*"([a-z-]+)"', TERRAFORM))
    linked = set(re.findall(r"\$\{var\.runbook_url\}/([a-z-]+)\.md", TERRAFORM))
    assert named
    assert linked
    assert named | linked <= WANTED


def test_the_list_names_the_alerts_that_lead_to_each_page() -> None:
    alerts = re.findall(
        r'^    ([a-z-]+) = \{\n      title .*\n      severity = "\w+", runbook = "([a-z-]+)"',
        TERRAFORM,
        re.MULTILINE,
    )
    assert len(alerts) >= 10
    lines = (RUNBOOK / "README.md").read_text().splitlines()
    for alert, page in alerts:
        line = next(line for line in lines if line.startswith(f"| [{page}]"))
        assert f"`{alert}`" in line, (alert, page)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_command_is_one_that_there_is(page: Path) -> None:
    for words in COMMAND.findall(page.read_text()):
        # What follows `<` is the shell's; brackets and commas are the sentence's.
        arguments = shlex.split(words.partition(" <")[0])
        group: click.Command = program
        context = click.Context(program)
        while isinstance(group, click.Group):
            found = group.get_command(context, arguments.pop(0))
            assert found is not None, words
            group = found
        # Parses, and runs nothing.
        with group.make_context(None, arguments, parent=context):
            pass


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text()):
        path = (page.parent / target) if target else page
        path = path / "README.md" if path.is_dir() else path
        assert path.exists(), target
        headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
        slugs = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in slugs, (target, anchor)
