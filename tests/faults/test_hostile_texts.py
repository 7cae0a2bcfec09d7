"""Texts that mean something elsewhere (SQL, search, templates, addresses), in every field: here they are texts.

And addresses: nobody is sent anywhere but to `APP_URL`, whatever a request says, and nothing of ours goes where a request says.
"""

import random
import socket
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from infra.local.openapi import OPERATIONS
from infra.local.supervisor import Stack
from lib.web.operation import Operation, Who
from tests.factories import Factory
from tests.faults.counts import tried
from tests.faults.hostile import Callers, functions_url, signatures
from tests.faults.surface import BODIES, name_of, send, texts_of
from tests.mailbox import Mailbox

SQL = [
    "'", "''", '"', "\\", "\\'", "`", ";", "--", "/*", "*/", "$$", "$1", ":name", "%s", "%(x)s", "%%", "?", "{}", "{0}",
    "' OR '1'='1", "' OR 1=1 --", "1; DROP TABLE users; --", "'; SELECT pg_sleep(20); --", "' || pg_sleep(20) || '",
    "1 UNION SELECT password_hash FROM users", "') RETURNING password_hash --", "\\x27", "’ OR 1=1", "E'\\x41'", "U&'\\0041'",
    "COPY users TO PROGRAM 'id'", "{1,2}", "[1,2]", "NULL", "CURRENT_USER",
]  # fmt: skip
TEMPLATES = [
    "{{7*7}}", "{{ config }}", "{% raw %}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "{{''.__class__.__mro__}}", "${jndi:ldap://x}",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "javascript:alert(1)", "=cmd|' /C calc'!A0", "@SUM(1)",
    "\r\nBcc: victim@example.com", "a\nSet-Cookie: a=b", "\u202eexe.mp4", "\ufeff", "\u0000", "\x1b[31m", "%0d%0aX: y", "%00",
    "../../../../etc/passwd", "..\\..\\windows", "file:///etc/passwd", "//evil.example", "https://evil.example/", "data:text/html,x",
    "A" * 3000, "é" * 3000, "\U0001f600" * 100, "İ", "ß", "ﬀ", "\u0301" * 200, "NaN", "-1", "1e999", "true", "null", "undefined",
]  # fmt: skip
SEARCHES = [
    "&", "|", "!", "!!", "<->", "a & b", "a | b", "! a", "a <-> b", "a <5> b", ":*", "a:*", "a:A", "a:*A", "(", ")", "((", "()",
    "a & ", "& a", "'", "''", "'a", "a'b", "\\", "\\\\", "a\\:b", ":", "::", "%", "_", "%%", "_%_", "*", "**", "a*b", ".", "^$",
    "a" * 200, "a " * 100, "& " * 100, "( " * 100, "' " * 100, "日本", "\u200b", "🎬", "a\tb", "a\nb", "--", "$$", "OR", "AND NOT",
]  # fmt: skip
RETURNS = (
    "success_url", "cancel_url", "return_url", "redirect", "redirect_uri", "redirect_url", "next", "url", "continue", "callback",
    "app_url", "origin", "host", "link", "checkout_url", "portal_url", "cors_origin", "webhook", "avatar", "image", "input",
)  # fmt: skip


@pytest.fixture(scope="module")
def http(stack: Stack) -> Iterator[httpx.Client]:
    # Less than what is slept in some of them.
    with httpx.Client(base_url=functions_url(stack), timeout=15) as client:
        yield client


def allowed(callers: Callers, operation: Operation) -> str | None:
    tokens = callers.tokens(operation)
    return tokens.get("admin", next(iter(tokens.values())))


def test_texts_that_mean_something_elsewhere(
    http: httpx.Client, callers: Callers, dice: random.Random, thorough: bool
) -> None:
    cases = [
        (operation, place, value)
        for operation in OPERATIONS
        for place in texts_of(operation)
        for value in SQL + TEMPLATES
    ]
    cases = cases if thorough else dice.sample(cases, 150)
    for operation, place, value in cases:
        token = allowed(callers, operation)
        # Each their own account: most would be the first's second.
        fresh = {"email": f"{uuid.uuid4().hex}@example.com"} if operation.function == "register" else {}
        fresh = {} if place == ("body", "email") else fresh
        answer = send(http, operation, token, place=place, value=value, extra=dict(fresh))
        assert answer.status_code < 500, (name_of(operation), place, value, answer.text)
        assert "Set-Cookie" not in answer.headers
        if place == ("body", "name") and answer.status_code in (200, 201):
            user = answer.json().get("user", answer.json())
            assert user["name"] == value.strip(), "it comes back as it was"
    tried("texts that mean something elsewhere", tries=len(cases), held=len(cases))


def test_what_people_call_things_stays_what_it_is(callers: Callers, make: Factory) -> None:
    """Kept and given back as it was, by list-videos, manage-video and account."""
    admin = make.client(callers.guest("admin").token)
    for value in (*SQL, *TEMPLATES):
        title = value.replace("\x00", "").strip()[:200] or "x"
        film = make.video(title="A film", level=0)
        changed = admin.call(
            "PATCH",
            "manage-video",
            params={"video_id": str(film)},
            json={"title": title, "description": title},
        )
        assert changed.status_code == 200, changed.text
        expected = changed.json()["video"]["title"]
        assert (expected, changed.json()["video"]["description"]) == (expected, title)
        shown = make.client().get("list-videos", limit=1).json()["videos"][0]
        assert (shown["id"], shown["title"], shown["description"]) == (str(film), expected, title)
        assert expected.strip() == expected
        assert expected == title or not title.isprintable()
    tried("titles that mean something elsewhere", tries=len(SQL + TEMPLATES), held=len(SQL + TEMPLATES))


def test_searches(make: Factory) -> None:
    """Whatever is searched for is words; none of it means more than the words it has."""
    word = f"z{uuid.uuid4().hex[:10]}"
    film = str(make.video(title=f"{word} one", level=0))
    client = make.client()
    for value in [*SEARCHES, *SQL]:
        for query in (value, f"{word} {value}", f"{value}{word}"):
            answer = client.get("list-videos", q=query[:200], limit=5)
            assert answer.status_code == 200, (query, answer.text)
    for value in ("%", "_", "*", "' OR 1=1 --", "!zzz"):
        found = client.get("list-videos", q=f"{value} qqqqxxxx", limit=100).json()["videos"]
        assert found == [], value
    assert [video["id"] for video in client.get("list-videos", q=word).json()["videos"]] == [film]
    number = 3 * len([*SEARCHES, *SQL]) + 6
    tried("searches", tries=number, held=number)


EVIL = "elsewhere.example"
FORGED = {
    "Host": EVIL,
    "X-Forwarded-Host": EVIL,
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Prefix": f"//{EVIL}",
    "X-Original-URL": "/account",
    "X-Rewrite-URL": "/account",
    "Forwarded": f"host={EVIL};proto=http",
    "Origin": f"https://{EVIL}",
    "Referer": f"https://{EVIL}/",
    "X-HTTP-Method-Override": "DELETE",
}


def test_nobody_is_sent_elsewhere(http: httpx.Client, stack: Stack, callers: Callers, make: Factory) -> None:
    """By no header, and by no field, for there is none that takes an address."""
    tries = 0
    for operation in OPERATIONS:
        answer = send(http, operation, allowed(callers, operation), headers=FORGED)
        tries += 1
        assert answer.status_code < 500, answer.text
        assert EVIL not in answer.text + str(answer.headers), (name_of(operation), answer.text)
        assert "Location" not in answer.headers
        for name in RETURNS if operation.body is not None else ():
            answer = send(http, operation, allowed(callers, operation), extra={name: f"https://{EVIL}/"})
            tries += 1
            assert answer.status_code in (403, 422), (name_of(operation), name, answer.text)
    buyer = make.person()
    page = buyer.api.post("create-checkout", {"plan": "basic"}, headers=FORGED).json()
    told = make.stripe("GET", f"checkout/sessions/{page['session_id']}")
    app = stack.settings.base_url
    assert told["success_url"].startswith(f"{app}/")
    assert told["cancel_url"].startswith(f"{app}/")
    asked = buyer.api.post("reset-password", {"email": buyer.email}, headers=FORGED)
    assert asked.status_code == 202
    for mail in (Mailbox(app).newest(buyer.email, 2), Mailbox(app).of(buyer.email)[-1]):
        assert EVIL not in str(mail)
        assert f"{app}/" in mail["text"]
    tried("addresses to be sent to", tries=tries + 2, held=tries + 2)


class Listener:
    """Counts who calls."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/x"
        self.calls = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.calls += 1
            connection.close()

    def close(self) -> None:
        self._socket.close()


def test_nothing_of_ours_goes_where_a_request_says(
    http: httpx.Client, callers: Callers, environment: dict[str, str]
) -> None:
    listener, tries = Listener(), 0
    headers = dict.fromkeys(
        ("Origin", "Referer", "X-Forwarded-For", "Forwarded", "traceparent"), listener.url
    )
    for operation in OPERATIONS:
        for place in (None, *texts_of(operation)):
            send(
                http, operation, allowed(callers, operation), place=place, value=listener.url, headers=headers
            )
            tries += 1
    for function in ("stripe-webhook", "mux-webhook", "cloudflare-webhook"):
        told: dict[str, Any] = dict.fromkeys(
            ("id", "type", "url", "uid", "thumbnail", "preview", "creator", "related_object"), listener.url
        )
        told |= {"data": {"id": listener.url, "object": {"id": listener.url, "url": listener.url}}}
        body = httpx.Request("POST", "http://x", json=told | (BODIES[f"POST {function}"] or {})).content
        http.post(f"/{function}", content=body, headers=signatures(environment, function, body))
        tries += 1
    assert [operation for operation in OPERATIONS if operation.who is Who.SERVICE], "machines are asked too"
    assert listener.calls == 0
    # It does count.
    with pytest.raises(httpx.HTTPError):
        httpx.get(listener.url)
    assert listener.calls == 1
    listener.close()
    tried("addresses of others to call", tries=tries, held=tries)
