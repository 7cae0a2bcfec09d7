"""What is under .github: labels are those the guide names, the workflow runs what a developer runs, links lead somewhere."""

import re
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

REPOSITORY = Path(__file__).resolve().parents[2]
GITHUB = REPOSITORY / ".github"
TEMPLATES = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.md"))
PAGES = [REPOSITORY / "CONTRIBUTING.md", *sorted(GITHUB.glob("*.md"))]


def labels() -> set[str]:
    """Those of the guide's table."""
    chapter = (REPOSITORY / "CONTRIBUTING.md").read_text().partition("\n## Issues and pull requests\n")[2]
    return set(re.findall(r"^\| `([^`]+)` \|", chapter.partition("\n## ")[0], re.MULTILINE))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_uses_a_label_of_the_guide(template: Path) -> None:
    facts = yaml.safe_load(template.read_text().split("---\n")[1])
    assert {"name", "about", "labels"} <= set(facts)
    assert facts["labels"] in labels()


def test_the_pull_request_template_uses_labels_of_the_guide() -> None:
    asked = re.findall(r"`([^`]+)`", (GITHUB / "PULL_REQUEST_TEMPLATE.md").read_text())
    assert {"bug", "enhancement", "documentation", "breaking"} <= set(asked) & labels()


def test_the_workflow_runs_the_same_commands() -> None:
    workflow = yaml.safe_load((GITHUB / "workflows" / "ci.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert {step["run"] for step in steps if "run" in step} == {
        "make check",
        "make test",
        "make test-browser",
        "make infra",
    }
    assert all(job["timeout-minutes"] <= 30 for job in workflow["jobs"].values())
    assert workflow["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for address in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert address.startswith("https://") or (page.parent / address).exists(), address
