"""The API's description is true, whole and its pages' assets are what they are said to be."""

import hashlib
import json
import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from infra.local import openapi
from infra.service.app import ROOT, function_names
from lib.errors import Refusal
from lib.web.operation import Operation, Who

FOLDER = ROOT / "functions" / "api_docs"
COMMITTED = json.loads((FOLDER / "openapi.json").read_text())


def test_the_committed_one_is_current() -> None:
    assert openapi.document() == COMMITTED, "run `make openapi`"


def test_it_is_valid() -> None:
    errors = [error.message for error in OpenAPIV31SpecValidator(COMMITTED).iter_errors()]
    assert errors == []


def test_every_function_is_described() -> None:
    assert sorted(COMMITTED["paths"]) == [f"/{name}" for name in function_names() if name != "api-docs"]


@pytest.mark.parametrize(
    "operation", openapi.OPERATIONS, ids=lambda found: f"{found.method} {found.function}"
)
def test_an_operation_says_what_it_needs_and_refuses(operation: Operation) -> None:
    described = COMMITTED["paths"][f"/{operation.function}"][operation.method.lower()]
    assert described["summary"]
    assert {str(status) for status in operation.answers} <= set(described["responses"])
    assert ("security" in described) == (operation.who is not Who.ANYONE)
    assert ("requestBody" in described) == bool(operation.body or operation.raw)
    for refusal in openapi.refusals(operation):
        assert issubclass(refusal, Refusal)
        answer = described["responses"][str(refusal.status)]
        assert f"`{refusal.code}`" in answer["description"]
        assert set(answer["content"]) == {"application/problem+json"}


def test_bodies_allow_no_unknown_field() -> None:
    names = [operation.body.__name__ for operation in openapi.OPERATIONS if operation.body is not None]
    schemas = COMMITTED["components"]["schemas"]
    assert names
    assert [name for name in names if schemas[name].get("additionalProperties") is not False] == []


def test_assets_are_the_ones_in_the_list() -> None:
    listed = re.findall(
        r"^\| (\S+) \| (\S+@\S+) \| ([0-9a-f]{64}) \|$",
        (FOLDER / "assets" / "README.md").read_text(),
        re.MULTILINE,
    )
    found = {path.name for path in (FOLDER / "assets").iterdir() if path.suffix in (".js", ".css")}
    assert {name for name, _, _ in listed} == found
    for name, _, digest in listed:
        assert hashlib.sha256((FOLDER / "assets" / name).read_bytes()).hexdigest() == digest, name
