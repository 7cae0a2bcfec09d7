"""list-videos: page after page, complete and without doubles; what cannot be watched is never there."""

import base64
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.adapters.playback_signers import playback_signers
from lib.config import Environment
from lib.video.catalogue import Catalogue, _cursor, _position
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
    row: Any = SimpleNamespace(created_at=created_at, id=video_id)
    assert _position(_cursor(row)) == (created_at, video_id)


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
        ("100% {}", "100% {}", "1%{}"),
        ("a_b {}", "a_b {}", "a_c {}"),
        ("back\\slash {}", "k\\slash {}", "k\\\\slash {}"),
        ('it\'s "{}"', 'it\'s "{}"', "it''s \"{}\""),
        ("Größe {}", "GRÖSSE {}".replace("SS", "ß"), "Grosse {}"),
        ("Plain {}", "pLAIN {}", "plain  {}"),
        ("';DROP TABLE videos;-- {}", "';DROP TABLE videos;-- {}", "' OR 1=1 -- {}"),
        ("🎬 {}", "🎬 {}", "🎥 {}"),
    ],
)
def test_words_are_taken_as_they_are(api: Api, make: Factory, title: str, finds: str, misses: str) -> None:
    theirs = word()
    film = make.video(title=title.format(theirs))
    assert ids(listed(api, q=finds.format(theirs))) == [film]
    assert listed(api, q=misses.format(theirs)) == []


def test_percent_and_underscore_alone_find_themselves_only(api: Api, make: Factory) -> None:
    theirs = word()
    make.video(title=theirs)
    for wildcard in (f"{theirs[:10]}%", f"{theirs[:31]}_", f"%{theirs}", f"_{theirs[1:]}"):
        assert listed(api, q=wildcard) == []


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


def test_pictures_are_signed_to_the_hour(make: Factory, environment: dict[str, str]) -> None:
    """So that within one they are the same, and need not be signed again."""
    theirs, clock = word(), Minutes(0)
    make.video(title=theirs)
    signers = playback_signers(Environment(environment))
    catalogue = Catalogue(make.database, signers, clock)
    ends = []
    for clock.minutes in (0, 1, 59, 60):
        (video,) = catalogue.page(words=theirs, cursor=None, limit=20)["videos"]
        token = parse_qs(urlsplit(video["thumbnail_url"]).query)["token"][0]
        end = datetime.fromtimestamp(jwt.decode(token, options={"verify_signature": False})["exp"], UTC)
        assert timedelta(hours=6) <= end - clock.now() <= timedelta(hours=7)
        ends.append(end)
    assert ends[0] == ends[1] == ends[2] < ends[3]


def test_signed_pictures_are_not_stored_on_the_way(api: Api) -> None:
    assert api.get("list-videos").headers["cache-control"] == "no-store"
