"""heartbeat: the position is kept, the lease renewed, the right to watch asked for again."""

import uuid
from typing import Any

import pytest
from sqlalchemy import delete, func, update

from lib.database.schema import entitlements, playback_sessions, videos
from tests.api import refused
from tests.factories import Factory, Person


def watching(make: Factory) -> tuple[Person, dict[str, Any]]:
    """Somebody entitled who just asked for a film of an hour."""
    person = make.person()
    make.entitle(person, level=1)
    playback = person.api.get("get-playback", video_id=str(make.video(duration=3600.0)))
    assert playback.status_code == 200, playback.text
    return person, playback.json()


def beat(person: Person, playback: dict[str, Any], position: float = 12.5, **more: Any) -> Any:
    return person.api.post("heartbeat", {"session_id": playback["session_id"], "position": position} | more)


def test_it_answers_as_get_playback_does(make: Factory) -> None:
    person, playback = watching(make)
    answer = beat(person, playback).json()
    assert (answer["session_id"], answer["video_id"]) == (playback["session_id"], playback["video_id"])
    assert answer["position"] == 12.5
    again = person.api.get("get-playback", video_id=playback["video_id"]).json()
    assert (again["position"], again["session_id"]) == (12.5, playback["session_id"])


def test_later_in_the_film_the_token_lives_less_long(make: Factory) -> None:
    person, playback = watching(make)
    early, late = beat(person, playback, 1).json(), beat(person, playback, 3500).json()
    assert late["expires_at"] < early["expires_at"]


def test_stop_frees_the_place_and_keeps_the_position(make: Factory) -> None:
    person = make.person()
    make.entitle(person, level=1, streams=1)
    first, second = str(make.video()), str(make.video())
    playback = person.api.get("get-playback", video_id=first).json()
    refused(person.api.get("get-playback", video_id=second), 429, "too_many_streams")
    assert beat(person, playback, 30, stop=True).status_code == 204
    other = person.api.get("get-playback", video_id=second).json()
    assert beat(person, other, stop=True).status_code == 204
    again = person.api.get("get-playback", video_id=first).json()
    assert (again["session_id"], again["position"]) == (playback["session_id"], 30)
    assert beat(person, again).status_code == 200


def test_a_beat_that_comes_late_undoes_no_stop(make: Factory) -> None:
    person, playback = watching(make)
    assert beat(person, playback, 30, stop=True).status_code == 204
    refused(beat(person, playback, 29), 404, "playback_session_not_found")
    assert beat(person, playback, 30, stop=True).status_code == 204, "its answer may have been lost"
    assert person.api.get("get-playback", video_id=playback["video_id"]).json()["position"] == 30


def test_who_was_taken_over_stays_so(make: Factory) -> None:
    person = make.person()
    make.entitle(person, level=1, streams=1)
    film = str(make.video())
    mine = person.api.get("get-playback", video_id=film).json()
    phone = make.login(person.email)
    theirs = phone.api.get("get-playback", video_id=film, takeover=mine["session_id"]).json()
    refused(beat(person, mine), 404, "playback_session_not_found")
    assert beat(phone, theirs, stop=True).status_code == 204
    refused(beat(person, mine), 404, "playback_session_not_found")
    # Until its owner asks for the film again.
    assert person.api.get("get-playback", video_id=film).json()["session_id"] == mine["session_id"]
    assert beat(person, mine).status_code == 200


def fall_silent(make: Factory, playback: dict[str, Any]) -> None:
    """As if nothing had been heard of it for longer than its lease."""
    with make.database.transaction() as tx:
        tx.execute(
            update(playback_sessions)
            .where(playback_sessions.c.id == uuid.UUID(playback["session_id"]))
            .values(expires_at=func.now())
        )


def test_after_a_silence_it_goes_on_if_there_is_room(make: Factory) -> None:
    person = make.person()
    make.entitle(person, level=1, streams=1)
    playback = person.api.get("get-playback", video_id=str(make.video())).json()
    fall_silent(make, playback)
    assert beat(person, playback).json()["session_id"] == playback["session_id"]
    fall_silent(make, playback)
    assert person.api.get("get-playback", video_id=str(make.video())).status_code == 200
    refused(beat(person, playback), 429, "too_many_streams")


def begin(make: Factory, streams: int = 3) -> tuple[Person, Person, Person, str]:
    """Three screens of one account, and a film of an hour."""
    person = make.person()
    make.entitle(person, level=1, streams=streams)
    return person, make.login(person.email), make.login(person.email), str(make.video(duration=3600.0))


def test_who_is_back_after_a_silence_goes_on_where_they_are(make: Factory) -> None:
    """Another screen was heard of in the meantime, further on in the film: that was then."""
    tablet, television, phone, film = begin(make)
    mine = tablet.api.get("get-playback", video_id=film).json()
    assert beat(tablet, mine, 100).status_code == 200
    fall_silent(make, mine)
    theirs = television.api.get("get-playback", video_id=film).json()
    assert theirs["position"] == 100
    assert beat(television, theirs, 500).status_code == 200
    assert beat(tablet, mine, 130).json()["position"] == 130
    assert phone.api.get("get-playback", video_id=film).json()["position"] == 130
    listed = next(
        video
        for video in phone.api.get("list-videos", list="continue").json()["videos"]
        if video["id"] == film
    )
    assert listed["position"] == 130


def test_who_stopped_last_was_there_last(make: Factory) -> None:
    """Also while the lease of a screen that fell silent before runs on."""
    tablet, television, phone, film = begin(make)
    theirs = television.api.get("get-playback", video_id=film).json()
    mine = tablet.api.get("get-playback", video_id=film).json()
    assert beat(television, theirs, 500).status_code == 200
    assert beat(tablet, mine, 1000, stop=True).status_code == 204
    assert phone.api.get("get-playback", video_id=film).json()["position"] == 1000


def test_a_screen_that_only_opened_the_film_is_nowhere_else(make: Factory) -> None:
    tablet, television, phone, film = begin(make)
    mine = tablet.api.get("get-playback", video_id=film).json()
    assert beat(tablet, mine, 100).status_code == 200
    television.api.get("get-playback", video_id=film)
    assert beat(tablet, mine, 200).status_code == 200
    assert phone.api.get("get-playback", video_id=film).json()["position"] == 200


def test_when_access_ends_the_next_one_says_so(make: Factory) -> None:
    person, playback = watching(make)
    with make.database.transaction() as tx:
        tx.execute(delete(entitlements).where(entitlements.c.user_id == person.id))
    refused(beat(person, playback), 402, "subscription_required")


def test_when_a_higher_plan_is_needed_from_now_on(make: Factory) -> None:
    person, playback = watching(make)
    with make.database.transaction() as tx:
        tx.execute(update(videos).where(videos.c.id == uuid.UUID(playback["video_id"])).values(level=2))
    refused(beat(person, playback), 403, "plan_upgrade_required")


def test_only_ones_own(make: Factory) -> None:
    person, playback = watching(make)
    stranger, _ = watching(make)
    refused(beat(stranger, playback, 99), 404, "playback_session_not_found")
    refused(beat(make.login(person.email), playback, 99), 404, "playback_session_not_found")
    with make.database.transaction() as tx:
        position = tx.scalar(
            playback_sessions.select()
            .with_only_columns(playback_sessions.c.position)
            .where(playback_sessions.c.id == uuid.UUID(playback["session_id"]))
        )
    assert position == 0


@pytest.mark.parametrize("session_id", ["nonsense", "00000000-0000-4000-8000-000000000000"])
def test_unknown(make: Factory, session_id: str) -> None:
    body = {"session_id": session_id, "position": 1}
    refused(make.person().api.post("heartbeat", body), 404, "playback_session_not_found")


@pytest.mark.parametrize("position", [-1, 1e9, "5", None, True, 10**400])
def test_positions_that_are_none(make: Factory, position: object) -> None:
    person, playback = watching(make)
    refused(beat(person, playback, position), 422, "invalid_request")  # type: ignore[arg-type]
