"""list-videos: page after page, complete and without doubles; what cannot be watched is never there."""

import base64
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from lib.adapters.playback_signers import playback_signers
from lib.config import Environment
from lib.database.schema import videos
from lib.video import search
from lib.video.catalogue import Catalogue
from lib.video.paging import read, written
from lib.video.search import Wish
from tests.api import Api, refused
from tests.factories import Factory

Listed = list[dict[str, Any]]


def word() -> str:
    """Something no other test looks for."""
    return uuid.uuid4().hex


def listed(api: Api, **query: Any) -> Listed:
    response = api.get("list-videos", **query)
    assert response.status_code == 200, response.text
    found: Listed = response.json()["videos"]
    return found


def pages(api: Api, **query: Any) -> list[Listed]:
    """All pages, by following next_cursor."""
    found: list[Listed] = []
    while True:
        page = api.get("list-videos", **query).json()
        found.append(page["videos"])
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


def ids(videos: Listed) -> list[uuid.UUID]:
    return [uuid.UUID(video["id"]) for video in videos]


def test_newest_first_page_after_page(api: Api, make: Factory) -> None:
    theirs = word()
    films = [make.video(title=f"{theirs} {number}") for number in range(7)]
    found = pages(api, q=theirs, limit=3)
    assert [len(page) for page in found] == [3, 3, 1]
    assert [film for page in found for film in ids(page)] == films[::-1]


def test_a_full_last_page_has_nothing_behind_it(api: Api, make: Factory) -> None:
    theirs = word()
    for _ in range(4):
        make.video(title=theirs)
    assert [len(page) for page in pages(api, q=theirs, limit=2)] == [2, 2]
    assert pages(api, q=word()) == [[]]


def test_films_added_meanwhile_move_nothing(api: Api, make: Factory) -> None:
    theirs = word()
    films = [make.video(title=theirs) for _ in range(6)]
    cursor, found = None, []
    while True:
        query = {"q": theirs, "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = api.get("list-videos", **query).json()
        found += ids(page["videos"])
        make.video(title=theirs)
        if (cursor := page["next_cursor"]) is None:
            break
    assert found == films[::-1]
    assert len(listed(api, q=theirs)) == 6 + 3


def test_films_of_the_same_moment_are_all_listed(api: Api, make: Factory) -> None:
    theirs, begin = word(), datetime(2026, 11, 23, 12, 0, 0, 123_457, tzinfo=UTC)
    films = [
        make.video(title=theirs, created_at=begin + timedelta(microseconds=number // 3))
        for number in range(20)
    ]
    found = [film for page in pages(api, q=theirs, limit=1) for film in ids(page)]
    assert len(found) == len(set(found))
    assert set(found) == set(films)


@given(
    created_at=st.datetimes(datetime(1970, 1, 1), datetime(2500, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    video_id=st.uuids(),
)
def test_a_cursor_is_exact(created_at: datetime, video_id: uuid.UUID) -> None:
    place = (created_at, video_id)
    assert read(written(place), (datetime, uuid.UUID)) == place


@given(
    season=st.integers(0, 10_000),
    episode=st.integers(0, 100_000),
    video_id=st.uuids(),
)
def test_so_is_one_of_a_series(season: int, episode: int, video_id: uuid.UUID) -> None:
    place = (season, episode, video_id)
    assert read(written(place), (int, int, uuid.UUID)) == place


def test_without_a_limit_there_are_twenty(api: Api, make: Factory) -> None:
    theirs = word()
    for _ in range(21):
        make.video(title=theirs)
    assert len(listed(api, q=theirs)) == 20
    assert len(listed(api, q=theirs, limit=100)) == 21
    assert len(listed(api, q=theirs, limit=1)) == 1


@pytest.mark.parametrize(
    "limit", ["0", "101", "-1", "", "x", "1.5", "1e1", " 5", "+5", "٣", "00000000000001", "9" * 400]
)
def test_limits_out_of_bounds(api: Api, limit: str) -> None:
    problem = refused(api.get("list-videos", limit=limit), 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == ["limit"]


def test_a_cursor_that_is_none_of_ours(api: Api) -> None:
    far = base64.urlsafe_b64encode(b"\xff" * 24).decode()
    short = base64.urlsafe_b64encode(b"\x00" * 23).decode()
    for cursor in ("x", "nonsense", "ä", "=" * 32, "A" * 31, short, far, str(uuid.uuid4()), "A" * 5000):
        refused(api.get("list-videos", cursor=cursor), 400, "malformed_request")


def test_a_cursor_is_good_for_every_question(api: Api, make: Factory) -> None:
    theirs = word()
    films = [make.video(title=theirs) for _ in range(3)]
    cursor = api.get("list-videos", q=theirs, limit=1).json()["next_cursor"]
    assert ids(listed(api, cursor=cursor, limit=2)) == [films[1], films[0]]


@pytest.mark.parametrize(
    ("title", "finds", "misses"),
    [
        ("The Long Walk {}", "walk {}", "talks {}"),
        ("The Long Walk {}", "lon wal {}", "ong {}"),
        ("The Long Walk {}", "{} walk long", "{} walker"),
        ("100% {}", "100% {}", "1000 {}"),
        ("back\\slash {}", "back\\slash {}", "backlash {}"),
        ('it\'s "{}"', "it's {}", "its {}"),
        ("Größe {}", "GRÖßE {}", "grosse {}"),
        ("';DROP TABLE videos;-- {}", "';DROP TABLE videos;-- {}", "' OR 1=1 -- {}"),
        ("Me & you | {}", "you & | ! ( {}:* <-> '", "them {}"),
        ("film-club {}", "film-cl {}", "club-film {}"),
        ("🎬 {}", "🎬 {}", "clap {}"),
    ],
)
def test_words_are_taken_as_they_are(api: Api, make: Factory, title: str, finds: str, misses: str) -> None:
    """Each is the beginning of a word of the film's, in any order and case; nothing in them is an operator."""
    theirs = word()
    film = make.video(title=title.format(theirs))
    assert ids(listed(api, q=finds.format(theirs))) == [film]
    # What is nearly so may still be found as nearly so, but not by the words.
    with make.database.transaction() as tx:
        assert search.page(tx, Wish(words=misses.format(theirs)), after=None, limit=9) == []


def test_what_has_no_words_finds_nothing(api: Api, make: Factory) -> None:
    make.video(title=word())
    for words in ("%", "_", "🎥", "…", "' & |", "\\"):
        assert listed(api, q=words) == []


@pytest.mark.parametrize(
    ("title", "typed"),
    [
        ("The Wandering Kestrel", "wandring kestral"),
        ("Lighthouse at Dusk", "lighthose"),
        ("Marmalade", "marmelade"),
    ],
)
def test_typing_mistakes_are_forgiven(api: Api, make: Factory, title: str, typed: str) -> None:
    film = make.video(title=title)
    response = api.get("list-videos", q=typed).json()
    assert film in ids(response["videos"])
    assert response["next_cursor"] is None
    make.video(title=title, published=False)
    assert all(video["title"] == title for video in listed(api, q=title))


def test_what_is_exactly_so_comes_without_what_is_nearly_so(api: Api, make: Factory) -> None:
    theirs = word()
    film = make.video(title=theirs)
    make.video(title=theirs[:-1] + "z")
    assert ids(listed(api, q=theirs)) == [film]


def test_filters(api: Api, make: Factory) -> None:
    theirs, series = word(), word()
    films = {level: make.video(title=theirs, level=level) for level in (0, 1, 2)}
    for level, film in films.items():
        assert ids(listed(api, q=theirs, level=level)) == [film]
    assert ids(listed(api, q=theirs, free="true")) == [films[0]]
    assert ids(listed(api, q=theirs, free="true", level=0)) == [films[0]]
    episode = make.video(title=theirs, series=series, season=1, episode=1)
    assert ids(listed(api, series=series, q=theirs)) == [episode]
    assert episode in ids(listed(api, q=series)), "a series is found by its name, too"
    assert listed(api, series=series.upper()) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"level": "-1"}, "level"),
        ({"level": "1001"}, "level"),
        ({"level": "x"}, "level"),
        ({"free": "yes"}, "free"),
        ({"free": "true", "level": "1"}, "free"),
        ({"series": "x" * 201}, "series"),
        ({"list": "all"}, "list"),
    ],
)
def test_filters_that_are_none(api: Api, query: dict[str, str], field: str) -> None:
    problem = refused(api.get("list-videos", **query), 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == [field]


def test_a_series_comes_in_its_own_order(api: Api, make: Factory) -> None:
    series = word()
    order = [(None, None), (0, 1), (1, 1), (1, 2), (1, 10), (2, 1), (2, None)]
    wanted = sorted(order, key=lambda place: (place[0] or 0, place[1] or 0))
    films = {place: make.video(series=series, season=place[0], episode=place[1]) for place in reversed(order)}
    for limit in (1, 3, 100):
        found = [film for page in pages(api, series=series, limit=limit) for film in ids(page)]
        assert found == [films[place] for place in wanted]
    cursor = api.get("list-videos", series=series, limit=1).json()["next_cursor"]
    refused(api.get("list-videos", cursor=cursor), 400, "malformed_request")


def test_a_film_is_there_from_when_until_when_its_admin_says(api: Api, make: Factory) -> None:
    theirs, now = word(), datetime.now(UTC)
    before, later = now - timedelta(minutes=1), now + timedelta(minutes=1)
    shown = [
        make.video(title=theirs, available_from=before),
        make.video(title=theirs, available_until=later),
        make.video(title=theirs, available_from=before, available_until=later),
    ]
    make.video(title=theirs, available_from=later)
    make.video(title=theirs, available_until=before)
    make.video(title=theirs, listed=False)
    make.video(title=theirs, deleted_at=now, purge_at=later)
    assert ids(listed(api, q=theirs)) == shown[::-1]


# -- with a token -----------------------------------------------------------------------------------------


def test_it_knows_how_far_one_got(api: Api, make: Factory) -> None:
    theirs, viewer = word(), make.person()
    begun, new = make.video(title=theirs, level=0, duration=100.0), make.video(title=theirs, level=0)
    session_id = viewer.api.get("get-playback", video_id=str(begun)).json()["session_id"]
    viewer.api.post("heartbeat", {"session_id": session_id, "position": 41.5, "stop": True})
    fresh, known = listed(viewer.api, q=theirs)
    assert (ids([known]), known["position"]) == ([begun], 41.5)
    assert abs(datetime.fromisoformat(known["watched_at"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert (ids([fresh]), fresh["position"], fresh["watched_at"]) == ([new], None, None)
    for client in (api, make.person().api):
        assert [video["position"] for video in listed(client, q=theirs)] == [None, None]


def test_one_film_by_its_id(api: Api, make: Factory) -> None:
    viewer, film = make.person(), make.video(level=0, title="This one")
    assert [video["title"] for video in listed(api, video_id=str(film))] == ["This one"]
    playback = viewer.api.get("get-playback", video_id=str(film)).json()
    viewer.api.post("heartbeat", {"session_id": playback["session_id"], "position": 7})
    assert [video["position"] for video in listed(viewer.api, video_id=str(film))] == [7]
    trailer = make.video(listed=False)
    assert ids(listed(api, video_id=str(trailer))) == [trailer], "whoever has its id can watch it"
    answer = api.get("list-videos", video_id=str(film))
    assert answer.json()["next_cursor"] is None
    again = api.call(
        "GET",
        "list-videos",
        params={"video_id": str(film)},
        headers={"If-None-Match": answer.headers["ETag"]},
    )
    assert again.status_code == 304


def test_one_film_that_nobody_can_watch_is_not_there(api: Api, make: Factory) -> None:
    now, hour = datetime.now(UTC), timedelta(hours=1)
    hidden = [
        make.video(published=False),
        make.video(available_from=now + hour),
        make.video(available_until=now - hour),
        make.video(deleted_at=now, purge_at=now + hour),
        make.video(status="processing", playback_id=None),
    ]
    for video_id in (*hidden, uuid.uuid4(), "x", ""):
        assert listed(api, video_id=str(video_id)) == []


def test_one_film_is_asked_for_alone(api: Api) -> None:
    for other in ({"q": "x"}, {"level": "1"}, {"series": "x"}, {"cursor": "x"}, {"list": "history"}):
        problem = refused(api.get("list-videos", video_id=str(uuid.uuid4()), **other), 422, "invalid_request")
        assert [error["field"] for error in problem["errors"]] == ["video_id"]


def test_a_trailer_is_named_while_it_can_be_watched(api: Api, make: Factory) -> None:
    theirs = word()
    now, hour = datetime.now(UTC), timedelta(hours=1)
    there = make.video(level=0, listed=False)
    kinds: dict[str, dict[str, Any]] = {
        "draft": {"published": False},
        "not yet": {"available_from": now + hour},
        "no more": {"available_until": now - hour},
        "deleted": {"deleted_at": now, "purge_at": now + hour},
        "being made": {"status": "processing", "playback_id": None},
    }
    trailers = {name: make.video(listed=False, **values) for name, values in kinds.items()}
    for name, trailer in {"there": there, **trailers}.items():
        make.video(title=f"{theirs} {name}", trailer_id=trailer)
    found = {film["title"].partition(" ")[2]: film["trailer_id"] for film in listed(api, q=theirs)}
    assert found == {"there": str(there)} | dict.fromkeys(kinds)
    viewer = make.person()
    make.entitle(viewer)
    films = {film["title"]: film["id"] for film in listed(api, q=theirs)}
    for name in ("there", "draft"):
        viewer.api.get("get-playback", video_id=films[f"{theirs} {name}"])
    begun = {
        film["title"].partition(" ")[2]: film["trailer_id"] for film in listed(viewer.api, list="history")
    }
    assert begun == {"there": str(there), "draft": None}


def test_what_was_begun(make: Factory) -> None:
    viewer = make.person()
    films = [make.video(level=0, duration=100.0) for _ in range(4)]
    gone = make.video(level=0, duration=100.0)
    for film, position in zip([*films, gone], (10, 99, 20, 30, 5), strict=True):
        session_id = viewer.api.get("get-playback", video_id=str(film)).json()["session_id"]
        viewer.api.post("heartbeat", {"session_id": session_id, "position": position, "stop": True})
    with make.database.transaction() as tx:
        tx.execute(update(videos).where(videos.c.id == gone).values(published=False))
    history = [film for page in pages(viewer.api, list="history", limit=2) for film in ids(page)]
    assert history == films[::-1]
    unfinished = [film for page in pages(viewer.api, list="continue", limit=2) for film in ids(page)]
    assert unfinished == [films[3], films[2], films[0]]
    assert [video["position"] for video in listed(viewer.api, list="continue")] == [30, 20, 10]


def test_another_screen_goes_on_where_this_one_stopped(make: Factory) -> None:
    viewer, film = make.person(), make.video(level=0, duration=100.0)
    session_id = viewer.api.get("get-playback", video_id=str(film)).json()["session_id"]
    viewer.api.post("heartbeat", {"session_id": session_id, "position": 33, "stop": True})
    other = make.login(viewer.email)
    assert other.api.get("get-playback", video_id=str(film)).json()["position"] == 33
    assert [video["position"] for video in listed(other.api, list="history")] == [33], (
        "once, not once a screen"
    )


def test_lists_of_ones_own_take_a_token(api: Api, make: Factory) -> None:
    refused(api.get("list-videos", list="history"), 401, "invalid_token")
    viewer = make.person()
    viewer.api.post("logout")
    for query in ({}, {"list": "continue"}):
        refused(viewer.api.get("list-videos", **query), 401, "invalid_token")
    refused(make.client("nonsense").get("list-videos"), 401, "invalid_token")


# -- what does not change need not be sent again ----------------------------------------------------------


def test_who_has_the_page_is_not_sent_it_again(api: Api, make: Factory) -> None:
    theirs = word()
    make.video(title=theirs)
    first = api.get("list-videos", q=theirs)
    tag = first.headers["etag"]
    for known in (tag, f'"other", {tag}', f"W/{tag}"):
        again = api.http.get("/list-videos", params={"q": theirs}, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    make.video(title=theirs)
    changed = api.http.get("/list-videos", params={"q": theirs}, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


def test_a_preview_is_for_anybody_and_ends_where_it_should(api: Api, make: Factory) -> None:
    theirs = word()
    make.video(title=theirs, preview_seconds=30)
    make.video(title=theirs)
    make.video(title=theirs, provider="cloudflare", preview_seconds=30)
    cloudflare, without, mux = listed(api, q=theirs)
    assert (without["preview_url"], cloudflare["preview_url"]) == (None, None)
    token = parse_qs(urlsplit(mux["preview_url"]).query)["token"][0]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["aud"], claims["asset_end_time"]) == ("v", 30)


def test_no_picture_outlives_its_film(api: Api, make: Factory) -> None:
    theirs, soon = word(), datetime.now(UTC) + timedelta(minutes=10)
    make.video(title=theirs, preview_seconds=30, available_until=soon)
    (video,) = listed(api, q=theirs)
    for address in (video["thumbnail_url"], video["preview_url"]):
        token = parse_qs(urlsplit(address).query)["token"][0]
        assert jwt.decode(token, options={"verify_signature": False})["exp"] == int(soon.timestamp())


def test_words_are_looked_for_in_the_description_too(api: Api, make: Factory) -> None:
    theirs = word()
    film = make.video(description=f"All about {theirs}.")
    (found,) = listed(api, q=theirs.upper())
    assert (uuid.UUID(found["id"]), found["description"]) == (film, f"All about {theirs}.")


@pytest.mark.parametrize("words", ["x" * 201, "nul\x00"])
def test_words_nobody_looks_for(api: Api, words: str) -> None:
    problem = refused(api.get("list-videos", q=words), 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == ["q"]


def test_what_cannot_be_watched_is_never_there(api: Api, make: Factory) -> None:
    theirs = word()
    shown = make.video(title=theirs)
    make.video(title=theirs, published=False)
    for status in ("waiting", "processing", "errored", "removed"):
        make.video(title=theirs, status=status)
    for client in (api, make.person().api, make.admin().api):
        assert ids(listed(client, q=theirs)) == [shown]


def test_what_a_film_says_of_itself(api: Api, make: Factory) -> None:
    theirs = word()
    make.video(title=theirs, level=2, duration=61.25)
    make.video(title=theirs, level=0)
    free, film = listed(api, q=theirs)
    assert (film["level"], film["free"], film["duration"]) == (2, False, 61.25)
    assert (free["level"], free["free"]) == (0, True)


class Minutes:
    """A clock that stands at so many minutes past noon."""

    def __init__(self, minutes: int) -> None:
        self.minutes = minutes

    def now(self) -> datetime:
        return datetime(2026, 11, 23, 12, tzinfo=UTC) + timedelta(minutes=self.minutes)


def test_what_a_film_costs_by_itself(api: Api, make: Factory) -> None:
    theirs = word()
    make.video(title=f"Not sold {theirs}")
    make.video(title=f"Rented {theirs}", price_amount=399, price_currency="usd", rental_hours=48)
    rented, not_sold = listed(api, q=theirs)
    assert rented["price"] == {"amount": 399, "currency": "usd", "rental_hours": 48}
    assert not_sold["price"] is None


def test_pictures_are_signed_to_the_hour(make: Factory, environment: dict[str, str]) -> None:
    """So that within one they are the same, and need not be signed again."""
    theirs, clock = word(), Minutes(0)
    make.video(title=theirs)
    signers = playback_signers(Environment(environment))
    catalogue = Catalogue(make.database, signers, clock)
    ends = []
    for clock.minutes in (0, 1, 59, 60):
        (video,) = catalogue.page(Wish(words=theirs), cursor=None, limit=20)["videos"]
        token = parse_qs(urlsplit(video["thumbnail_url"]).query)["token"][0]
        end = datetime.fromtimestamp(jwt.decode(token, options={"verify_signature": False})["exp"], UTC)
        assert timedelta(hours=6) <= end - clock.now() <= timedelta(hours=7)
        ends.append(end)
    assert ends[0] == ends[1] == ends[2] < ends[3]


def test_signed_pictures_are_not_stored_on_the_way(api: Api) -> None:
    assert api.get("list-videos").headers["cache-control"] == "no-store"
