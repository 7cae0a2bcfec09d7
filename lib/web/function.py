"""From a Flask request to an answer: the one path every function's requests take.

Order: path, method, token, shape (media type, size, JSON, fields), role, then the handler. Whatever goes
wrong becomes a problem document; nothing escapes to the framework, whose error page is HTML.
"""

import hashlib
import json
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import flask

from lib.config import WebSettings
from lib.database.round_trips import round_trips
from lib.errors import (
    BodyTooLargeError,
    ForbiddenError,
    InvalidRequestError,
    InvalidTokenError,
    MalformedRequestError,
    MethodNotAllowedError,
    NotFoundError,
    Refusal,
    UnsupportedMediaTypeError,
)
from lib.web import log, problem
from lib.web.operation import Answer, Call, Handler, Operation, Who
from lib.web.ports import ServiceCallers, Sessions, TokenVerifier

if TYPE_CHECKING:
    from lib.web.idempotency import IdempotentAnswers

WEBHOOK_BODY_BYTES = 1 << 20
_CORS_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-None-Match"
_CORS_EXPOSED = "Retry-After, ETag"
_UNEXPECTED = {
    "type": "about:blank",
    "title": "Something went wrong on our side",
    "status": 500,
    "detail": "The request was not fulfilled. It was logged under the request id.",
    "code": "internal_error",
}

# Made once: `json.dumps` makes one for each answer.
_as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

FlaskFunction = Callable[[flask.Request], flask.Response]


def serve(
    routes: Sequence[tuple[Operation, Handler]],
    settings: WebSettings,
    *,
    tokens: TokenVerifier | None = None,
    sessions: Sessions | None = None,
    services: ServiceCallers | None = None,
    idempotency: "IdempotentAnswers | None" = None,
    rules: Mapping[str, object] = MappingProxyType({}),
) -> FlaskFunction:
    """A plain function that functions-framework can serve.

    Args:
        routes: the operations of one function, each with its handler.
        tokens: needed from Who.TOKEN on.
        sessions: needed for Who.EITHER, Who.USER and Who.ADMIN.
        services: needed for Who.SERVICE.
        idempotency: needed where an operation is idempotent.
        rules: settings that the body's validators ask for.
    """
    function = _Function(routes, settings, tokens, sessions, services, idempotency, rules)

    def entry_point(request: flask.Request) -> flask.Response:
        return function.answer(request)

    entry_point.__name__ = routes[0][0].function.replace("-", "_")
    return entry_point


class _Function:
    def __init__(
        self,
        routes: Sequence[tuple[Operation, Handler]],
        settings: WebSettings,
        tokens: TokenVerifier | None,
        sessions: Sessions | None,
        services: ServiceCallers | None,
        idempotency: "IdempotentAnswers | None",
        rules: Mapping[str, object],
    ) -> None:
        self._name = routes[0][0].function
        self._settings = settings
        self._tokens = tokens
        self._sessions = sessions
        self._services = services
        self._idempotency = idempotency
        self._rules = rules
        self._paths: dict[str, dict[str, tuple[Operation, Handler]]] = {}
        for operation, handler in routes:
            self._paths.setdefault(operation.path or "/", {})[operation.method] = (operation, handler)

    def answer(self, request: flask.Request) -> flask.Response:
        started = time.perf_counter()
        request_id = str(uuid.uuid4())
        trips = round_trips.set(0)
        call = Call()
        fields: dict[str, object] = {}
        try:
            answer = self._fulfil(request, call)
        except Refusal as refusal:
            fields["code"] = refusal.code
            if refusal.status >= 500:
                fields["error"] = log.places(refusal)
            answer = Answer(
                refusal.status,
                problem.document(refusal, request_id),
                private=True,
                headers={"Content-Type": "application/problem+json", **refusal.headers},
            )
        except Exception as error:
            # The last resort: the client gets a problem document, the log says where it happened.
            fields |= {"code": "internal_error", "error": log.places(error)}
            answer = Answer(
                500,
                _UNEXPECTED | {"request_id": request_id},
                private=True,
                headers={"Content-Type": "application/problem+json"},
            )
        response = self._response(request, answer, request_id)
        fields = self._line(request, call) | fields
        fields |= {
            "request_id": request_id,
            "status": response.status_code,
            "duration_ms": round((time.perf_counter() - started) * 1000, 2),
            "round_trips": round_trips.get(),
        }
        round_trips.reset(trips)
        log.line(log.severity_of(response.status_code), f"{self._name} {response.status_code}", fields)
        return response

    def _fulfil(self, request: flask.Request, call: Call) -> Answer:
        methods = self._paths.get(self._path(request))
        if methods is None:
            raise NotFoundError
        if request.method == "OPTIONS":
            return Answer(204, headers={"Allow": self._allow(methods)})
        method = "GET" if request.method == "HEAD" and self._has_head(methods) else request.method
        if method not in methods:
            raise MethodNotAllowedError(headers={"Allow": self._allow(methods)})
        operation, handler = methods[method]
        call.query = request.args
        call.headers = request.headers
        call.address = self._address(request)
        self._authenticate(operation, request, call)
        self._read_body(operation, request, call)
        if operation.who is Who.ADMIN and call.user().role != "admin":
            raise ForbiddenError
        key = request.headers.get("Idempotency-Key") if operation.idempotent else None
        if key is None or self._idempotency is None:
            return handler(call)
        if not 1 <= len(key) <= 255 or "\x00" in key:
            raise InvalidRequestError("Idempotency-Key should have 1 to 255 characters")
        user_id = call.user().user_id
        # What was understood, not how it was spaced.
        request_hash = hashlib.sha256(call.body.model_dump_json().encode()).digest()
        call.attempt = uuid.uuid5(user_id, f"{operation.function} {key} {request_hash.hex()}")
        return self._idempotency.answer(
            user_id=user_id,
            function=operation.function,
            key=key,
            request_hash=request_hash,
            fulfil=lambda: handler(call),
        )

    def _path(self, request: flask.Request) -> str:
        """The path below the function. Behind its own Cloud Run URL the name may stand in front."""
        path = request.path.rstrip("/")
        return path.removeprefix("/" + self._name) or "/"

    @staticmethod
    def _allow(methods: dict[str, tuple[Operation, Handler]]) -> str:
        return ", ".join([*sorted(methods), *(["HEAD"] if _Function._has_head(methods) else []), "OPTIONS"])

    @staticmethod
    def _has_head(methods: dict[str, tuple[Operation, Handler]]) -> bool:
        """HEAD runs the GET's handler, so it is for those without effect: get-playback's takes a stream."""
        return "GET" in methods and methods["GET"][0].who in (Who.ANYONE, Who.EITHER)

    def _authenticate(self, operation: Operation, request: flask.Request, call: Call) -> None:
        if operation.who is Who.ANYONE:
            return
        if operation.who is Who.EITHER and "Authorization" not in request.headers:
            return
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise InvalidTokenError
        token = token.strip()
        if operation.who is Who.SERVICE:
            call.service = _wired(self._services).check(token)
            return
        call.claims = _wired(self._tokens).verify(token)
        if operation.who is not Who.TOKEN:
            call.caller = _wired(self._sessions).caller(call.claims)

    def _read_body(self, operation: Operation, request: flask.Request, call: Call) -> None:
        if operation.body is None and operation.raw is None:
            return
        limit = self._settings.max_body_bytes
        if (request.content_length or 0) > limit:
            raise BodyTooLargeError(f"The body may have up to {limit} bytes")
        # A chunked body tells no length: read one byte more than allowed and see.
        try:
            call.raw = request.stream.read(limit + 1)
        except Exception:
            # Nothing of ours is in that line: chunks that are none, or somebody hung up halfway.
            raise MalformedRequestError("The body breaks off") from None
        if len(call.raw) > limit:
            raise BodyTooLargeError(f"The body may have up to {limit} bytes")
        if operation.body is not None:
            if call.raw and request.mimetype != "application/json":
                raise UnsupportedMediaTypeError
            from lib.web.bodies import parse

            call.body = parse(operation.body, call.raw, self._rules)

    def _address(self, request: flask.Request) -> str:
        """The client's address: counted from the trusted end, since anyone may write the other."""
        hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
        trusted = self._settings.trusted_proxies
        if trusted and len(hops) >= trusted:
            return hops[-trusted][:64]
        return request.remote_addr or ""

    def _response(self, request: flask.Request, answer: Answer, request_id: str) -> flask.Response:
        if answer.content is not None:
            content = answer.content
        elif answer.body is not None:
            content = _as_json(answer.body).encode()
        else:
            content = b""
        status, tag = answer.status, None
        if answer.tagged:
            tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            known = request.headers.get("If-None-Match", "")
            if known.strip() == "*" or tag in re.findall(r'"[^"]*"', known):
                status, content = 304, b""
        headers = {"X-Content-Type-Options": "nosniff", "X-Request-Id": request_id}
        if tag is not None:
            headers["ETag"] = tag
        if content:
            headers["Content-Type"] = "application/json"
        if answer.private:
            headers["Cache-Control"] = "no-store"
        response = flask.Response(content, status, headers)
        if not content:
            response.headers.pop("Content-Type", None)
        response.headers.update(answer.headers)
        response.headers.add("Vary", "Origin")
        self._allow_origin(request, response)
        return response

    def _allow_origin(self, request: flask.Request, response: flask.Response) -> None:
        origin = request.headers.get("Origin")
        if origin not in self._settings.cors_origins:
            return
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _CORS_EXPOSED
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = response.headers.get("Allow", "")
            response.headers["Access-Control-Allow-Headers"] = _CORS_HEADERS
            response.headers["Access-Control-Max-Age"] = "7200"

    def _line(self, request: flask.Request, call: Call) -> dict[str, object]:
        fields: dict[str, object] = {"function": self._name, "method": request.method}
        if call.claims:
            fields["user_id"] = str(call.claims.user_id)
        if call.service:
            fields["service"] = call.service
        trace = _trace(request)
        if trace and self._settings.project:
            trace = f"projects/{self._settings.project}/traces/{trace}"
        if trace:
            fields["logging.googleapis.com/trace"] = trace
        return fields | call.notes


def _trace(request: flask.Request) -> str | None:
    """The trace id of W3C `traceparent` or of Google's older header; hexadecimal or nothing."""
    parts = request.headers.get("traceparent", "").split("-")
    found = (
        parts[1] if len(parts) >= 4 else request.headers.get("X-Cloud-Trace-Context", "").partition("/")[0]
    )
    return found if len(found) == 32 and all(c in "0123456789abcdef" for c in found) else None


def _wired(part: Any) -> Any:
    if part is None:
        raise TypeError("this operation was served without what its callers need")
    return part
