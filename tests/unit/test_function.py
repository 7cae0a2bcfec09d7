"""The one path every request takes, through Flask as functions-framework hands it over."""

import json
from collections.abc import Callable
from typing import Any

import flask
import pytest
from werkzeug.test import TestResponse

from lib.config import WebSettings
from lib.errors import UnavailableError
from lib.web.bodies import Body, Text
from lib.web.function import serve
from lib.web.operation import Answer, Call, Handler, Operation, Who
from lib.web.ports import Caller
from tests.fakes.callers import ADMIN, VIEWER, FakeServiceCallers, FakeSessions, FakeTokens

SETTINGS = WebSettings(("https://app.example.com",), 1024, 0, None)
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Wish(Body):
    word: Text


def operation(method: str = "POST", who: Who = Who.ANYONE, **facts: Any) -> Operation:
    return Operation(function="wish", method=method, summary="", who=who, answers={200: None}, **facts)


def wish(call: Call) -> Answer:
    return Answer(200, {"word": call.body.word})


class Client:
    """Talks to an entry point the way functions-framework does: any path, any method."""

    def __init__(
        self,
        *routes: tuple[Operation, Handler],
        settings: WebSettings = SETTINGS,
        sessions: FakeSessions | None = None,
    ) -> None:
        entry_point = serve(
            routes,
            settings,
            tokens=FakeTokens(),
            sessions=sessions or FakeSessions(),
            services=FakeServiceCallers(),
        )
        app = flask.Flask("functions")
        app.config["PROPAGATE_EXCEPTIONS"] = True
        methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        for rule in ("/", "/<path:path>"):
            app.add_url_rule(
                rule,
                f"run {rule}",
                lambda path="": entry_point(flask.request),
                methods=methods,
                provide_automatic_options=False,
            )
        self._client = app.test_client()

    def __call__(self, method: str, path: str = "/", **options: Any) -> TestResponse:
        return self._client.open(path, method=method, **options)


@pytest.fixture
def post() -> Callable[..., TestResponse]:
    """`post(**options)` to an operation open to everyone, with a body."""
    client = Client((operation(body=Wish), wish))
    return lambda **options: client("POST", **options)


def problem(response: TestResponse, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    found: dict[str, Any] = json.loads(response.data)
    assert (found["status"], found["code"]) == (status, code)
    assert found["request_id"] == response.headers["X-Request-Id"]
    return found


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_answer(post: Callable[..., TestResponse]) -> None:
    response = post(json={"word": "été"})
    assert (response.status_code, response.data) == (200, '{"word":"été"}'.encode())
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


BAD_BODY = {"data": b"{", "content_type": "text/plain"}


@pytest.mark.parametrize(
    ("who", "request_", "status", "code"),
    [
        # Each request has everything wrong that comes after what it is refused for.
        (Who.ADMIN, ("PUT", "/other", None, BAD_BODY), 404, "not_found"),
        (Who.ADMIN, ("PUT", "/", None, BAD_BODY), 405, "method_not_allowed"),
        (Who.ADMIN, ("POST", "/", None, BAD_BODY), 401, "invalid_token"),
        (Who.ADMIN, ("POST", "/", "wrong", BAD_BODY), 401, "invalid_token"),
        (Who.ADMIN, ("POST", "/", VIEWER, {"data": b"{" * 1025, "content_type": "text/plain"}), 413, "body_too_large"),
        (Who.ADMIN, ("POST", "/", VIEWER, BAD_BODY), 415, "unsupported_media_type"),
        (Who.ADMIN, ("POST", "/", VIEWER, {"data": b"{", "content_type": "application/json"}), 400, "malformed_request"),
        (Who.ADMIN, ("POST", "/", VIEWER, {"json": {}}), 422, "invalid_request"),
        (Who.ADMIN, ("POST", "/", VIEWER, {"json": {"word": "x"}}), 403, "forbidden"),
        (Who.SERVICE, ("POST", "/", None, BAD_BODY), 401, "invalid_token"),
        (Who.SERVICE, ("POST", "/", "wrong", BAD_BODY), 401, "invalid_token"),
        (Who.SERVICE, ("POST", "/", "stranger", BAD_BODY), 403, "forbidden"),
    ],
)  # fmt: skip
def test_order_of_refusals(
    who: Who, request_: tuple[str, str, str | None, dict[str, Any]], status: int, code: str
) -> None:
    method, path, token, options = request_
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    response = Client((operation(who=who, body=Wish), wish))(method, path, headers=headers, **options)
    problem(response, status, code)


def test_an_admin_passes() -> None:
    client = Client((operation(who=Who.ADMIN, body=Wish), wish))
    headers = {"Authorization": f"Bearer {ADMIN}"}
    assert client("POST", json={"word": "x"}, headers=headers).status_code == 200


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", f"Basic {VIEWER}", VIEWER, f"Bearer{VIEWER}"])
def test_what_is_no_bearer_token(header: str) -> None:
    client = Client((operation("GET", Who.USER), lambda _: Answer(204)))
    response = client("GET", headers={"Authorization": header})
    problem(response, 401, "invalid_token")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("header", [f"Bearer {VIEWER}", f"bearer {VIEWER}", f"Bearer   {VIEWER} "])
def test_what_is_one(header: str) -> None:
    seen: list[Caller] = []

    def look(call: Call) -> Answer:
        seen.append(call.user())
        return Answer(204)

    client = Client((operation("GET", Who.USER), look))
    assert client("GET", headers={"Authorization": header}).status_code == 204
    assert [caller.role for caller in seen] == ["viewer"]


def test_an_ended_login_is_asked_for_where_the_handler_does_not() -> None:
    ended = FakeSessions(ended=True)
    headers = {"Authorization": f"Bearer {VIEWER}"}
    for who, status in ((Who.USER, 401), (Who.TOKEN, 204)):
        client = Client((operation("GET", who), lambda _: Answer(204)), sessions=ended)
        assert client("GET", headers=headers).status_code == status


def test_an_operation_without_a_body_reads_none() -> None:
    client = Client((operation("GET"), lambda call: Answer(200, {"raw": call.raw.decode()})))
    assert client("GET", data=b"x" * 5000).json == {"raw": ""}


def test_body_limits(post: Callable[..., TestResponse]) -> None:
    frame = len(b'{"word":""}')
    fits = b'{"word":"' + b"x" * (1024 - frame) + b'"}'
    assert post(data=fits, content_type="application/json").status_code == 200
    problem(post(data=fits + b" ", content_type="application/json"), 413, "body_too_large")
    problem(post(environ_overrides={"CONTENT_LENGTH": "9" * 30}), 413, "body_too_large")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("APPLICATION/JSON", 200),
        ("text/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
    ],
)
def test_media_types(post: Callable[..., TestResponse], content_type: str, status: int) -> None:
    assert post(data=b'{"word":"x"}', content_type=content_type).status_code == status


def test_nothing_at_all_is_an_empty_object(post: Callable[..., TestResponse]) -> None:
    found = problem(post(), 422, "invalid_request")
    assert found["errors"] == [{"field": "word", "code": "required", "message": "Field required"}]


def test_raw_bodies_come_as_they_are() -> None:
    client = Client((operation(raw="An event"), lambda call: Answer(200, content=call.raw)))
    body = b'{ "any" : "bytes" }\x00\xff'
    response = client("POST", data=body, content_type="text/plain")
    assert response.data == body
    problem(client("POST", data=b"x" * 1025), 413, "body_too_large")


def test_methods() -> None:
    client = Client(
        (operation("GET"), lambda _: Answer(200, {"a": 1})), (operation("DELETE"), lambda _: Answer(204))
    )
    refused = client("PUT")
    problem(refused, 405, "method_not_allowed")
    assert refused.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS"
    head, get = client("HEAD"), client("GET")
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"] == "7"
    gone = client("DELETE")
    assert (gone.status_code, gone.data) == (204, b"")
    assert "Content-Type" not in gone.headers


def test_head_needs_a_get(post: Callable[..., TestResponse]) -> None:
    client = Client((operation(body=Wish), wish))
    response = client("HEAD")
    assert (response.status_code, response.headers["Allow"]) == (405, "POST, OPTIONS")


@pytest.mark.parametrize("who", [Who.TOKEN, Who.USER, Who.ADMIN, Who.SERVICE])
def test_head_is_for_what_anyone_may_get(who: Who) -> None:
    """A GET that asks who calls may have an effect (get-playback takes a stream), and a HEAD must not."""
    calls: list[Call] = []

    def note(call: Call) -> Answer:
        calls.append(call)
        return Answer(204)

    client = Client((operation("GET", who), note))
    response = client("HEAD", headers={"Authorization": f"Bearer {ADMIN}"})
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, OPTIONS")
    assert client("OPTIONS").headers["Allow"] == "GET, OPTIONS"
    assert calls == []


@pytest.mark.parametrize("path", ["/", "/wish", "/wish/"])
def test_the_function_s_name_may_stand_in_front(path: str) -> None:
    assert Client((operation("GET"), lambda _: Answer(204)))("GET", path).status_code == 204


def test_cors_for_the_app() -> None:
    client = Client((operation("GET"), lambda _: Answer(204)))
    origin = {"Origin": "https://app.example.com"}
    asked = client("OPTIONS", headers=origin | {"Access-Control-Request-Method": "GET"})
    assert (asked.status_code, asked.data) == (204, b"")
    assert asked.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert asked.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"
    allowed = asked.headers["Access-Control-Allow-Headers"]
    assert allowed == "Authorization, Content-Type, Idempotency-Key, If-None-Match"
    answered = client("GET", headers=origin)
    assert answered.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert answered.headers["Access-Control-Expose-Headers"] == "Retry-After, ETag"
    assert "Access-Control-Allow-Credentials" not in answered.headers
    refused = client("POST", headers=origin)
    assert refused.headers["Access-Control-Allow-Origin"] == "https://app.example.com"


@pytest.mark.parametrize(
    "origin",
    [None, "null", "https://evil.example", "https://app.example.com.evil.example", "http://app.example.com"],
)
def test_cors_for_nobody_else(origin: str | None) -> None:
    client = Client((operation("GET"), lambda _: Answer(204)))
    for method in ("OPTIONS", "GET", "PUT"):
        response = client(method, headers={"Origin": origin} if origin else {})
        assert not [name for name, _ in response.headers if name.startswith("Access-Control")]
        assert response.headers["Vary"] == "Origin"


def test_an_unexpected_error_says_nothing_outside(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: Call) -> Answer:
        raise ValueError("the password is hunter2")

    response = Client((operation("GET"), fail))("GET", headers={"Origin": "https://app.example.com"})
    found = problem(response, 500, "internal_error")
    assert "hunter2" not in response.text
    assert response.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    (line,) = lines(capsys)
    assert (line["severity"], line["status"], line["code"]) == ("ERROR", 500, "internal_error")
    assert line["request_id"] == found["request_id"]
    assert line["error"][0] == "ValueError"
    assert any(place.endswith(" fail") for place in line["error"])
    assert "hunter2" not in json.dumps(line)


def test_out_of_reach(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: Call) -> Answer:
        try:
            raise OSError("secret host")
        except OSError as error:
            raise UnavailableError("The database cannot be reached") from error

    response = Client((operation("GET"), fail))("GET")
    problem(response, 503, "unavailable")
    assert response.headers["Retry-After"] == "2"
    (line,) = lines(capsys)
    assert (line["severity"], line["code"]) == ("ERROR", "unavailable")
    assert "OSError" in line["error"]
    assert "secret host" not in json.dumps(line)


def test_a_line_a_request(capsys: pytest.CaptureFixture[str]) -> None:
    def note(call: Call) -> Answer:
        call.notes["video_id"] = "v1"
        return Answer(200, {"token": "hidden"}, private=True)

    client = Client((operation("GET", Who.USER), note))
    headers = {"Authorization": f"Bearer {VIEWER}", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    response = client("GET", "/?secret=hidden", headers=headers)
    assert response.headers["Cache-Control"] == "no-store"
    (line,) = lines(capsys)
    duration = line.pop("duration_ms")
    assert 0 <= duration < 60_000
    assert line == {
        "severity": "INFO",
        "message": "wish 200",
        "function": "wish",
        "method": "GET",
        "user_id": str(FakeTokens.claims(VIEWER).user_id),
        "video_id": "v1",
        "logging.googleapis.com/trace": TRACE,
        "request_id": response.headers["X-Request-Id"],
        "status": 200,
        "round_trips": 0,
    }


@pytest.mark.parametrize(
    ("header", "value", "trace"),
    [
        ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01", TRACE),
        ("X-Cloud-Trace-Context", f"{TRACE}/123;o=1", TRACE),
        ("traceparent", "", None),
        ("traceparent", TRACE, None),
        ("traceparent", f"00-{TRACE[:-1]}g-b7ad6b7169203331-01", None),
        ("traceparent", f"00-{TRACE}{TRACE}-1-01", None),
        ("traceparent", "00-../../x-1-01", None),
        ("X-Cloud-Trace-Context", "nonsense", None),
    ],
)
def test_traces(header: str, value: str, trace: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    for project, expected in ((None, trace), ("p", trace and f"projects/p/traces/{trace}")):
        settings = WebSettings((), 1024, 0, project)
        Client((operation("GET"), lambda _: Answer(204)), settings=settings)("GET", headers={header: value})
        (line,) = lines(capsys)
        assert line.get("logging.googleapis.com/trace") == expected


@pytest.mark.parametrize(
    ("trusted", "forwarded", "address"),
    [
        (0, "1.1.1.1, 2.2.2.2", "127.0.0.1"),
        (1, "1.1.1.1, 2.2.2.2", "2.2.2.2"),
        (2, "1.1.1.1, 2.2.2.2", "1.1.1.1"),
        (2, "9.9.9.9, 1.1.1.1, 2.2.2.2", "1.1.1.1"),
        (1, "2.2.2.2", "2.2.2.2"),
        (1, " , 2.2.2.2 ,", "2.2.2.2"),
        # Fewer hops than proxies: somebody came around them.
        (2, "1.1.1.1", "127.0.0.1"),
        (1, "", "127.0.0.1"),
        (1, "x" * 500, "x" * 64),
    ],
)
def test_the_client_s_address(trusted: int, forwarded: str, address: str) -> None:
    client = Client(
        (operation("GET"), lambda call: Answer(200, {"address": call.address})),
        settings=WebSettings((), 1024, trusted, None),
    )
    assert client("GET", headers={"X-Forwarded-For": forwarded}).json == {"address": address}


def test_an_operation_cannot_be_served_without_what_it_needs() -> None:
    unwired = serve([(operation("GET", Who.USER), lambda _: Answer(204))], SETTINGS)
    headers = {"Authorization": f"Bearer {VIEWER}"}
    with flask.Flask("functions").test_request_context("/", headers=headers):
        assert unwired(flask.request).status_code == 500
