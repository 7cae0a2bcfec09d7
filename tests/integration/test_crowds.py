"""Two hundred screens of one account at the same moment, over HTTP: as many play as the plan allows."""

import threading
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import pytest

from lib.adapters.jwt_tokens import JwtTokens
from lib.config import Environment
from lib.database.engine import Database
from lib.web.ports import Claims
from tests.factories import Factory
from tests.integration.viewers import Viewer

SCREENS = 200


@pytest.fixture
def tokens(environment: dict[str, str]) -> JwtTokens:
    return JwtTokens(Environment(environment).tokens())


def test_of_two_hundred_starts_on_a_plan_with_two_streams_two_play(
    database: Database, make: Factory, tokens: JwtTokens
) -> None:
    viewer = Viewer(database).may(streams=2)
    films = [str(make.video(title=f"Film {number}")) for number in range(20)]
    logins = [viewer.login(f"Screen {number}") for number in range(SCREENS)]
    gate = threading.Barrier(SCREENS)

    def start(number: int) -> httpx.Response:
        token, _ = tokens.issue(Claims(viewer.id, logins[number]), now=datetime.now(UTC))
        gate.wait(30)
        return httpx.get(
            f"{make.stack.base_url}/get-playback",
            params={"video_id": films[number % len(films)]},
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )

    with ThreadPoolExecutor(SCREENS) as pool:
        answers = list(pool.map(start, range(SCREENS)))
    # A process that is asked too much at once may say so; nobody gets a stream too many by it.
    assert Counter(answer.status_code for answer in answers)[200] == 2
    playing = {answer.json()["session_id"] for answer in answers if answer.status_code == 200}
    refused = [answer.json() for answer in answers if answer.status_code != 200]
    assert {refusal["code"] for refusal in refused} == {"too_many_streams"}
    for refusal in refused:
        named = refusal["playing"]
        assert {each["session_id"] for each in named} == playing
        assert all(each["device_name"].startswith("Screen ") for each in named)
        assert all(each["title"].startswith("Film ") for each in named)


def test_a_crashed_screens_place_is_free_after_its_lease(database: Database, make: Factory) -> None:
    """It sends no stop; nobody has to do anything."""
    viewer = Viewer(database).may(streams=1)
    assert viewer.open(make.video(), lease_seconds=1)["outcome"] == "allowed"
    another, film = viewer.login(), make.video()
    assert viewer.open(film, another)["outcome"] == "too_many_streams"
    deadline = datetime.now(UTC).timestamp() + 10
    while viewer.open(film, another)["outcome"] == "too_many_streams":
        assert datetime.now(UTC).timestamp() < deadline
        threading.Event().wait(0.1)
    assert viewer.open(make.video(), uuid.UUID(str(viewer.session)))["outcome"] == "too_many_streams"
