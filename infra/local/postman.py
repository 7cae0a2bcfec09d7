"""Writes docs/streamly.postman_collection.json: `python -m infra.local.postman [--check]`.

From openapi.json: each operation as a request with one example for each answer, in folders by tag; before them
the story, with tests (infra/local/postman_story.py). The format is Postman's collection v2.1.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from infra.local.openapi import document
from infra.local.postman_story import STORY, Step

FILE = Path(__file__).resolve().parents[2] / "docs" / "streamly.postman_collection.json"
STORY_FOLDER = "The story"
_FORMAT = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_VARIABLES = {
    "base_url": "http://localhost:8000",
    "password": "a long walk by the sea",
    # The rest is filled in by the story.
    "email": "viewer@example.com",
    "access_token": "",
    "refresh_token": "",
    "plan": "basic",
    "level": "1",
    "checkout_url": "",
    "checkout_session_id": "",
    "video_id": "",
    "playback_url": "",
    "playback_session_id": "",
}
# What a request of the folders takes from the story, by operation and field.
_FROM_STORY = {
    ("/register", "email"): "{{email}}",
    ("/register", "password"): "{{password}}",
    ("/login", "email"): "{{email}}",
    ("/login", "password"): "{{password}}",
    ("/refresh", "refresh_token"): "{{refresh_token}}",
    ("/create-checkout", "plan"): "{{plan}}",
    ("/confirm-checkout", "session_id"): "{{checkout_session_id}}",
    ("/get-playback", "video_id"): "{{video_id}}",
    ("/heartbeat", "session_id"): "{{playback_session_id}}",
}
_BY_NAME: dict[str, Any] = {
    "email": "viewer@example.com",
    "name": "Sam",
    "title": "A film",
    "code": "basic",
    "currency": "usd",
    "plan": "basic",
    "status": "active",
    "address": "127.0.0.1",
    "device_name": "Postman",
    "kind": "stripe_event",
    "amount": 799,
    "expires_in": 900,
    "refresh_expires_in": 2_592_000,
    "duration": 24.0,
    "position": 12.5,
    "level": 1,
    "streams": 2,
}
_BY_FORMAT = {"uuid": "8e3f31d2-bee0-4931-9a69-d5730a4c4b3e", "date-time": "2026-11-23T13:53:56Z"}
_BY_TYPE: dict[str, Any] = {"integer": 0, "number": 0.0, "boolean": True}

Json = dict[str, Any]


def example(schema: Json, schemas: Json, name: str = "") -> Any:
    """A value of that schema, always the same one; `name` is the field's."""
    if "$ref" in schema:
        return example(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "anyOf" in schema:
        return example(schema["anyOf"][0], schemas, name)
    for given in ("default", "const"):
        if given in schema:
            return schema[given]
    for several in ("examples", "enum"):
        if several in schema:
            return schema[several][0]
    if schema.get("type") == "object":
        return {key: example(value, schemas, key) for key, value in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        return [example(schema["items"], schemas)]
    return _scalar(schema, name)


def _scalar(schema: Json, name: str) -> Any:
    """A text, number or truth value that fits the field's name."""
    if schema.get("format") in _BY_FORMAT:
        return _BY_FORMAT[schema["format"]]
    if name in _BY_NAME:
        return _BY_NAME[name]
    if name.endswith("url"):
        return f"http://localhost:8000/{name.removesuffix('url').strip('_')}"
    return _BY_TYPE.get(schema["type"], "…")


def body_example(path: str, schema: Json, schemas: Json) -> Json:
    """The body of a request: what is required, and where nothing is, nothing."""
    found = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    required = found.get("required", [])
    values = {name: example(found["properties"][name], schemas, name) for name in required}
    return values | {
        field: value for (of, field), value in _FROM_STORY.items() if of == path and field in values
    }


def request_of(path: str, method: str, operation: Json, schemas: Json) -> Json:
    """An operation as a request. Optional parameters are there, switched off."""
    headers: list[Json] = []
    query: list[Json] = []
    for parameter in operation.get("parameters", []):
        entry: Json = {
            "key": parameter["name"],
            "value": _FROM_STORY.get((path, parameter["name"]), ""),
            "description": parameter.get("description", ""),
        }
        if not parameter.get("required"):
            entry["disabled"] = True
        if parameter["name"] == "Idempotency-Key":
            entry["value"] = "{{$guid}}"
        (headers if parameter["in"] == "header" else query).append(entry)
    found: Json = {
        "method": method.upper(),
        "url": _url(path, query),
        "header": headers,
        "auth": _auth("security" in operation),
        "description": operation.get("description", operation["summary"]),
    }
    if "requestBody" in operation:
        described = operation["requestBody"]
        schema = described["content"]["application/json"]["schema"]
        found |= _json_body(body_example(path, schema, schemas))
        found["header"] = [*headers, *found["header"]]
        if "description" in described:
            found["description"] += f"\n\n{described['description']}"
    return found


def item_of(path: str, method: str, operation: Json, schemas: Json) -> Json:
    """A request with one example for each of its answers."""
    return {
        "name": operation["summary"],
        "request": request_of(path, method, operation, schemas),
        "response": [
            answer_of(int(status), answer, schemas)
            for status, answer in sorted(operation["responses"].items())
        ],
    }


def answer_of(status: int, answer: Json, schemas: Json) -> Json:
    """An answer as Postman's saved example."""
    found: Json = {"name": str(status), "code": status, "header": []}
    for kind, content in answer.get("content", {}).items():
        value = example(content["schema"], schemas)
        if kind == "application/problem+json":
            code, _, title = answer["description"].partition("; ")[0].partition(": ")
            value |= {"type": "about:blank", "status": status, "code": code.strip("`")}
            value |= {"title": title, "detail": title}
            value.pop("errors")
            found["name"] = f"{status}: {answer['description']}"
        found |= {
            "header": [{"key": "Content-Type", "value": kind}],
            "body": json.dumps(value, indent=2, ensure_ascii=False),
            "_postman_previewlanguage": "json",
        }
    return found


def step_of(step: Step) -> Json:
    """A step of the story, with its scripts."""
    request: Json = {"method": step.method, "header": [], "auth": _auth(step.authorized)}
    if step.function:
        query = [{"key": key, "value": value} for key, value in step.query.items()]
        request["url"] = _url(f"/{step.function}", query)
    else:
        request["url"] = {"raw": step.url, "host": [step.url]}
    if step.body is not None:
        request |= _json_body(step.body)
    if step.form is not None:
        fields = [{"key": key, "value": value} for key, value in step.form.items()]
        request["body"] = {"mode": "urlencoded", "urlencoded": fields}
    scripts = {"prerequest": step.before, "test": step.tests}
    return {
        "name": step.name,
        "event": [
            {"listen": listen, "script": {"type": "text/javascript", "exec": script.splitlines()}}
            for listen, script in scripts.items()
            if script
        ],
        "protocolProfileBehavior": {"followRedirects": False},
        "request": request,
        "response": [],
    }


def collection() -> Json:
    """The whole collection, as plain data."""
    api = document()
    schemas = api["components"]["schemas"]
    folders: dict[str, list[Json]] = {}
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            folders.setdefault(operation["tags"][0], []).append(item_of(path, method, operation, schemas))
    story = {
        "name": STORY_FOLDER,
        "description": "Run this folder: from a new account to a playing film. Each run makes a new viewer.",
        "item": [step_of(step) for step in STORY],
    }
    return {
        "info": {"name": api["info"]["title"], "description": api["info"]["description"], "schema": _FORMAT},
        "auth": _auth(True),
        "variable": [{"key": key, "value": value} for key, value in _VARIABLES.items()],
        "item": [story, *({"name": tag, "item": items} for tag, items in folders.items())],
    }


def _url(path: str, query: list[Json]) -> Json:
    asked = "&".join(f"{entry['key']}={entry['value']}" for entry in query if not entry.get("disabled"))
    raw = "{{base_url}}" + path + (f"?{asked}" if asked else "")
    return {"raw": raw, "host": ["{{base_url}}"], "path": path.strip("/").split("/"), "query": query}


def _auth(authorized: bool) -> Json:
    if not authorized:
        return {"type": "noauth"}
    return {"type": "bearer", "bearer": [{"key": "token", "value": "{{access_token}}", "type": "string"}]}


def _json_body(value: Json) -> Json:
    return {
        "header": [{"key": "Content-Type", "value": "application/json"}],
        "body": {"mode": "raw", "raw": json.dumps(value, indent=2, ensure_ascii=False)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the Postman collection.")
    parser.add_argument("--check", action="store_true", help="fail if the committed one differs")
    arguments = parser.parse_args()
    text = json.dumps(collection(), indent=2, ensure_ascii=False) + "\n"
    if not arguments.check:
        FILE.write_text(text)
    elif not FILE.exists() or FILE.read_text() != text:
        sys.exit("docs/streamly.postman_collection.json is out of date: run `make postman`")


if __name__ == "__main__":
    main()
