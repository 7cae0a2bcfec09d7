"""manage-video: what an admin changes holds at once; what is deleted is gone for viewers, and later for good."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Row, select, update

from lib.database.schema import audit_log, videos
from tests.api import Api, refused
from tests.factories import Factory, Person, wait_for

TOMORROW = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)


@pytest.fixture
def admin(make: Factory) -> Person:
    return make.admin()


def manage(person: Person, method: str, video_id: object, **options: Any) -> httpx.Response:
    query = {"video_id": str(video_id)} | options.pop("query", {})
    return person.api.call(method, "manage-video", params=query, **options)


def change(person: Person, video_id: object, **changes: Any) -> httpx.Response:
    return manage(person, "PATCH", video_id, json=changes)


def row(make: Factory, video_id: uuid.UUID) -> Row[Any]:
    with make.database.transaction() as tx:
        return tx.execute(select(videos).where(videos.c.id == video_id)).one()


def test_an_admin_sees_all_of_it(make: Factory, admin: Person) -> None:
    film = make.video(title="A film", published=False)
    video = manage(admin, "GET", film).json()["video"]
    assert (video["id"], video["title"], video["status"], video["published"]) == (
        str(film),
        "A film",
        "ready",
        False,
    )
    assert video["thumbnail_url"].startswith("http")
    waiting = make.video(status="waiting", asset_id=None, playback_id=None, duration=None)
    video = manage(admin, "GET", waiting).json()["video"]
    assert (video["status"], video["duration"], video["thumbnail_url"]) == ("waiting", None, None)


def shelf(admin: Person, **query: Any) -> list[dict[str, Any]]:
    """All pages of what an admin sees without naming a film."""
    found: list[dict[str, Any]] = []
    while True:
        answer = admin.api.get("manage-video", **query)
        assert answer.status_code == 200, answer.text
        found += answer.json()["videos"]
        if answer.json()["next_cursor"] is None:
            return found
        query["cursor"] = answer.json()["next_cursor"]


def test_an_admin_sees_all_films_whatever_their_state(make: Factory, admin: Person) -> None:
    theirs, now = uuid.uuid4().hex, datetime.now(UTC)
    waiting: dict[str, Any] = {"asset_id": None, "playback_id": None, "duration": None}
    kinds: dict[str, dict[str, Any]] = {
        "waiting": {"status": "waiting", **waiting},
        "processing": {"status": "processing", **waiting},
        "errored": {"status": "errored", "error": "Not a film", **waiting},
        "draft": {"published": False},
        "unlisted": {"listed": False},
        "later": {"available_from": TOMORROW},
        "ready": {},
    }
    films = [make.video(title=f"{theirs} {name}", **values) for name, values in kinds.items()]
    make.video(title=f"{theirs} deleted", deleted_at=now, purge_at=TOMORROW)
    make.video(title=f"{theirs} removed", status="removed")
    found = shelf(admin, q=theirs, limit=3)
    assert [video["id"] for video in found] == [str(film) for film in films[::-1]]
    assert found[0] == manage(admin, "GET", films[-1]).json()["video"]
    failed = shelf(admin, q=theirs, status="errored")
    assert [(video["id"], video["error"]) for video in failed] == [(str(films[2]), "Not a film")]
    newest = admin.api.get("manage-video", limit=1).json()
    assert len(newest["videos"]) == 1
    assert newest["next_cursor"]


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ({"limit": "0"}, 422, "limit"),
        ({"limit": "101"}, 422, "limit"),
        ({"status": "removed"}, 422, "status"),
        ({"q": "x" * 201}, 422, "q"),
        ({"q": "nul\x00"}, 422, "q"),
        ({"video_id": "", "limit": "1"}, 422, "video_id"),
        ({"video_id": str(uuid.uuid4()), "q": "harbour"}, 422, "video_id"),
        ({"cursor": "x"}, 400, None),
    ],
)
def test_pages_that_are_none(admin: Person, query: dict[str, str], status: int, field: str | None) -> None:
    code = "invalid_request" if field else "malformed_request"
    problem = refused(admin.api.get("manage-video", **query), status, code)
    assert [error["field"] for error in problem.get("errors") or []] == ([field] if field else [])


def test_all_films_are_for_admins(make: Factory, api: Api) -> None:
    refused(make.person().api.get("manage-video"), 403, "forbidden")
    refused(api.get("manage-video"), 401, "invalid_token")


def test_every_field_can_be_changed_and_what_is_not_named_stays(make: Factory, admin: Person) -> None:
    film, trailer = make.video(description="Old"), make.video(listed=False)
    changes = {
        "title": "New",
        "level": 2,
        "published": False,
        "listed": False,
        "available_from": TOMORROW.isoformat().replace("+00:00", "Z"),
        "available_until": (TOMORROW + timedelta(days=1)).isoformat().replace("+00:00", "Z"),
        "preview_seconds": 30,
        "trailer_id": str(trailer),
        "series": "A series",
        "season": 1,
        "episode": 2,
        "price_amount": 399,
        "price_currency": "eur",
        "rental_hours": 48,
    }
    video = change(admin, film, **changes).json()["video"]
    assert {name: video[name] for name in changes} == changes
    assert video["description"] == "Old"
    assert change(admin, film).json()["video"] == video
    cleared = {name: None for name in changes if name not in ("title", "level", "published", "listed")}
    video = change(admin, film, **cleared).json()["video"]
    assert {name: video[name] for name in cleared} == cleared
    assert (video["title"], video["level"]) == ("New", 2)


def test_publishing_and_withdrawing_hold_at_once(make: Factory, admin: Person) -> None:
    viewer, film = make.person(), make.video(level=0, published=False)
    refused(viewer.api.get("get-playback", video_id=str(film)), 404, "video_not_found")
    change(admin, film, published=True)
    session_id = viewer.api.get("get-playback", video_id=str(film)).json()["session_id"]
    beat = {"session_id": session_id, "position": 1}
    assert viewer.api.post("heartbeat", beat).status_code == 200
    change(admin, film, available_from=TOMORROW.isoformat())
    refused(viewer.api.post("heartbeat", beat), 404, "video_not_found")
    assert admin.api.get("get-playback", video_id=str(film)).status_code == 200, "admins look at it before"
    change(admin, film, available_from=None)
    assert viewer.api.post("heartbeat", beat).status_code == 200


def test_nobody_watches_past_the_end_of_its_time(make: Factory, admin: Person) -> None:
    viewer, film = make.person(), make.video(level=0, duration=7200.0)
    soon = (datetime.now(UTC) + timedelta(minutes=10)).replace(microsecond=0)
    change(admin, film, available_until=soon.isoformat())
    playback = viewer.api.get("get-playback", video_id=str(film)).json()
    assert datetime.fromisoformat(playback["expires_at"]) <= soon
    assert datetime.fromisoformat(playback["entitlement"]["until"]) == soon


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"title": ""}, {"title"}),
        ({"title": None}, {"title"}),
        ({"level": None}, {"level"}),
        ({"published": None}, {"published"}),
        ({"status": "ready"}, {"status"}),
        ({"level": 1001, "preview_seconds": 0, "season": -1}, {"level", "preview_seconds", "season"}),
        ({"available_from": "tomorrow"}, {"available_from"}),
        ({"available_from": "2026-11-25T12:00:00"}, {"available_from"}),
        ({"available_from": "0001-01-01T00:00:00+14:00"}, {"available_from"}),
        ({"available_until": "9999-12-31T23:59:59-14:00"}, {"available_until"}),
        (
            {"available_from": "2026-11-25T12:00:00Z", "available_until": "2026-11-25T12:00:00Z"},
            {"available_until"},
        ),
        ({"season": 1, "episode": 2}, {"season", "episode"}),
        ({"price_amount": 399}, {"price_currency"}),
        ({"price_currency": "eur"}, {"price_amount"}),
        ({"price_amount": 0, "price_currency": "EURO"}, {"price_amount", "price_currency"}),
        ({"rental_hours": 48}, {"rental_hours"}),
        ({"trailer_id": str(uuid.uuid4())}, {"trailer_id"}),
        ({"trailer_id": "x"}, {"trailer_id"}),
    ],
)
def test_what_would_not_fit_is_refused_by_name(
    make: Factory, admin: Person, changes: dict[str, Any], fields: set[str]
) -> None:
    film = make.video()
    problem = refused(change(admin, film, **changes), 422, "invalid_request")
    assert {error["field"] for error in problem["errors"]} == fields
    assert row(make, film).updated_at == row(make, film).created_at


def test_what_would_not_fit_with_what_stays(make: Factory, admin: Person) -> None:
    film = make.video(series="A series", season=1, available_until=TOMORROW)
    problem = refused(change(admin, film, series=None), 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == ["season"]
    later = (TOMORROW + timedelta(days=1)).isoformat()
    problem = refused(change(admin, film, available_from=later), 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == ["available_from"]
    problem = refused(change(admin, film, trailer_id=str(film)), 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == ["trailer_id"]


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_only_for_admins_and_what_is_there(make: Factory, admin: Person, api: Api, method: str) -> None:
    options: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
    film = make.video()
    refused(manage(make.person(), method, film, **options), 403, "forbidden")
    refused(api.call(method, "manage-video", params={"video_id": str(film)}, **options), 401, "invalid_token")
    for unknown in (uuid.uuid4(), "x", make.video(status="removed")):
        refused(manage(admin, method, unknown, **options), 404, "video_not_found")
    if method != "GET":
        refused(admin.api.call(method, "manage-video", **options), 422, "invalid_request")
    assert row(make, film).deleted_at is None


def test_a_change_is_in_the_audit_log(make: Factory, admin: Person) -> None:
    film = make.video()
    change(admin, film, title="Other", level=2)
    manage(admin, "DELETE", film)
    with make.database.transaction() as tx:
        lines = tx.execute(
            select(audit_log)
            .where(audit_log.c.detail["video_id"].astext == str(film))
            .order_by(audit_log.c.id)
        ).all()
    assert [(line.kind, line.actor) for line in lines] == [
        ("video_changed", f"user:{admin.id}"),
        ("video_deleted", f"user:{admin.id}"),
    ]
    assert {(line.user_id, line.address) for line in lines} == {(admin.id, "127.0.0.1")}, "and from where"
    assert lines[0].detail["fields"] == ["level", "title"]
    assert lines[1].detail["purge"] == "later"


def test_a_film_is_sold_while_it_is_there(make: Factory, admin: Person) -> None:
    film = make.video()
    price = {"price_amount": 399, "price_currency": "usd", "rental_hours": 48}
    assert change(admin, film, **price).status_code == 200
    wish = {"video_id": str(film)}
    assert make.person().api.post("create-checkout", wish).status_code == 201
    for changes, back in (
        ({"available_from": TOMORROW.isoformat()}, {"available_from": None}),
        ({"published": False}, {"published": True}),
    ):
        change(admin, film, **changes)
        refused(make.person().api.post("create-checkout", wish), 404, "video_not_found")
        change(admin, film, **back)
    manage(admin, "DELETE", film)
    refused(make.person().api.post("create-checkout", wish), 404, "video_not_found")


# -- deleting ---------------------------------------------------------------------------------------------


def test_what_is_deleted_is_gone_for_everybody_at_once(make: Factory, admin: Person, api: Api) -> None:
    title = uuid.uuid4().hex
    viewer, film = make.person(), make.video(level=0, title=title)
    session_id = viewer.api.get("get-playback", video_id=str(film)).json()["session_id"]
    assert manage(admin, "DELETE", film).status_code == 204
    for person in (viewer, admin):
        refused(person.api.get("get-playback", video_id=str(film)), 404, "video_not_found")
    refused(viewer.api.post("heartbeat", {"session_id": session_id, "position": 1}), 404, "video_not_found")
    assert api.get("list-videos", q=title).json()["videos"] == []
    refused(manage(admin, "GET", film), 404, "video_not_found")
    refused(change(admin, film, title="x"), 404, "video_not_found")
    found = row(make, film)
    assert timedelta(days=6) < found.purge_at - datetime.now(UTC) < timedelta(days=8)
    assert found.purged_at is None, "it can be brought back for a week"


def test_deleting_again_only_brings_it_nearer(make: Factory, admin: Person) -> None:
    film = make.video()
    manage(admin, "DELETE", film)
    first = row(make, film)
    assert manage(admin, "DELETE", film).status_code == 204
    assert row(make, film).purge_at == first.purge_at
    assert manage(admin, "DELETE", film, query={"purge": "now"}).status_code == 204
    assert row(make, film).purge_at <= datetime.now(UTC)
    assert row(make, film).deleted_at == first.deleted_at
    problem = refused(manage(admin, "DELETE", film, query={"purge": "later"}), 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == ["purge"]


@pytest.mark.parametrize("provider", ["mux", "cloudflare"])
def test_what_was_never_ready_is_removed_from_its_provider_at_once(
    make: Factory, admin: Person, provider: str
) -> None:
    announced = admin.api.post("upload-asset", {"title": "Not this one", "provider": provider}).json()
    film, url = uuid.UUID(announced["video"]["id"]), announced["upload"]["url"]
    assert manage(admin, "DELETE", film).status_code == 204
    wait_for(lambda: row(make, film).purged_at)
    assert row(make, film).status == "removed"
    sent = httpx.put(url, content=b"x") if provider == "mux" else httpx.post(url, files={"file": b"x"})
    assert sent.status_code in (404, 410)
    refused(manage(admin, "DELETE", film), 404, "video_not_found")


def test_a_deletion_is_found_by_reconcile_when_its_time_has_come(make: Factory, admin: Person) -> None:
    """Its task was lost, or it had a week to go."""
    announced = admin.api.post("upload-asset", {"title": "Gone"}).json()
    film = uuid.UUID(announced["video"]["id"])
    with make.database.transaction() as tx:
        tx.execute(
            update(videos)
            .where(videos.c.id == film)
            .values(deleted_at=datetime.now(UTC), purge_at=datetime.now(UTC))
        )
    httpx.post(f"{make.stack.base_url}/sandbox/tasks/reconcile", timeout=60)
    wait_for(lambda: row(make, film).purged_at)
    assert row(make, film).status == "removed"
