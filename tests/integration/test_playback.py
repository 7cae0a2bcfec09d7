"""get-playback over HTTP: every refusal, and URLs that die when they should."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from sqlalchemy import select, update

from lib.database.engine import Database
from lib.database.schema import playback_sessions, sessions
from tests.api import Api, refused
from tests.factories import Factory, Person

SLACK = timedelta(minutes=30)
MOST = timedelta(seconds=21600)
# Times are told to the second.
SECOND = timedelta(seconds=1)


@pytest.fixture
def viewer(make: Factory) -> Person:
    """Somebody with access to level 1, on two screens."""
    person = make.person()
    make.entitle(person)
    return person


def ask(person: Person, video_id: object, **query: Any) -> httpx.Response:
    return person.api.get("get-playback", video_id=video_id, **query)


def opened(person: Person, video_id: object, **query: Any) -> dict[str, Any]:
    response = ask(person, video_id, **query)
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    found: dict[str, Any] = response.json()
    return found


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def expiries(body: dict[str, Any]) -> set[int]:
    """`exp` of all its tokens."""
    return {
        jwt.decode(token, options={"verify_signature": False})["exp"]
        for token in body["tokens"].values()
        if token is not None
    }


# -- who, what, when --------------------------------------------------------------------------------------


def test_a_subscriber_gets_urls(viewer: Person, make: Factory) -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    make.entitle(viewer, until=until)
    film = make.video(duration=600.0)
    body = opened(viewer, film)
    assert (body["video_id"], body["provider"], body["playback_id"]) == (
        str(film),
        "mux",
        f"playback-{film}",
    )
    assert body["position"] == 0
    entitlement = body["entitlement"]
    assert (entitlement["plan"], entitlement["reason"]) == ("basic", "subscription")
    assert moment(entitlement["until"]) == until


def test_without_a_good_token(api: Api, make: Factory, viewer: Person) -> None:
    film = make.video(level=0)
    assert refused(api.get("get-playback", video_id=film), 401, "invalid_token")
    bad = make.client(f"{viewer.api.token}x").get("get-playback", video_id=film)
    refused(bad, 401, "invalid_token")
    assert bad.headers["www-authenticate"].startswith("Bearer")
    refused(api.get("get-playback"), 401, "invalid_token")


def test_a_login_that_was_ended_plays_no_more(viewer: Person, make: Factory, database: Database) -> None:
    film, elsewhere = make.video(), make.login(viewer.email)
    opened(viewer, film)
    session_id = jwt.decode(viewer.api.token or "", options={"verify_signature": False})["sid"]
    with database.transaction() as tx:
        tx.execute(
            update(sessions)
            .where(sessions.c.id == uuid.UUID(session_id))
            .values(revoked_at=datetime.now(UTC))
        )
    refused(ask(viewer, film), 401, "invalid_token")
    opened(elsewhere, film)


def test_logging_out_ends_it_at_once(viewer: Person, make: Factory) -> None:
    film = make.video()
    opened(viewer, film)
    assert viewer.api.post("logout").status_code == 204
    refused(ask(viewer, film), 401, "invalid_token")


def test_a_question_without_a_video(viewer: Person) -> None:
    for query in ({}, {"video_id": ""}):
        problem = refused(viewer.api.get("get-playback", **query), 422, "invalid_request")
        assert [(error["field"], error["code"]) for error in problem["errors"]] == [("video_id", "required")]


def test_videos_that_are_not_there(viewer: Person, make: Factory) -> None:
    unknown = [uuid.uuid4(), "nonsense", "' OR 1=1", "\x00", uuid.uuid4().hex, f"{{{uuid.uuid4()}}}"]
    for video_id in [*unknown, make.video(published=False), make.video(status="removed")]:
        refused(ask(viewer, video_id), 404, "video_not_found")


@pytest.mark.parametrize(
    ("right", "reason"),
    [
        (None, "none"),
        ({"level": 0, "plan": None, "reason": "canceled", "until": None}, "canceled"),
        ({"level": 0, "plan": None, "reason": "refunded", "until": None}, "refunded"),
        ({"until": datetime(2026, 1, 1, tzinfo=UTC)}, "expired"),
        ({"until": datetime(2026, 1, 1, tzinfo=UTC), "reason": "grace"}, "payment_failed"),
    ],
)
def test_no_access(make: Factory, right: dict[str, Any] | None, reason: str) -> None:
    person = make.person()
    if right:
        make.entitle(person, **right)
    response = ask(person, make.video())
    assert refused(response, 402, "subscription_required")["reason"] == reason
    assert response.headers["cache-control"] == "no-store"
    assert opened(person, make.video(level=0))["entitlement"] == {
        "plan": None,
        "reason": "free",
        "until": None,
    }


def test_access_that_ends_ends_at_the_next_question(viewer: Person, make: Factory) -> None:
    film = make.video()
    opened(viewer, film)
    make.entitle(viewer, until=datetime.now(UTC))
    assert refused(ask(viewer, film), 402, "subscription_required")["reason"] == "expired"
    make.entitle(viewer)
    opened(viewer, film)


def test_a_higher_plan(viewer: Person, make: Factory) -> None:
    film = make.video(level=2)
    refused(ask(viewer, film), 403, "plan_upgrade_required")
    make.entitle(viewer, plan="premium", level=2)
    assert opened(viewer, film)["entitlement"]["plan"] == "premium"


@pytest.mark.parametrize("status", ["waiting", "processing", "errored"])
def test_a_video_that_is_not_ready(viewer: Person, make: Factory, status: str) -> None:
    refused(ask(viewer, make.video(status=status)), 409, "video_not_ready")


def test_staff_need_no_plan(make: Factory) -> None:
    body = opened(make.admin(), make.video(level=9, published=False))
    assert body["entitlement"] == {"plan": None, "reason": "staff", "until": None}


def test_only_gets(viewer: Person) -> None:
    refused(viewer.api.post("get-playback"), 405, "method_not_allowed")


# -- streams ----------------------------------------------------------------------------------------------


def test_the_same_login_and_film_is_the_same_session(viewer: Person, make: Factory) -> None:
    film = make.video()
    first, again = opened(viewer, film), opened(viewer, film)
    assert first["session_id"] == again["session_id"]
    elsewhere = make.login(viewer.email)
    assert opened(elsewhere, film)["session_id"] != first["session_id"]
    claims = jwt.decode(again["tokens"]["playback"], options={"verify_signature": False})
    assert claims["custom"] == {"session_id": first["session_id"]}, "to trace, and nobody's name"


def test_one_stream_too_many(viewer: Person, make: Factory) -> None:
    phone = make.login(viewer.email, device_name="Phone")
    films = [make.video(title="One"), make.video(title="Two")]
    playing = [opened(viewer, films[0]), opened(phone, films[1])]
    third = make.login(viewer.email)
    response = ask(third, films[0])
    problem = refused(response, 429, "too_many_streams")
    assert 1 <= int(response.headers["retry-after"]) <= 90
    assert [(each["session_id"], each["title"], each["device_name"]) for each in problem["playing"]] == [
        (playing[0]["session_id"], "One", None),
        (playing[1]["session_id"], "Two", "Phone"),
    ]
    assert all(moment(each["since"]) <= datetime.now(UTC) for each in problem["playing"])

    refused(ask(third, films[0], takeover="nonsense"), 429, "too_many_streams")
    opened(third, films[0], takeover=playing[1]["session_id"])
    refused(ask(phone, films[1]), 429, "too_many_streams")
    opened(viewer, films[0])


def test_a_login_that_was_ended_counts_no_more(viewer: Person, make: Factory) -> None:
    make.entitle(viewer, streams=1)
    film, phone = make.video(), make.login(viewer.email)
    opened(phone, film)
    refused(ask(viewer, film), 429, "too_many_streams")
    assert phone.api.post("logout").status_code == 204
    opened(viewer, film)


# -- how long ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("duration", "position", "right", "life"),
    [
        (600.0, 0, None, timedelta(seconds=600) + SLACK),
        (600.0, 500, None, timedelta(seconds=100) + SLACK),
        (600.0, 5000, None, SLACK),
        (90_000.0, 0, None, MOST),
        (90_000.0, 85_000, None, timedelta(seconds=5000) + SLACK),
        (90_000.0, 0, timedelta(hours=7), MOST),
        # The right ends first.
        (600.0, 0, timedelta(minutes=1), None),
        (600.0, 0, timedelta(minutes=39), None),
        (90_000.0, 0, timedelta(hours=5), None),
    ],
)
def test_urls_live_as_long_as_the_film_and_the_right_to_it(
    viewer: Person,
    make: Factory,
    database: Database,
    duration: float,
    position: float,
    right: timedelta | None,
    life: timedelta | None,
) -> None:
    until = datetime.now(UTC) + (right or timedelta(days=30))
    make.entitle(viewer, until=until)
    film = make.video(duration=duration)
    session_id = opened(viewer, film)["session_id"]
    with database.transaction() as tx:
        tx.execute(
            update(playback_sessions)
            .where(playback_sessions.c.id == uuid.UUID(session_id))
            .values(position=position)
        )
    before = datetime.now(UTC)
    body = opened(viewer, film)
    after = datetime.now(UTC)
    expires_at, refresh_after = moment(body["expires_at"]), moment(body["refresh_after"])
    assert body["position"] == position
    if life is None:
        assert until - (until - before) / 16 - SECOND < expires_at <= until
    else:
        # A little less, so that many viewers' pictures are signed for the same end.
        assert before + life * 15 / 16 - SECOND < expires_at <= after + life
    assert before - SECOND < refresh_after < expires_at
    assert expiries(body) == {int(expires_at.timestamp())}


def test_a_free_film_does_not_end_with_the_plan(viewer: Person, make: Factory) -> None:
    make.entitle(viewer, until=datetime.now(UTC) + timedelta(seconds=20))
    body = opened(viewer, make.video(level=0, duration=600.0))
    assert moment(body["expires_at"]) > datetime.now(UTC) + timedelta(minutes=20)
    assert body["entitlement"]["until"] is None


def test_the_lease_is_short_whatever_the_urls(viewer: Person, make: Factory, database: Database) -> None:
    body = opened(viewer, make.video(duration=7200.0))
    where = playback_sessions.c.id == uuid.UUID(body["session_id"])
    with database.transaction() as tx:
        ends = tx.execute(select(playback_sessions.c.expires_at).where(where)).scalar_one()
    left = ends - datetime.now(UTC)
    assert timedelta(seconds=60) < left <= timedelta(seconds=90)


@pytest.mark.parametrize("client", ["web", "native", "cast"])
def test_what_plays_it_may_be_said(make: Factory, client: str) -> None:
    viewer, film = make.person(), make.video(level=0)
    found = viewer.api.get("get-playback", video_id=str(film), client=client).json()
    beat = {"session_id": found["session_id"], "position": 1, "client": client}
    assert viewer.api.post("heartbeat", beat).status_code == 200
    for body in (beat | {"client": "toaster"}, beat | {"client": None}):
        refused(viewer.api.post("heartbeat", body), 422, "invalid_request")
    problem = refused(
        viewer.api.get("get-playback", video_id=str(film), client="toaster"), 422, "invalid_request"
    )
    assert [error["field"] for error in problem["errors"]] == ["client"]
