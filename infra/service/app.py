"""Every function behind one WSGI application, each through its own functions-framework app.

What Google's load balancer does with the cloud's URLs, this does with one port: the first segment of the
path names the function, which sees the rest.
"""

import json
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from functions_framework import create_app

from lib.errors import NotFoundError
from lib.web import problem

ROOT = Path(__file__).resolve().parents[2]
# Cloud Run keeps paths that end in z, such as /healthz, to itself.
HEALTH = "/health"


def function_names() -> list[str]:
    """The functions of this checkout, as in their URLs."""
    return sorted(path.parent.name.replace("_", "-") for path in (ROOT / "functions").glob("*/main.py"))


class FunctionsApp:
    """Dispatches by path, without redirects: `/login` is the function login at its root.

    `GET /health` answers 200 as soon as all functions are loaded. It asks nobody else: a database that is
    away is no reason to start instances anew.
    """

    def __init__(self, names: Iterable[str]) -> None:
        create: Callable[[str, str], Any] = create_app
        self._apps = {name: create(name.replace("-", "_"), str(ROOT / "main.py")) for name in names}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        name, _, rest = path.lstrip("/").partition("/")
        app = self._apps.get(name)
        if app is not None:
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + "/" + name
            environ["PATH_INFO"] = "/" + rest
            found: Iterable[bytes] = app(environ, start_response)
            return found
        request_id = str(uuid.uuid4())
        if path == HEALTH and environ["REQUEST_METHOD"] == "GET":
            return _answer(start_response, "200 OK", "application/json", {"status": "ok"}, request_id)
        refusal = problem.document(NotFoundError("There is no such function"), request_id)
        return _answer(start_response, "404 Not Found", "application/problem+json", refusal, request_id)


def _answer(
    start_response: Any, status: str, content_type: str, document: object, request_id: str
) -> list[bytes]:
    """With the headers that every answer of a function has."""
    body = json.dumps(document).encode()
    headers = [
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Request-Id", request_id),
    ]
    start_response(status, headers)
    return [body]


def app() -> FunctionsApp:
    """Factory for gunicorn: `infra.service.app:app()`."""
    return FunctionsApp(function_names())
