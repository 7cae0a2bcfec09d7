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


def function_names() -> list[str]:
    """The functions of this checkout, as in their URLs."""
    return sorted(path.parent.name.replace("_", "-") for path in (ROOT / "functions").glob("*/main.py"))


class FunctionsApp:
    """Dispatches by path, without redirects: `/login` is the function login at its root."""

    def __init__(self, names: Iterable[str]) -> None:
        create: Callable[[str, str], Any] = create_app
        self._apps = {name: create(name.replace("-", "_"), str(ROOT / "main.py")) for name in names}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        name, _, rest = environ.get("PATH_INFO", "/").lstrip("/").partition("/")
        app = self._apps.get(name)
        if app is None:
            refusal, request_id = NotFoundError("There is no such function"), str(uuid.uuid4())
            body = json.dumps(problem.document(refusal, request_id)).encode()
            headers = [
                ("Content-Type", "application/problem+json"),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
                ("X-Content-Type-Options", "nosniff"),
                ("X-Request-Id", request_id),
            ]
            start_response("404 Not Found", headers)
            return [body]
        environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + "/" + name
        environ["PATH_INFO"] = "/" + rest
        found: Iterable[bytes] = app(environ, start_response)
        return found


def app() -> FunctionsApp:
    """Factory for gunicorn: `infra.local.functions_app:app()`."""
    return FunctionsApp(function_names())
