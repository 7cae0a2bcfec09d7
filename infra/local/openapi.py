"""Writes functions/api_docs/openapi.json: `python -m infra.local.openapi [--check]`.

FastAPI generates it from the very models that check requests; nothing is served by FastAPI. What a
function refuses follows from its facts: the common refusals from who may call and whether there is a
body, its own from `refusals`.
"""

import argparse
import inspect
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Body as BodyParameter
from fastapi import FastAPI
from fastapi import Query as QueryParameter
from pydantic import BaseModel, ValidationError

from lib import errors
from lib.accounts import account, keys, link_endpoints
from lib.accounts import endpoints as accounts
from lib.billing import endpoints as billing
from lib.billing import plans, receiving, redeeming
from lib.video import (
    catalogue,
    cloudflare_events,
    heartbeats,
    managed,
    managing,
    mux_events,
    playback,
    uploads,
)
from lib.web import tasks
from lib.web.answers import Problem
from lib.web.operation import Operation, Who

FILE = Path(__file__).resolve().parents[2] / "functions" / "api_docs" / "openapi.json"

OPERATIONS = (
    *accounts.OPERATIONS,
    *account.OPERATIONS,
    *link_endpoints.OPERATIONS,
    keys.JWKS,
    plans.LIST_PLANS,
    billing.CREATE_CHECKOUT,
    billing.CONFIRM_CHECKOUT,
    billing.CREATE_PORTAL,
    redeeming.REDEEM,
    receiving.STRIPE_WEBHOOK,
    catalogue.LIST_VIDEOS,
    playback.GET_PLAYBACK,
    heartbeats.HEARTBEAT,
    uploads.UPLOAD_ASSET,
    managed.GET_VIDEO,
    managing.CHANGE_VIDEO,
    managing.DELETE_VIDEO,
    mux_events.MUX_WEBHOOK,
    cloudflare_events.CLOUDFLARE_WEBHOOK,
    tasks.PROCESS_TASK,
    tasks.RECONCILE,
)
_KINDS: dict[str, type] = {"string": str, "integer": int}
# What refusals of these statuses always say beside their document.
_WITH_HEADERS: dict[int, tuple[str, dict[str, Any]]] = {
    401: ("WWW-Authenticate", {"const": "Bearer"}),
    405: ("Allow", {"type": "string"}),
    429: ("Retry-After", {"type": "integer", "minimum": 1}),
    503: ("Retry-After", {"type": "integer", "minimum": 1}),
}
_DESCRIPTION = """\
Register, log in, pay, watch. One function, one path; JSON in and out; refusals are
`application/problem+json` with a stable `code`.

Access tokens go into `Authorization: Bearer …`.
"""


def model(path: str) -> type[BaseModel]:
    """`module:Model`."""
    module, _, name = path.partition(":")
    found: type[BaseModel] = getattr(import_module(module), name)
    return found


def refusals(operation: Operation) -> list[type[errors.Refusal]]:
    """All refusals of an operation, common ones first."""
    found: list[type[errors.Refusal]] = []
    if operation.who is not Who.ANYONE:
        found.append(errors.InvalidTokenError)
    if operation.who in (Who.ADMIN, Who.SERVICE):
        found.append(errors.ForbiddenError)
    found.append(errors.MethodNotAllowedError)
    if operation.raw or operation.body:
        found += [errors.MalformedRequestError, errors.BodyTooLargeError]
    if operation.body:
        found += [errors.UnsupportedMediaTypeError]
    if operation.body or operation.query:
        found += [errors.InvalidRequestError]
    if operation.idempotent:
        found.append(errors.IdempotencyKeyReusedError)
    found.append(errors.UnavailableError)
    return [*found, *(refusal for refusal in operation.refusals if refusal not in found)]


def document() -> dict[str, Any]:
    """The whole description, as plain data."""
    app = FastAPI(
        title="Streamly",
        version="0.1.0",
        description=_DESCRIPTION,
        license_info={"name": "MIT", "identifier": "MIT"},
        servers=[{"url": "/"}],
    )
    for operation in OPERATIONS:
        _add(app, operation)
    described = app.openapi()
    security = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "service": {
            "type": "http",
            "scheme": "bearer",
            "description": "An OIDC token of a service account",
        },
    }
    described["components"]["securitySchemes"] = security
    for operation in OPERATIONS:
        _finish(described["paths"][f"/{operation.function}"][operation.method.lower()], operation)
    for name in ("HTTPValidationError", "ValidationError"):
        described["components"]["schemas"].pop(name, None)
    return described


def _add(app: FastAPI, operation: Operation) -> None:
    def stub() -> None:
        raise TypeError("only described, never served")

    parameters = [
        inspect.Parameter(
            query.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=... if query.required else None,
            annotation=Annotated[
                Literal[query.choices] if query.choices else _KINDS[query.kind],
                QueryParameter(
                    description=query.description,
                    ge=query.least,
                    le=query.most,
                    # Nothing is not what was asked for.
                    min_length=1 if query.required else query.shortest,
                    max_length=query.longest,
                    pattern=r"^[^\x00]*$" if query.longest else None,
                ),
            ],
        )
        for query in operation.query
    ]
    if operation.body is not None:
        parameters.append(
            inspect.Parameter(
                "body", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[operation.body, BodyParameter()]
            )
        )
    stub.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            parameter.replace(default=inspect.Parameter.empty) if parameter.default is ... else parameter
            for parameter in parameters
        ]
    )
    (status, answer), *others = operation.answers.items()
    app.add_api_route(
        f"/{operation.function}",
        stub,
        methods=[operation.method],
        summary=operation.summary,
        description=operation.description or None,
        tags=[operation.tag],
        operation_id=f"{operation.method.lower()}-{operation.function}",
        status_code=status,
        response_model=model(answer) if answer else None,
        responses={other: {"model": model(kind)} if kind else {} for other, kind in others}
        | {"default": {"model": Problem}},
    )


def _finish(described: dict[str, Any], operation: Operation) -> None:
    """What FastAPI cannot know: refusals, who may call, raw bodies, what headers mean."""
    answers = described["responses"]
    answers.pop("default")
    answers.pop("422", None)
    answers |= _refusals_described(operation)
    if operation.who is Who.SERVICE:
        described["security"] = [{"service": []}]
    elif operation.who is Who.EITHER:
        described["security"] = [{}, {"bearer": []}]
    elif operation.who is not Who.ANYONE:
        described["security"] = [{"bearer": []}]
    if operation.raw:
        described["requestBody"] = {
            "required": True,
            "description": operation.raw,
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    if operation.body is not None:
        described["requestBody"]["required"] = not _may_be_empty(operation.body)
    if 304 in operation.answers:
        answers["304"]["description"] = "It is what the caller has"
        for status in ("200", "304"):
            answers[status]["headers"] = {"ETag": {"required": True, "schema": {"type": "string"}}}
    headers = _headers(operation)
    if headers:
        described.setdefault("parameters", []).extend(headers)


def _refusals_described(operation: Operation) -> dict[str, dict[str, Any]]:
    by_status: dict[int, list[type[errors.Refusal]]] = {}
    for refusal in refusals(operation):
        by_status.setdefault(refusal.status, []).append(refusal)
    answers: dict[str, dict[str, Any]] = {}
    for status, found in sorted(by_status.items()):
        answers[str(status)] = {
            "description": "; ".join(f"`{refusal.code}`: {refusal.title}" for refusal in found),
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        if status in _WITH_HEADERS:
            name, schema = _WITH_HEADERS[status]
            answers[str(status)]["headers"] = {name: {"required": True, "schema": schema}}
    return answers


def _headers(operation: Operation) -> list[dict[str, Any]]:
    """The headers of a request that mean something."""
    text: dict[str, Any] = {"type": "string"}
    found = []
    if operation.signature:
        found.append((operation.signature, True, "The provider's signature of the body", text))
    if operation.idempotent:
        what = "The same key and body within 24 hours give the same answer"
        found.append(("Idempotency-Key", False, what, text | {"minLength": 1, "maxLength": 255}))
    if 304 in operation.answers:
        found.append(("If-None-Match", False, "The ETag of the answer the caller has", text))
    return [
        {"name": name, "in": "header", "required": required, "description": what, "schema": schema}
        for name, required, what, schema in found
    ]


def _may_be_empty(body: type[BaseModel]) -> bool:
    """No body is taken for `{}`."""
    try:
        body.model_validate_json(b"{}")
    except ValidationError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the API's description.")
    parser.add_argument("--check", action="store_true", help="fail if the committed one differs")
    arguments = parser.parse_args()
    text = json.dumps(document(), indent=2, ensure_ascii=False) + "\n"
    if not arguments.check:
        FILE.write_text(text)
    elif not FILE.exists() or FILE.read_text() != text:
        sys.exit("functions/api_docs/openapi.json is out of date: run `make openapi`")


if __name__ == "__main__":
    main()
