"""A client of the API that checks every answer against openapi.json as it goes."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

OPENAPI = Path(__file__).resolve().parents[1] / "functions" / "api_docs" / "openapi.json"
COMMON = {400, 401, 403, 404, 405, 413, 415, 422, 429, 503}


@cache
def described() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(OPENAPI.read_text())
    return document


@cache
def _validator(pointer: str) -> Draft202012Validator:
    resource = Resource.from_contents(described(), default_specification=DRAFT202012)
    return Draft202012Validator(
        {"$ref": f"urn:openapi#{pointer}"}, registry=Registry().with_resource("urn:openapi", resource)
    )


class Api:
    """Talks to functions at `base_url`, with an access token once there is one."""

    def __init__(self, base_url: str, token: str | None = None) -> None:
        self.http = httpx.Client(base_url=base_url, timeout=30)
        self.token = token

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def get(self, function: str, **query: Any) -> httpx.Response:
        return self.call("GET", function, params=query)

    def post(self, function: str, body: Any = None, **options: Any) -> httpx.Response:
        return self.call("POST", function, json={} if body is None else body, **options)

    def call(self, method: str, function: str, **options: Any) -> httpx.Response:
        """One request. Its answer must be one that openapi.json describes."""
        headers = dict(options.pop("headers", {}))
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        response = self.http.request(method, f"/{function}", headers=headers, **options)
        check(method, function, response)
        return response


def check(method: str, function: str, response: httpx.Response) -> None:
    """Fails unless the answer is of a described form."""
    operation = described()["paths"].get(f"/{function}", {}).get(method.lower())
    if operation is None:
        assert response.status_code in (404, 405), response.text
    status = str(response.status_code)
    if response.status_code >= 400:
        assert response.headers["content-type"] == "application/problem+json", response.text
        body = response.json()
        assert {"type", "title", "status", "detail", "code", "request_id"} <= set(body)
        assert body["status"] == response.status_code
        if operation is not None:
            assert f"`{body['code']}`" in operation["responses"][status]["description"], body
        return
    assert operation is not None
    content = operation["responses"][status].get("content")
    if content:
        pointer = "/".join(
            part.replace("~", "~0").replace("/", "~1")
            for part in (
                "", "paths", f"/{function}", method.lower(), "responses", status, "content",
                "application/json", "schema",
            )
        )  # fmt: skip
        _validator(pointer).validate(response.json())
    else:
        assert response.content == b""


def refused(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document, after checking that it is this refusal."""
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    problem: dict[str, Any] = response.json()
    return problem
