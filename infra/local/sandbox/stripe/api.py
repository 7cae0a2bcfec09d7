"""Stripe's API over HTTP: who asks, what they ask for, and the answer."""

import base64
import binascii
import hmac
import json
import logging
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from infra.local.sandbox.stripe.book import API_VERSION, Book, Object, Origin, new_id
from infra.local.sandbox.stripe.errors import Refusal
from infra.local.sandbox.stripe.idempotency import Answers
from infra.local.sandbox.stripe.lists import expand
from infra.local.sandbox.stripe.parameters import Form, check, decode
from infra.local.sandbox.stripe.routes import ROUTES, Call, Route
from infra.local.sandbox.stripe.weather import Weather

log = logging.getLogger(__name__)


class Api:
    """Answers ``/v1/…``.

    Args:
        book: The objects.
        answers: Those given before.
        secret_key: The only API key there is.
        base: Address of the sandbox's pages.
        weather: Whether it answers at all.
    """

    def __init__(self, book: Book, answers: Answers, secret_key: str, base: str, weather: Weather) -> None:
        self._weather = weather
        self._book = book
        self._answers = answers
        self._secret_key = secret_key
        self._base = base

    async def handle(self, request: Request) -> Response:
        """One request; whatever happens, the answer is JSON and names the request, unless there is none."""
        if (outage := await self._weather.outage()) is not None:
            return outage
        origin = Origin(new_id("request"), request.headers.get("idempotency-key"))
        replayed = False
        try:
            pairs = await _pairs(request)
            status, body, replayed = self._answer(request, pairs, origin)
        except Refusal as refusal:
            status, body = refusal.status, _json(refusal.body())
        except Exception:
            log.exception("%s %s failed", request.method, request.url.path)
            failure = Refusal("The sandbox failed; its log says why.", status=500, type="api_error")
            status, body = 500, _json(failure.body())
        headers = {"Request-Id": str(origin.request_id), "Stripe-Version": API_VERSION}
        if origin.idempotency_key:
            headers["Idempotency-Key"] = origin.idempotency_key
        if replayed:
            headers["Idempotent-Replayed"] = "true"
        return Response(body, status, headers, media_type="application/json")

    def _answer(
        self, request: Request, pairs: list[tuple[str, str]], origin: Origin
    ) -> tuple[int, str, bool]:
        self._authenticate(request)
        # The pinned version's shapes are the only ones the sandbox knows.
        if (version := request.headers.get("stripe-version", API_VERSION)) != API_VERSION:
            raise Refusal(f"Invalid Stripe API version: {version}. The sandbox speaks {API_VERSION}.")
        path = "/v1/" + request.path_params["path"]
        route, object_id = _route(request.method, path)
        form = decode(pairs)
        key = origin.idempotency_key if request.method == "POST" else None
        now = self._book.now()
        if key is not None and (earlier := self._answers.earlier(key, now, path, form)):
            return *earlier, True
        given = check(form, route.accepted, route.names)
        try:
            with self._book.transaction(origin):
                body = _json(self._carry_out(route, path, object_id, given))
                if key is not None:
                    self._answers.keep(key, now, path, form, 200, body)
        except Refusal as refusal:
            # The transaction took back what had been done; the refusal itself is repeated to a repeated request.
            body = _json(refusal.body())
            if key is not None:
                self._answers.keep(key, now, path, form, refusal.status, body)
            return refusal.status, body, False
        return 200, body, False

    def _carry_out(self, route: Route, path: str, id: str, given: dict[str, Any]) -> Object:
        paths = given.pop("expand", [])
        answer = route.handle(Call(self._book, path, id, given, self._base))
        return expand(self._book, answer, paths)

    def _authenticate(self, request: Request) -> None:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            credentials = _user(credentials)
        elif scheme.lower() != "bearer":
            raise Refusal(
                "You did not provide an API key. You need to provide your API key in the Authorization header, using"
                " Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
                status=401,
            )
        if not hmac.compare_digest(credentials.encode(), self._secret_key.encode()):
            hint = f"{credentials[:8]}****{credentials[-4:]}" if len(credentials) > 16 else "****"
            raise Refusal(f"Invalid API Key provided: {hint}", status=401)


async def _pairs(request: Request) -> list[tuple[str, str]]:
    """What the query and the form say."""
    text = (await request.body()).decode("utf-8", "replace")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if text and kind != "application/x-www-form-urlencoded":
        raise Refusal(
            "Invalid request (check that your POST content type is application/x-www-form-urlencoded). If you have"
            " questions, we can help at https://support.stripe.com/."
        )
    query = parse_qsl(request.url.query, keep_blank_values=True)
    return query + parse_qsl(text, keep_blank_values=True)


def _route(method: str, path: str) -> tuple[Route, str]:
    for route in ROUTES:
        if route.method == method and (match := route.pattern.fullmatch(path)):
            return route, match.groupdict().get("id", "")
    raise Refusal(
        f"Unrecognized request URL ({method}: {path}). The sandbox models a part of Stripe's API:"
        " infra/local/sandbox/stripe/routes.py lists it.",
        status=404,
    )


def _user(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _json(answer: Object | Form) -> str:
    return json.dumps(answer, indent=2)
