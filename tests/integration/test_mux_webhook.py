"""mux-webhook: only Mux is heard, and whatever the order of what it says, videos move forward only."""

import hashlib
import hmac
import itertools
import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Row, func, insert, select, update

from lib.database.engine import Database
from lib.database.schema import videos
from lib.errors import InvalidSignatureError, MalformedRequestError
from lib.video.mux_events import MuxEvents
from lib.web.ports import SystemClock
from tests.api import Api, refused

SECRET = "secret-of-the-tests"


def signature(body: bytes, secret: str, at: float | None = None) -> str:
    moment = int(time.time() if at is None else at)
    return f"t={moment},v1={digest(body, secret, moment)}"


def digest(body: bytes, secret: str, moment: int) -> str:
    return hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()


def body_of(type_: str, data: Any) -> bytes:
    return json.dumps({"type": type_, "id": str(uuid.uuid4()), "data": data}).encode()


class Film:
    """A video that waits for its file, and what Mux would say about it."""

    def __init__(self, database: Database, *, provider: str = "mux") -> None:
        self.database = database
        self.id = uuid.uuid4()
        self.asset_id = f"asset-{self.id}"
        self.playback_id = f"playback-{self.id}"
        self.upload_id = f"upload-{self.id}"
        with database.transaction() as tx:
            tx.execute(
                insert(videos).values(
                    id=self.id,
                    title="A film",
                    level=1,
                    published=True,
                    provider=provider,
                    upload_id=self.upload_id,
                )
            )

    @property
    def row(self) -> Row[Any]:
        with self.database.transaction() as tx:
            return tx.execute(select(videos).where(videos.c.id == self.id)).one()

    def upload(self, type_: str, **facts: Any) -> bytes:
        settings = {"passthrough": str(self.id), "playback_policies": ["signed"]}
        return body_of(
            f"video.upload.{type_}", {"id": self.upload_id, "new_asset_settings": settings} | facts
        )

    def asset(self, type_: str, **facts: Any) -> bytes:
        data = {
            "id": self.asset_id,
            "upload_id": self.upload_id,
            "passthrough": str(self.id),
            "playback_ids": [{"id": self.playback_id, "policy": "signed"}],
        }
        return body_of(f"video.asset.{type_}", data | facts)

    def ready(self, **facts: Any) -> bytes:
        return self.asset("ready", **{"status": "ready", "duration": 23.9, **facts})


@pytest.fixture(scope="module")
def events(database: Database) -> MuxEvents:
    """The receiver, without HTTP."""
    return MuxEvents(database, SystemClock(), (SECRET,))


def tell(events: MuxEvents, body: bytes) -> bool:
    return events.receive(body, signature(body, SECRET))[1]


# -- over HTTP --------------------------------------------------------------------------------------------


def post(api: Api, body: bytes, header: str | None) -> httpx.Response:
    headers = {"Content-Type": "application/json"} | ({} if header is None else {"mux-signature": header})
    return api.call("POST", "mux-webhook", content=body, headers=headers)


@pytest.fixture
def secret(environment: dict[str, str]) -> str:
    return environment["MUX_WEBHOOK_SECRETS"]


@pytest.mark.parametrize("seconds", [0, -290, 290])
def test_mux_is_heard(api: Api, database: Database, secret: str, seconds: int) -> None:
    film = Film(database)
    body = film.ready()
    response = post(api, body, signature(body, secret, time.time() + seconds))
    assert (response.status_code, response.json()) == (200, {"received": True})
    found = film.row
    assert (found.status, found.asset_id, found.playback_id) == ("ready", film.asset_id, film.playback_id)
    assert found.duration == 23.9


def test_one_signature_of_several_is_enough(api: Api, database: Database, secret: str) -> None:
    film = Film(database)
    body, now = film.ready(), int(time.time())
    header = f"t={now},v1={digest(body, 'another', now)},v0=x,v1={digest(body, secret, now)}"
    assert post(api, body, header).status_code == 200
    assert film.row.status == "ready"


def test_one_secret_of_several_is_enough(database: Database) -> None:
    film = Film(database)
    events = MuxEvents(database, SystemClock(), ("the-next", SECRET))
    assert tell(events, film.ready())


def test_nobody_else_is_heard(api: Api, database: Database, secret: str) -> None:
    film = Film(database)
    body = film.ready()
    now = int(time.time())
    good = digest(body, secret, now)
    headers = [
        None,
        "",
        "nonsense",
        good,
        f"v1={good}",
        f"t={now}",
        f"t={now},v1=",
        f"t={now},v0={good}",
        f"t={now},t={now},v1={good}",
        f"t={now + 1},v1={good}",
        f"t=-{now},v1={good}",
        f"t={'9' * 400},v1={good}",
        f"t={now},v1={good[:-1]}{'0' if good[-1] != '0' else '1'}",
        f"t={now},v1={digest(body, 'another', now)}",
        f"t={now},v1={digest(body + b' ', secret, now)}",
        signature(body, secret, now - 310),
        signature(body, secret, now + 310),
        signature(body, secret, now + 86400),
    ]
    for header in headers:
        refused(post(api, body, header), 400, "invalid_signature")
    refused(post(api, film.ready(duration=1.0), f"t={now},v1={good}"), 400, "invalid_signature")
    assert film.row.status == "waiting"
    assert post(api, body, f"t={now},v1={good}").status_code == 200


def test_a_signed_body_that_is_no_event(api: Api, secret: str) -> None:
    for body in (b"", b"{", b"[]", b"7", b"{}", b'{"type": "video.asset.ready"}', b"\xff", b"[" * 20000):
        refused(post(api, body, signature(body, secret)), 400, "malformed_request")


def test_too_large_a_body(api: Api, secret: str) -> None:
    body = b" " * (1 << 20) + b"{}"
    refused(post(api, body, signature(body, secret)), 413, "body_too_large")


def test_only_posts(api: Api) -> None:
    refused(api.get("mux-webhook"), 405, "method_not_allowed")


# -- in any order -----------------------------------------------------------------------------------------

RANK = {"waiting": 0, "processing": 1, "ready": 2, "errored": 2, "removed": 3}
UPLOADED = ["upload.created", "upload.asset_created", "asset.created"]
STORIES = {
    "ready": [*UPLOADED, "asset.ready", "asset.updated", "asset.static_renditions.ready"],
    "errored": [*UPLOADED, "asset.errored"],
    "removed": [*UPLOADED, "asset.ready", "asset.deleted"],
    "cancelled": ["upload.created", "upload.cancelled"],
}
ENDS = {"cancelled": "errored"}


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A story and the order its events arrive in; each comes once at least, some more often."""
    story = draw(st.sampled_from(sorted(STORIES)))
    told = STORIES[story]
    again = draw(st.lists(st.sampled_from(told), max_size=4))
    return story, list(draw(st.permutations(told + again)))


@settings(max_examples=60, deadline=None)
@given(delivered=deliveries())
@example(delivered=("ready", STORIES["ready"]))
@example(delivered=("ready", STORIES["ready"][::-1]))
@example(delivered=("removed", STORIES["removed"][::-1]))
def test_whatever_the_order_it_moves_forward_to_the_same_end(
    database: Database, events: MuxEvents, delivered: tuple[str, list[str]]
) -> None:
    story, order = delivered
    film, before = Film(database), "waiting"
    for name in order:
        about, _, type_ = name.partition(".")
        if name == "asset.ready":
            body = film.ready()
        elif about == "upload":
            body = film.upload(type_, asset_id=film.asset_id if type_ == "asset_created" else None)
        else:
            body = film.asset(type_, errors={"type": "invalid_input", "messages": ["Not a film"]})
        moved = tell(events, body)
        after = film.row.status
        assert (RANK[after] > RANK[before]) == moved
        assert moved or after == before
        before = after
    found = film.row
    assert found.status == ENDS.get(story, story)
    if story == "ready":
        assert (found.asset_id, found.playback_id, found.duration) == (film.asset_id, film.playback_id, 23.9)
    if story == "errored":
        assert found.error == "Not a film"


def test_every_event_twice_changes_once(database: Database, events: MuxEvents) -> None:
    film = Film(database)
    told = [film.upload("asset_created", asset_id=film.asset_id), film.ready(), film.asset("deleted")]
    moved = [tell(events, body) for body in itertools.chain.from_iterable(zip(told, told, strict=True))]
    assert moved == [True, False] * 3


def test_what_was_ready_once_no_late_failure_takes_back(database: Database, events: MuxEvents) -> None:
    film = Film(database)
    failures = [film.upload("cancelled"), film.upload("errored"), film.asset("errored")]
    tell(events, film.ready())
    assert [tell(events, body) for body in failures] == [False] * 3
    assert film.row.status == "ready"
    tell(events, film.asset("deleted"))
    assert [tell(events, body) for body in [*failures, film.ready()]] == [False] * 4
    assert film.row.status == "removed"


def test_mux_may_tell_of_what_is_not_ours(database: Database, events: MuxEvents) -> None:
    film, before = Film(database), Film(database)
    for passthrough in (None, "", "somebody-else's", str(uuid.uuid4()), f" {film.id}", 7, [str(film.id)]):
        assert not tell(events, film.ready(passthrough=passthrough))
        theirs = {"new_asset_settings": {"passthrough": passthrough}, "asset_id": "theirs"}
        assert not tell(events, film.upload("asset_created", **theirs))
    for body in (
        film.upload("asset_created", new_asset_settings=None),
        body_of("video.live_stream.active", {"id": "x", "passthrough": str(film.id)}),
        body_of("ping", {}),
    ):
        assert not tell(events, body)
    assert (film.row.status, before.row.status) == ("waiting", "waiting")


def test_an_upload_or_asset_that_only_bears_the_name_moves_nothing(
    database: Database, events: MuxEvents
) -> None:
    """An asset of another system in the same environment, an older upload, a copy made by hand."""
    film = Film(database)
    for upload_id in ("another", None, 7):
        assert not tell(events, film.upload("asset_created", id=upload_id, asset_id="theirs"))
        assert not tell(events, film.upload("cancelled", id=upload_id))
        assert not tell(events, film.ready(upload_id=upload_id))
        assert not tell(events, film.asset("errored", upload_id=upload_id))
        assert not tell(events, film.asset("deleted", upload_id=upload_id))
    assert (film.row.status, film.row.asset_id) == ("waiting", None)
    assert tell(events, film.upload("asset_created", asset_id=film.asset_id))
    assert tell(events, film.ready(upload_id=None)), "the asset itself is known by now"


def test_another_providers_video_is_not_mux_to_move(database: Database, events: MuxEvents) -> None:
    film = Film(database, provider="cloudflare")
    assert not tell(events, film.ready())
    assert film.row.status == "waiting"


@pytest.mark.parametrize("type_", ["ready", "errored", "deleted"])
def test_another_asset_changes_nothing(database: Database, events: MuxEvents, type_: str) -> None:
    film = Film(database)
    assert tell(events, film.upload("asset_created", asset_id=film.asset_id))
    facts = {"id": "another", "duration": 3.0, "playback_ids": [{"id": "theirs", "policy": "signed"}]}
    assert not tell(events, film.asset(type_, **facts))
    assert tell(events, film.ready())
    assert not tell(events, film.asset(type_, **facts))
    found = film.row
    assert (found.status, found.asset_id, found.playback_id) == ("ready", film.asset_id, film.playback_id)


@pytest.mark.parametrize("type_", ["created", "ready", "errored", "deleted"])
def test_of_a_track_that_came_or_went_mux_is_asked(database: Database, events: MuxEvents, type_: str) -> None:
    """What it tells of one track is no list of them, and may come in any order."""
    film, other = Film(database), Film(database)
    for each in (film, other):
        tell(events, each.ready())
        with database.transaction() as tx:
            tx.execute(update(videos).where(videos.c.id == each.id).values(checked_at=func.now()))
    track = {"id": "t", "type": "text", "text_type": "subtitles", "language_code": "en", "status": type_}
    heard = type_ in ("ready", "deleted")
    assert tell(events, body_of(f"video.asset.track.{type_}", track | {"asset_id": film.asset_id})) == heard
    assert (film.row.checked_at is None) == heard
    assert other.row.checked_at is not None
    assert not tell(events, body_of(f"video.asset.track.{type_}", track | {"asset_id": "theirs"}))


def test_a_track_of_nothing(events: MuxEvents) -> None:
    for asset_id in (None, 7, "", "nul\x00"):
        with pytest.raises(MalformedRequestError):
            tell(events, body_of("video.asset.track.ready", {"id": "t", "asset_id": asset_id}))


def test_the_playback_id_is_chosen_by_its_policy(database: Database, events: MuxEvents) -> None:
    film = Film(database)
    ids = [
        {"id": f"public-{film.id}", "policy": "public"},
        {"id": film.playback_id, "policy": "signed"},
        {"id": f"drm-{film.id}", "policy": "drm"},
    ]
    assert tell(events, film.ready(playback_ids=ids))
    assert film.row.playback_id == film.playback_id


@pytest.mark.parametrize("ids", [[], None, [{"id": "public", "policy": "public"}]])
def test_an_asset_that_anybody_could_watch_is_not_shown(
    database: Database, events: MuxEvents, ids: Any
) -> None:
    film = Film(database)
    assert tell(events, film.ready(playback_ids=ids))
    found = film.row
    assert (found.status, found.playback_id) == ("errored", None)
    assert "signed" in found.error


@pytest.mark.parametrize(
    "facts",
    [
        {"duration": None},
        {"duration": "long"},
        {"duration": 0},
        {"duration": -1},
        {"duration": float("nan")},
        {"duration": float("inf")},
        {"duration": 10**400},
        {"playback_ids": "signed"},
        {"playback_ids": [None]},
        {"playback_ids": [{"policy": "signed"}]},
        {"playback_ids": [{"id": 7, "policy": "signed"}]},
        {"playback_ids": [{"id": "nul\x00", "policy": "signed"}]},
        {"id": None},
        {"id": 7},
        {"id": ["x"]},
        {"id": "nul\x00"},
    ],
)
def test_a_ready_that_lacks_what_makes_it_playable(
    database: Database, events: MuxEvents, facts: dict[str, Any]
) -> None:
    film = Film(database)
    with pytest.raises(MalformedRequestError):
        tell(events, film.ready(**facts))
    assert film.row.status == "waiting"


def test_an_errored_asset_says_why(database: Database, events: MuxEvents) -> None:
    for errors, expected in (
        ({"type": "invalid_input", "messages": ["No video track", "x"]}, "No video track"),
        ({"messages": ["y" * 1000]}, "y" * 500),
        ({"messages": ["nul\x00"]}, "nul"),
        ({"messages": []}, "The file could not be processed"),
        ({}, "The file could not be processed"),
        (None, "The file could not be processed"),
    ):
        film = Film(database)
        assert tell(events, film.asset("errored", errors=errors))
        found = film.row
        assert (found.status, found.error) == ("errored", expected)


def test_a_clock_that_lies_is_not_believed(database: Database) -> None:
    class Ahead:
        def now(self) -> datetime:
            return datetime.now(UTC) + timedelta(minutes=6)

    body = Film(database).ready()
    with pytest.raises(InvalidSignatureError):
        MuxEvents(database, Ahead(), (SECRET,)).receive(body, signature(body, SECRET))
