"""What is written down about requests: one line each, and nothing that must stay secret."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, text

from infra.local.supervisor import ADMIN_EMAIL, Stack
from lib.database.engine import Database
from lib.database.schema import mails, metadata
from tests.factories import PASSWORD, Factory, wait_for
from tests.mailbox import Mailbox, token_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def lines_of(stack: Stack) -> list[dict[str, Any]]:
    """Everything the functions logged so far, as JSON; lines of other forms are gunicorn's."""
    text_ = (stack.data_dir / "logs" / "functions.log").read_text()
    return [json.loads(line) for line in text_.splitlines() if line.startswith("{")]


def line_of(stack: Stack, response: httpx.Response) -> dict[str, Any]:
    """The one line of this request."""
    request_id = response.headers["X-Request-Id"]

    def found() -> list[dict[str, Any]]:
        return [line for line in lines_of(stack) if line.get("request_id") == request_id]

    (line,) = wait_for(found)
    return line


def test_a_line_for_each_request(stack: Stack, make: Factory) -> None:
    person = make.person()
    video = make.video(level=0)
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    cases = [
        (person.api.call("GET", "account", headers=headers), "account", "INFO", {"user_id": str(person.id)}),
        (
            person.api.call("GET", "get-playback", params={"video_id": str(video)}, headers=headers),
            "get-playback",
            "INFO",
            {"user_id": str(person.id), "video_id": str(video)},
        ),
        (
            person.api.call("POST", "upload-asset", json={"title": "x"}, headers=headers),
            "upload-asset",
            "NOTICE",
            {"code": "forbidden"},
        ),
        (
            make.client().call("POST", "login", json={}, headers=headers),
            "login",
            "NOTICE",
            {"code": "invalid_request"},
        ),
        (make.client().call("GET", "list-plans", headers=headers), "list-plans", "INFO", {}),
    ]
    for response, function, severity, more in cases:
        line = line_of(stack, response)
        assert (line["function"], line["severity"], line["status"]) == (
            function,
            severity,
            response.status_code,
        )
        assert line["message"] == f"{function} {response.status_code}"
        assert line["method"] == response.request.method
        assert 0 < line["duration_ms"] < 30_000
        assert line["logging.googleapis.com/trace"] == TRACE
        asks = function in ("account", "get-playback", "upload-asset")
        assert (line["round_trips"] > 0) is asks
        assert more.items() <= line.items()
        if response.status_code >= 400:
            assert response.json()["request_id"] == line["request_id"]


def test_without_a_trace_there_is_none(stack: Stack, make: Factory) -> None:
    line = line_of(stack, make.client().get("list-plans"))
    assert "logging.googleapis.com/trace" not in line


def test_preflights_and_unknown_methods_are_logged_too(stack: Stack, make: Factory) -> None:
    http = make.client().http
    for method, status in (("OPTIONS", 204), ("PUT", 405)):
        line = line_of(stack, http.request(method, "/login"))
        assert (line["method"], line["status"], line["round_trips"]) == (method, status, 0)


@dataclass
class Talk:
    """What was said in a conversation that was full of secrets."""

    secrets: set[str] = field(default_factory=set)
    emails: set[str] = field(default_factory=set)


@pytest.fixture
def talk(stack: Stack, make: Factory) -> Talk:
    """Everything secret there is, sent to wherever it may go wrong."""
    said = Talk()

    def secret(kind: str) -> str:
        word = f"{kind}-{uuid.uuid4().hex}"
        said.secrets.add(word)
        return word

    def email() -> str:
        address = f"{uuid.uuid4().hex}@example.com"
        said.emails.add(address)
        return address

    password = secret("password")
    person = make.person(email=email(), password=password, name="A name")
    login = make.login(person.email, password, device_name="A device")
    said.emails.add(person.email)
    admin = make.admin()
    said.secrets |= {stack.settings.admin_password}
    for one in (person, login, admin):
        assert one.api.token is not None
        said.secrets |= {one.api.token, one.api.token.rpartition(".")[2], one.refresh_token}
    renewed = make.client().post("refresh", {"refresh_token": login.refresh_token}).json()
    said.secrets |= {renewed["access_token"], renewed["refresh_token"]}
    make.client().post("refresh", {"refresh_token": secret("refresh")})

    newer = secret("newer")
    body = {"password": newer, "current_password": password, "email": email()}
    assert person.api.call("PATCH", "account", json=body).status_code == 200
    person.api.call("PATCH", "account", json=body | {"current_password": secret("wrong current")})
    leaver_password = secret("leaver")
    leaver = make.person(email=email(), password=leaver_password, name="A leaver")
    said.secrets |= {str(leaver.api.token), leaver.refresh_token}
    leaver.api.call("DELETE", "account", json={"password": secret("wrong leaver")})
    leaving = make.login(leaver.email, leaver_password)
    said.secrets |= {str(leaving.api.token), leaving.refresh_token}
    assert leaving.api.call("DELETE", "account", json={"password": leaver_password}).status_code == 204

    stranger = make.client()
    stranger.post("login", {"email": person.email, "password": secret("wrong")})
    stranger.post("login", {"email": email(), "password": secret("unknown")})
    stranger.post("register", {"email": person.email, "password": secret("taken")})
    stranger.post(
        "register", {"email": email(), "password": secret("field"), secret("name"): secret("value")}
    )
    stranger.post("register", {"email": secret("no-address"), "password": "short"})
    http = stranger.http
    http.post("/login", content=f'{{"email": "{email()}", "password": "{secret("broken")}'.encode())
    http.post(f"/login?password={secret('query')}", json={"email": email()})
    http.get(f"/{secret('path')}")
    http.get(f"/login/{secret('below')}")
    http.get("/account", headers={"Authorization": f"Bearer {secret('token')}"})
    http.get("/account", headers={"Authorization": f"Basic {secret('basic')}", "Cookie": secret("cookie")})
    http.get("/account", headers={"User-Agent": secret("agent"), "Referer": secret("referer")})
    http.post("/stripe-webhook", content=secret("event"), headers={"Stripe-Signature": secret("signature")})
    http.post("/mux-webhook", content=secret("event"), headers={"mux-signature": secret("signature")})
    http.post("/process-task", json={}, headers={"Authorization": f"Bearer {secret('oidc')}"})

    playback = person.api.get("get-playback", video_id=make.video(level=0)).json()
    said.secrets |= set(filter(None, playback["tokens"].values()))
    for url in ("playback_url", "thumbnail_url", "storyboard_url"):
        httpx.get(playback[url], timeout=10, trust_env=False)
    upload = admin.api.post("upload-asset", {"title": "A film"})
    assert upload.status_code == 201, upload.text
    checkout = person.api.post("create-checkout", {"plan": "basic"})
    assert checkout.status_code == 201, checkout.text
    _mailed(stack, make, said)
    return said


def _mailed(stack: Stack, make: Factory, said: Talk) -> None:
    """Links, used and not; a mail that is refused, one that nobody gets; all of them settled."""
    stranger, mailbox, person = make.client(), Mailbox(stack.base_url), make.person()
    said.emails.add(person.email)
    said.secrets.add(token_of(mailbox.newest(person.email)))
    for number in (2, 3):
        stranger.post("reset-password", {"email": person.email})
        said.secrets.add(token_of(mailbox.newest(person.email, number)))
    token, password = token_of(mailbox.newest(person.email, 3)), f"new-{uuid.uuid4().hex}"
    assert stranger.post("reset-password", {"token": token, "password": password}).status_code == 204
    stranger.post("verify-email", {"token": f"made-up-{password}"})
    said.secrets.add(password)
    for answer in ("refuse", "take"):
        unknown = f"{uuid.uuid4().hex}@example.com"
        mailbox.answer(unknown, answer)
        if answer == "refuse":
            make.person(email=unknown)
        stranger.post("reset-password", {"email": unknown})
        said.emails.add(unknown)

    def settled() -> bool:
        with make.database.transaction() as tx:
            return tx.scalar(select(func.count()).where(mails.c.email.in_(said.emails))) == 0

    wait_for(settled)


def settings_secrets(stack: Stack) -> set[str]:
    """Everything secret in settings.json, private parts of keys one by one."""
    kept = json.loads((stack.data_dir / "settings.json").read_text())
    public = {"mux_token_id", "mux_signing_key_id", "oidc_key_id", "access_token_keys"}
    found = {value for name, value in kept.items() if name not in public}
    found |= {key["d"] for key in json.loads(kept["access_token_keys"])["keys"]}
    # A PEM's lines: somewhere it may be folded differently.
    return found | set(kept["oidc_private_key"].splitlines()[1:3])


def test_no_secret_in_any_log(stack: Stack, talk: Talk) -> None:
    logs = sorted((stack.data_dir / "logs").iterdir())
    assert {"functions.log", "gateway.log", "postgres.log", "sandbox.log"} <= {log.name for log in logs}
    for log in logs:
        written = log.read_text(errors="replace")
        found = [word for word in talk.secrets | settings_secrets(stack) | talk.emails if word in written]
        assert found == [], log.name
        assert PASSWORD not in written, log.name
        assert ADMIN_EMAIL not in written, log.name


def test_no_secret_in_any_table(stack: Stack, database: Database, talk: Talk) -> None:
    secrets = talk.secrets | settings_secrets(stack) | {PASSWORD}
    for table in metadata.sorted_tables:
        with database.transaction() as tx:
            tx.execute(text("SET LOCAL bytea_output = 'escape'"))
            rows = tx.execute(text(f'SELECT t::text FROM "{table.name}" t')).scalars().all()  # noqa: S608 - our names
        dump = "\n".join(rows)
        assert [word for word in secrets if word in dump] == [], table.name
        # An address to be is kept until its owner says so, and a mail's while it is on its way.
        if table.name not in {"users", "links", "mails"}:
            assert [address for address in talk.emails if address in dump] == [], table.name


def test_settings_are_their_owner_s_alone(stack: Stack) -> None:
    for name in ("settings.json", "functions.env"):
        path: Path = stack.data_dir / name
        assert path.stat().st_mode & 0o077 == 0, name


def test_lines_written_at_once_are_not_torn(stack: Stack, make: Factory) -> None:
    """Eight threads write to one file."""
    clients = [make.client() for _ in range(16)]
    with ThreadPoolExecutor(len(clients)) as pool:
        responses = [
            answer for _ in range(3) for answer in pool.map(lambda one: one.get("list-plans"), clients)
        ]
    wanted = {response.headers["X-Request-Id"] for response in responses}
    assert len(wanted) == 48
    wait_for(lambda: wanted <= {line.get("request_id") for line in lines_of(stack)})
