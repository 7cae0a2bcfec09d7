"""cloudflare-webhook: only Cloudflare is heard, and what it says moves its own videos forward, once."""

import hashlib
import hmac
import json
import time
import uuid
from typing import Any

import httpx
import pytest
from sqlalchemy import Row, insert, select

from lib.database.engine import Database
from lib.database.schema import videos
from lib.errors import MalformedRequestError
from lib.video.cloudflare_events import CloudflareEvents
from lib.web.ports import SystemClock
from tests.api import Api, refused

SECRET = "secret-of-the-tests"


def signature(body: bytes, secret: str, at: float | None = None) -> str:
    moment = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"time={moment},sig1={digest}"


class Film:
    """A video that waits for its file, and what Cloudflare would say about it."""

    def __init__(self, database: Database, *, provider: str = "cloudflare") -> None:
        self.database = database
        self.id = uuid.uuid4()
        self.uid = uuid.uuid4().hex
        row = {"title": "A film", "level": 1, "published": True, "provider": provider, "upload_id": self.uid}
        with database.transaction() as tx:
            tx.execute(insert(videos).values(id=self.id, **row))

    @property
    def row(self) -> Row[Any]:
        with self.database.transaction() as tx:
            return tx.execute(select(videos).where(videos.c.id == self.id)).one()

    def says(self, state: str = "ready", **facts: Any) -> bytes:
        status = {"state": state, "errorReasonCode": "", "errorReasonText": ""} | facts.pop("status", {})
        video = {
            "uid": self.uid,
            "creator": str(self.id),
            "readyToStream": state == "ready",
            "status": status,
            "requireSignedURLs": True,
            "duration": 23.9 if state == "ready" else -1,
            "modified": "2026-11-23T12:00:00Z",
        }
        kept = video | facts
        return json.dumps({name: value for name, value in kept.items() if value is not ...}).encode()


@pytest.fixture(scope="module")
def events(database: Database) -> CloudflareEvents:
    """The receiver, without HTTP."""
    return CloudflareEvents(database, SystemClock(), (SECRET,))


def tell(events: CloudflareEvents, body: bytes) -> bool:
    return events.receive(body, signature(body, SECRET))[1]


def post(api: Api, body: bytes, header: str | None) -> httpx.Response:
    headers = {"Content-Type": "application/json"} | ({} if header is None else {"Webhook-Signature": header})
    return api.call("POST", "cloudflare-webhook", content=body, headers=headers)


@pytest.fixture
def secret(environment: dict[str, str]) -> str:
    return environment["CLOUDFLARE_WEBHOOK_SECRETS"]


@pytest.mark.parametrize("seconds", [0, -290, 290])
def test_cloudflare_is_heard(api: Api, database: Database, secret: str, seconds: int) -> None:
    film = Film(database)
    body = film.says()
    response = post(api, body, signature(body, secret, time.time() + seconds))
    assert (response.status_code, response.json()) == (200, {"received": True})
    found = film.row
    assert (found.status, found.asset_id, found.playback_id) == ("ready", film.uid, film.uid)
    assert found.duration == 23.9


def test_nobody_else_is_heard(api: Api, database: Database, secret: str) -> None:
    film = Film(database)
    body, now = film.says(), int(time.time())
    good = signature(body, secret, now)
    headers = [
        None,
        "",
        good.replace("time=", "t=").replace("sig1=", "v1="),
        good.partition(",")[0],
        good.partition(",")[2],
        signature(body, "another", now),
        signature(body + b" ", secret, now),
        signature(body, secret, now - 310),
        signature(body, secret, now + 310),
    ]
    for header in headers:
        refused(post(api, body, header), 400, "invalid_signature")
    assert film.row.status == "waiting"
    assert post(api, body, good).status_code == 200


def test_a_signed_body_that_is_no_event(api: Api, secret: str) -> None:
    for body in (b"", b"{", b"[]", b"7", b"{}", b'{"uid": "x"}', b'{"uid": "x", "status": "ready"}', b"\xff"):
        refused(post(api, body, signature(body, secret)), 400, "malformed_request")


def test_what_comes_twice_changes_once(database: Database, events: CloudflareEvents) -> None:
    film = Film(database)
    assert [tell(events, film.says()) for _ in range(3)] == [True, False, False]
    assert not tell(events, film.says("error"))
    assert film.row.status == "ready"


def test_a_failure_says_why(database: Database, events: CloudflareEvents) -> None:
    for status, expected in (
        ({"errorReasonText": "Not a film", "errorReasonCode": "ERR_NON_VIDEO"}, "Not a film"),
        ({"errorReasonCode": "ERR_NON_VIDEO"}, "ERR_NON_VIDEO"),
        ({"errorReasonText": "y" * 1000}, "y" * 500),
        ({}, "The file could not be processed"),
    ):
        film = Film(database)
        assert tell(events, film.says("error", status=status))
        found = film.row
        assert (found.status, found.error) == ("errored", expected)


def test_cloudflare_may_tell_of_what_is_not_ours(database: Database, events: CloudflareEvents) -> None:
    film = Film(database)
    for creator in (None, "", "somebody-else's", str(uuid.uuid4()), f" {film.id}", 7, ...):
        assert not tell(events, film.says(creator=creator))
    assert not tell(events, film.says(uid=uuid.uuid4().hex)), "another video with our id upon it"
    assert film.row.status == "waiting"
    theirs = Film(database, provider="mux")
    assert not tell(events, theirs.says())
    assert theirs.row.status == "waiting"


def test_a_video_that_anybody_could_watch_is_not_shown(database: Database, events: CloudflareEvents) -> None:
    film = Film(database)
    assert tell(events, film.says(requireSignedURLs=False))
    found = film.row
    assert (found.status, found.playback_id) == ("errored", None)
    assert "token" in found.error


def test_where_it_is_not_said_who_may_watch_it_is_asked_later(
    database: Database, events: CloudflareEvents
) -> None:
    film = Film(database)
    assert tell(events, film.says(requireSignedURLs=...))
    assert film.row.status == "processing"
    assert tell(events, film.says())
    assert film.row.status == "ready"


@pytest.mark.parametrize(
    "facts",
    [{"duration": value} for value in (None, "long", 0, -1, float("nan"), 10**400, True)]
    + [{"uid": value} for value in (None, 7, "", "nul\x00", "x" * 300)]
    + [{"status": {"state": value}} for value in (None, 7, "live-inprogress")],
)
def test_a_ready_that_lacks_what_makes_it_playable(
    database: Database, events: CloudflareEvents, facts: dict[str, Any]
) -> None:
    film = Film(database)
    with pytest.raises(MalformedRequestError):
        tell(events, film.says(**facts))
    assert film.row.status == "waiting"
