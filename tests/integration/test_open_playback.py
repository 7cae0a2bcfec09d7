"""The one question get-playback asks, on a real PostgreSQL: every outcome, and streams under load."""

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text, update

from lib.config import Environment
from lib.database.engine import Database
from lib.database.schema import playback_sessions
from tests.factories import Factory, wait_for
from tests.integration.viewers import Viewer

SOON = datetime.now(UTC) + timedelta(hours=2)
PAST = datetime.now(UTC) - timedelta(seconds=1)


@pytest.fixture
def viewer(database: Database) -> Viewer:
    """Somebody with a login and nothing else."""
    return Viewer(database)


@pytest.fixture
def crowd(environment: dict[str, str]) -> Iterator[Database]:
    """A pool wide enough for many at once."""
    opened = Database(Environment(environment | {"DB_POOL_SIZE": "8"}).database())
    yield opened
    opened.dispose()


def at_once(calls: Sequence[Callable[[], dict[str, Any]]]) -> list[dict[str, Any]]:
    """All calls, released together."""
    gate = threading.Barrier(len(calls))

    def released(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        gate.wait(10)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(released, calls))


def live_leases(viewer: Viewer) -> int:
    with viewer.database.transaction() as tx:
        return tx.execute(
            select(func.count())
            .select_from(playback_sessions)
            .where(playback_sessions.c.user_id == viewer.id, playback_sessions.c.expires_at > func.now())
        ).scalar_one()


# -- may this person watch this? --------------------------------------------------------------------------


def test_a_subscriber_may(viewer: Viewer, make: Factory) -> None:
    film = make.video(duration=61.5)
    viewer.may(until=SOON)
    found = viewer.open(film)
    assert isinstance(found.pop("playback_session_id"), uuid.UUID)
    assert found == {
        "outcome": "allowed",
        "provider": "mux",
        "playback_id": f"playback-{film}",
        "duration": 61.5,
        "position": 0.0,
        "plan": "basic",
        "reason": "subscription",
        "until": SOON,
        "playing": None,
        "sync_first": False,
    }


def test_only_a_living_login_of_that_user(viewer: Viewer, make: Factory) -> None:
    film = make.video(level=0)
    assert viewer.open(film)["outcome"] == "allowed"
    assert viewer.open(film, uuid.uuid4())["outcome"] == "invalid_token"
    assert viewer.open(film, user_id=Viewer(viewer.database).id)["outcome"] == "invalid_token"
    assert viewer.open(film, viewer.login(hours=-1))["outcome"] == "invalid_token"
    viewer.revoke(viewer.session)
    assert viewer.open(film)["outcome"] == "invalid_token"
    assert viewer.open(None)["outcome"] == "invalid_token", "the token comes before existence"


@pytest.mark.parametrize("plan", [None, {"level": 1}, {"level": 2}])
def test_existence_comes_before_entitlement(
    viewer: Viewer, make: Factory, plan: dict[str, Any] | None
) -> None:
    if plan:
        viewer.may(**plan)
    hidden = make.video(level=2, published=False)
    removed = make.video(level=2, status="removed")
    for film in (None, uuid.uuid4(), hidden, removed):
        assert viewer.open(film)["outcome"] == "video_not_found"


@pytest.mark.parametrize("status", ["waiting", "processing", "errored"])
def test_entitlement_comes_before_state(viewer: Viewer, make: Factory, status: str) -> None:
    film = make.video(level=2, status=status)
    assert viewer.open(film)["outcome"] == "subscription_required"
    low, right = Viewer(viewer.database).may(level=1), Viewer(viewer.database).may(level=2)
    assert low.open(film)["outcome"] == "plan_upgrade_required"
    assert right.open(film)["outcome"] == "video_not_ready"
    assert live_leases(right) == 0


def test_state_comes_before_streams(viewer: Viewer, make: Factory) -> None:
    viewer.may(streams=1)
    assert viewer.open(make.video())["outcome"] == "allowed"
    assert viewer.open(make.video(status="processing"))["outcome"] == "video_not_ready"


@pytest.mark.parametrize(
    ("right", "reason"),
    [
        (None, "none"),
        *[
            ({"plan": None, "level": 0, "reason": reason, "until": None}, reason)
            for reason in ("none", "payment_failed", "canceled", "paused", "refunded", "disputed")
        ],
        *[
            ({"reason": reason, "until": PAST}, "expired")
            for reason in ("subscription", "trial", "rental", "purchase", "gift")
        ],
        ({"reason": "grace", "until": PAST}, "payment_failed"),
    ],
)
def test_without_access_it_says_why(
    viewer: Viewer, make: Factory, right: dict[str, Any] | None, reason: str
) -> None:
    if right is not None:
        viewer.may(**right)
    found = viewer.open(make.video(level=1))
    assert (found["outcome"], found["reason"]) == ("subscription_required", reason)
    assert (found["playback_id"], found["playback_session_id"]) == (None, None)
    # What the plan no longer opens, a free film still is; for one at a time.
    free = viewer.open(make.video(level=0))
    assert (free["outcome"], free["plan"], free["reason"], free["until"]) == ("allowed", None, "free", None)
    assert viewer.open(make.video(level=0))["outcome"] == "too_many_streams"


@pytest.mark.parametrize("reason", ["subscription", "trial", "grace", "rental", "purchase", "gift"])
def test_each_way_to_access_opens_its_level_and_below(viewer: Viewer, make: Factory, reason: str) -> None:
    viewer.may(plan="premium", level=2, streams=4, reason=reason, until=SOON)
    for level in (1, 2):
        found = viewer.open(make.video(level=level))
        assert (found["outcome"], found["plan"], found["reason"]) == ("allowed", "premium", reason)
        assert found["until"] == SOON
    assert viewer.open(make.video(level=3))["outcome"] == "plan_upgrade_required"


def test_a_free_film_outlives_the_plan(viewer: Viewer, make: Factory) -> None:
    viewer.may(until=SOON)
    found = viewer.open(make.video(level=0))
    assert (found["outcome"], found["reason"], found["until"]) == ("allowed", "subscription", None)


def test_staff_watch_everything_that_is_there(database: Database, make: Factory) -> None:
    admin = Viewer(database, role="admin")
    for values in ({"level": 1000}, {"published": False}, {"level": 0}):
        found = admin.open(make.video(**values))
        assert (found["outcome"], found["plan"], found["reason"]) == ("allowed", None, "staff")
        assert found["until"] is None
    for _ in range(5):
        assert admin.open(make.video(), admin.login())["outcome"] == "allowed", "as many as they like"
    assert admin.open(make.video(status="processing", published=False))["outcome"] == "video_not_ready"
    assert admin.open(make.video(status="removed"))["outcome"] == "video_not_found"


# -- how many at once? ------------------------------------------------------------------------------------


def test_asking_again_renews_the_lease_and_keeps_the_place(viewer: Viewer, make: Factory) -> None:
    film = make.video()
    viewer.may(streams=1)
    first = viewer.open(film, lease_seconds=10)
    where = playback_sessions.c.id == first["playback_session_id"]
    with viewer.database.transaction() as tx:
        tx.execute(update(playback_sessions).where(where).values(position=33.5))
        before = tx.execute(select(playback_sessions).where(where)).one()
    again = viewer.open(film, lease_seconds=90)
    assert again["playback_session_id"] == first["playback_session_id"]
    assert again["position"] == 33.5
    with viewer.database.transaction() as tx:
        after = tx.execute(select(playback_sessions).where(where)).one()
    assert after.started_at == before.started_at
    assert after.expires_at - before.expires_at >= timedelta(seconds=80)
    viewer.let_leases_end()
    later = viewer.open(film)
    assert (later["outcome"], later["position"]) == ("allowed", 33.5)
    assert later["playback_session_id"] == first["playback_session_id"]
    assert live_leases(viewer) == 1


def test_too_many_says_what_is_playing(viewer: Viewer, make: Factory) -> None:
    viewer.may(streams=2)
    phone, guest = viewer.login("Phone"), viewer.login()
    first = viewer.open(make.video(title="The first"))
    second = viewer.open(make.video(title="The second"), phone)
    found = viewer.open(make.video(), guest)
    assert (found["outcome"], found["playback_id"]) == ("too_many_streams", None)
    since = [datetime.fromisoformat(playing.pop("since")) for playing in found["playing"]]
    assert found["playing"] == [
        {
            "session_id": str(first["playback_session_id"]),
            "device_name": "Television",
            "title": "The first",
        },
        {"session_id": str(second["playback_session_id"]), "device_name": "Phone", "title": "The second"},
    ]
    assert since == sorted(since)
    assert all(abs(datetime.now(UTC) - moment) < timedelta(minutes=1) for moment in since)
    assert viewer.open(make.video(), phone)["outcome"] == "too_many_streams", "a second film on one device"
    assert live_leases(viewer) == 2


def test_two_devices_on_one_film_are_two_streams(viewer: Viewer, make: Factory) -> None:
    film = make.video()
    viewer.may(streams=2)
    ids = {viewer.open(film, login)["playback_session_id"] for login in (viewer.session, viewer.login())}
    assert len(ids) == 2
    assert viewer.open(film, viewer.login())["outcome"] == "too_many_streams"


def test_takeover_ends_another_stream(viewer: Viewer, make: Factory) -> None:
    film, phone = make.video(), viewer.login("Phone")
    viewer.may(streams=1)
    first = viewer.open(film)["playback_session_id"]
    taken = viewer.open(film, phone, takeover=first)
    assert taken["outcome"] == "allowed"
    assert live_leases(viewer) == 1
    found = viewer.open(film)
    assert found["outcome"] == "too_many_streams", "the one that was ended does not come back by itself"
    assert [playing["device_name"] for playing in found["playing"]] == ["Phone"]
    back = viewer.open(film, takeover=taken["playback_session_id"])
    assert (back["outcome"], back["playback_session_id"]) == ("allowed", first)


def test_takeover_of_what_is_ones_own_already_or_nothing(viewer: Viewer, make: Factory) -> None:
    film = make.video()
    viewer.may(streams=1)
    mine = viewer.open(film)["playback_session_id"]
    assert viewer.open(film, takeover=mine)["playback_session_id"] == mine
    assert viewer.open(film, viewer.login(), takeover=uuid.uuid4())["outcome"] == "too_many_streams"


def test_takeover_ends_only_streams_of_the_same_account(viewer: Viewer, make: Factory) -> None:
    film, stranger = make.video(), Viewer(viewer.database).may(streams=1)
    viewer.may(streams=1)
    viewer.open(film)
    theirs = stranger.open(film)["playback_session_id"]
    assert viewer.open(film, viewer.login(), takeover=theirs)["outcome"] == "too_many_streams"
    assert live_leases(stranger) == 1


def test_a_refused_takeover_ends_nothing(viewer: Viewer, make: Factory) -> None:
    viewer.may(streams=1)
    mine = viewer.open(make.video())["playback_session_id"]
    for film in (uuid.uuid4(), make.video(level=2), make.video(status="processing")):
        assert viewer.open(film, viewer.login(), takeover=mine)["outcome"] != "allowed"
    assert live_leases(viewer) == 1


def test_silence_and_logout_free_a_stream(viewer: Viewer, make: Factory) -> None:
    viewer.may(streams=1)
    phone, tablet = viewer.login(), viewer.login()
    viewer.open(make.video())
    viewer.let_leases_end()
    assert viewer.open(make.video(), phone)["outcome"] == "allowed"
    assert viewer.open(make.video(), tablet)["outcome"] == "too_many_streams"
    viewer.revoke(phone)
    assert viewer.open(make.video(), tablet)["outcome"] == "allowed"


def test_nobody_counts_for_anybody_else(database: Database, make: Factory) -> None:
    film = make.video()
    everybody = [Viewer(database).may(streams=1) for _ in range(3)]
    assert [viewer.open(film)["outcome"] for viewer in everybody] == ["allowed"] * 3
    assert [viewer.open(film, viewer.login())["outcome"] for viewer in everybody] == ["too_many_streams"] * 3


def test_however_many_race_for_the_last_stream_one_gets_it(
    viewer: Viewer, make: Factory, crowd: Database
) -> None:
    viewer.may(streams=2)
    films = [make.video() for _ in range(2)]
    logins = [viewer.login() for _ in range(6)]
    viewer.open(films[0])
    for _ in range(25):
        calls = [
            partial(viewer.open, films[number % 2], login, through=crowd)
            for number, login in enumerate(logins)
        ]
        outcomes = sorted(found["outcome"] for found in at_once(calls))
        assert outcomes == ["allowed"] + ["too_many_streams"] * 5
        assert live_leases(viewer) == 2
        viewer.let_leases_end()
        viewer.open(films[0])


def test_one_player_that_asks_twice_at_once_is_one_stream(
    viewer: Viewer, make: Factory, crowd: Database
) -> None:
    viewer.may(streams=1)
    for _ in range(10):
        film = make.video()
        found = at_once([partial(viewer.open, film, through=crowd)] * 4)
        assert [answer["outcome"] for answer in found] == ["allowed"] * 4
        assert len({answer["playback_session_id"] for answer in found}) == 1
        viewer.let_leases_end()


def test_two_that_take_each_other_over_end_as_one(viewer: Viewer, make: Factory, crowd: Database) -> None:
    viewer.may(streams=1)
    film, phone = make.video(), viewer.login()
    mine = viewer.open(film)["playback_session_id"]
    theirs = viewer.open(film, phone, takeover=mine)["playback_session_id"]
    for _ in range(25):
        found = at_once(
            [
                partial(viewer.open, film, takeover=theirs, through=crowd),
                partial(viewer.open, film, phone, takeover=mine, through=crowd),
            ]
        )
        assert "allowed" in [answer["outcome"] for answer in found]
        assert live_leases(viewer) == 1


def test_a_renewal_that_waited_counts_again(viewer: Viewer, make: Factory, crowd: Database) -> None:
    """The lease ended, and its stream went to another, while the renewal waited for its turn."""
    viewer.may(streams=1)
    film, phone = make.video(), viewer.login()
    mine = viewer.open(film)["playback_session_id"]
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE '%open_playback%'"
    )

    def somebody_waits() -> bool:
        with viewer.database.transaction() as look:
            return bool(look.execute(waiting).scalar_one())

    with ThreadPoolExecutor(1) as pool:
        with viewer.database.transaction() as tx:
            tx.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended('streams:' || :user, 0))"),
                {"user": str(viewer.id)},
            )
            renewal = pool.submit(viewer.open, film, through=crowd)
            wait_for(somebody_waits)
            now = func.clock_timestamp()
            tx.execute(update(playback_sessions).where(playback_sessions.c.id == mine).values(expires_at=now))
            tx.execute(
                insert(playback_sessions).values(
                    id=uuid.uuid4(),
                    user_id=viewer.id,
                    session_id=phone,
                    video_id=film,
                    expires_at=datetime.now(UTC) + timedelta(seconds=90),
                )
            )
        assert renewal.result(10)["outcome"] == "too_many_streams"
    assert live_leases(viewer) == 1


def test_code_of_before_asks_in_its_own_words(viewer: Viewer, make: Factory, database: Database) -> None:
    """It does not say which providers are set up (docs/deployment.md, old code on the new schema)."""
    viewer.may()
    mine = {"login": viewer.session, "viewer": viewer.id}
    opened = database.read(
        "SELECT * FROM open_playback(CAST(:login AS uuid), CAST(:viewer AS uuid), CAST(:film AS uuid), NULL, 90)",
        film=make.video(),
        **mine,
    )
    assert opened is not None
    beaten = database.read(
        "SELECT * FROM heartbeat(CAST(:login AS uuid), CAST(:viewer AS uuid), CAST(:opened AS uuid), 7, false, 90)",
        opened=opened["playback_session_id"],
        **mine,
    )
    assert beaten is not None
    assert (opened["outcome"], beaten["outcome"], beaten["position"]) == ("allowed", "allowed", 7)
