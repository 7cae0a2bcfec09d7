"""What there is to attack: operations, what each takes, and a request of each that is fine.

Compared with the functions themselves, so that none is forgotten: who adds one is asked for a request of it here.
"""

import uuid
from collections.abc import Iterator
from typing import Any

import httpx

from lib.web.operation import Operation
from tests.api import described

# Bodies that are fine in form; whom or what they name is nobody and nothing.
BODIES: dict[str, dict[str, Any] | None] = {
    "POST register": {
        "email": "somebody@example.com",
        "password": "a long walk by the sea",
        "name": "Somebody",
    },
    "POST login": {"email": "nobody@example.com", "password": "a long walk", "device_name": "Television"},
    "POST refresh": {"refresh_token": "x"},
    "POST logout": {"session_id": str(uuid.UUID(int=1))},
    "GET account": None,
    "PATCH account": {"name": "Somebody"},
    "DELETE account": {"password": "not the password"},
    "POST verify-email": {"token": "x"},
    "POST reset-password": {"token": "x", "password": "a long walk by the sea"},
    "GET jwks": None,
    "GET list-plans": None,
    "POST create-checkout": {"plan": "nobody's"},
    "POST confirm-checkout": {"session_id": "cs_1"},
    "POST create-portal": {},
    "POST redeem": {"code": "ABCDE-FGHJK-MNPQR-STVWX"},
    "POST stripe-webhook": {"id": "evt_1", "type": "x"},
    "GET list-videos": None,
    "GET get-playback": None,
    "POST heartbeat": {"session_id": str(uuid.UUID(int=1)), "position": 1},
    "POST upload-asset": {"title": "A film", "description": "Long", "filename": "film.mp4"},
    "GET manage-video": None,
    "PATCH manage-video": {"title": "A film"},
    "DELETE manage-video": None,
    "POST mux-webhook": {"type": "x", "data": {}},
    "POST cloudflare-webhook": {"uid": "x"},
    "POST process-task": {"kind": "nothing", "body": {}},
    "POST reconcile": {},
}
# Its operations are files, which openapi.json does not describe.
FILES = {"api-docs"}
QUERIES: dict[str, dict[str, str]] = {
    "GET get-playback": {"video_id": str(uuid.UUID(int=1))},
    **{
        f"{method} manage-video": {"video_id": str(uuid.UUID(int=1))} for method in ("GET", "PATCH", "DELETE")
    },
}


def name_of(operation: Operation) -> str:
    return f"{operation.method} {operation.function}"


def properties(operation: Operation) -> dict[str, Any]:
    if operation.body is None:
        return {}
    found: dict[str, Any] = described()["components"]["schemas"][operation.body.__name__]["properties"]
    return found


def texts_of(operation: Operation) -> Iterator[tuple[str, str]]:
    """Where a text may stand: ("body", field) or ("query", parameter)."""
    for field, schema in properties(operation).items():
        if any(option.get("type") == "string" for option in schema.get("anyOf", [schema])):
            yield "body", field
    for query in operation.query:
        yield "query", query.name


def send(
    http: httpx.Client,
    operation: Operation,
    token: str | None,
    *,
    place: tuple[str, str] | None = None,
    value: object = None,
    extra: dict[str, object] | None = None,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    """A request that is fine, but for `value` at `place` and fields that are `extra`."""
    body, query = BODIES[name_of(operation)], dict[str, Any](QUERIES.get(name_of(operation), {}))
    if place is not None and place[0] == "query":
        query[place[1]] = value
    elif place is not None:
        body = (body or {}) | {place[1]: value}
    if extra:
        body = (body or {}) | extra
    known = {} if token is None else {"Authorization": f"Bearer {token}"}
    return http.request(
        operation.method,
        f"/{operation.function}",
        params=query,
        json=body,
        headers=known | (headers or {}),
    )
