"""The Postman collection: its story run by Postman's own runner, its examples held against openapi.json."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local.postman import FILE, STORY_FOLDER
from infra.local.postman_story import STORY
from infra.local.supervisor import Stack
from tests import film
from tests.api import Api, check, described
from tests.factories import Factory
from tests.javascript import JavaScript


def folders() -> dict[str, list[dict[str, Any]]]:
    return {folder["name"]: folder["item"] for folder in json.loads(FILE.read_text())["item"]}


def requests() -> list[dict[str, Any]]:
    """All requests but the story's."""
    return [item for name, items in folders().items() if name != STORY_FOLDER for item in items]


def test_newman_plays_the_story(
    stack: Stack, make: Factory, api: Api, javascript: JavaScript, tmp_path: Path
) -> None:
    film.load(make, api, tmp_path, "For Postman")
    report = tmp_path / "report.json"
    javascript.newman(
        *("run", str(FILE), "--folder", STORY_FOLDER, "--env-var", f"base_url={stack.base_url}"),
        *("--bail", "--timeout-request", "15000", "--reporters", "cli,json", "--color", "off"),
        *("--reporter-json-export", str(report)),
    )
    run = json.loads(report.read_text())["run"]
    assert [done["response"]["code"] for done in run["executions"]] == [step.status for step in STORY]
    assert run["failures"] == []
    # A script that did not run would assert nothing.
    assert run["stats"]["assertions"]["total"] == sum(step.tests.count("pm.test(") for step in STORY)


def test_every_operation_is_a_request() -> None:
    asked = {
        (item["request"]["method"].lower(), "/" + item["request"]["url"]["path"][0]) for item in requests()
    }
    assert asked == {(method, path) for path, methods in described()["paths"].items() for method in methods}


@pytest.mark.parametrize("item", requests(), ids=lambda item: item["request"]["url"]["path"][0])
def test_examples_are_of_the_described_form(item: dict[str, Any]) -> None:
    function = item["request"]["url"]["path"][0]
    assert item["response"]
    for answer in item["response"]:
        headers = {header["key"]: header["value"] for header in answer["header"]}
        response = httpx.Response(answer["code"], headers=headers, text=answer.get("body", ""))
        check(item["request"]["method"], function, response)
