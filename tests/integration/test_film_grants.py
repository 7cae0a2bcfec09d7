"""The rule stands twice, in Python and in open_playback: on random grants the two agree."""

import random
import uuid
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from lib.adapters.playback_signers import playback_signers
from lib.billing import grants as stored
from lib.billing.entitlement import Grant, of_grants, opening
from lib.config import Environment
from lib.database.engine import Database
from lib.database.schema import grants, playback_sessions
from lib.errors import UnavailableError
from lib.video.playback import Playback
from lib.web.ports import Claims, SystemClock
from tests.factories import Factory
from tests.integration.viewers import Viewer

HOUR = timedelta(hours=1)


def any_grant(made: random.Random, number: int, films: list[uuid.UUID], now: datetime) -> Grant:
    source = made.choice(["subscription", "gift", "staff", "purchase"])
    starts = now + made.randint(-5, 2) * HOUR
    ends: datetime | None = starts + made.randint(1, 8) * HOUR
    withheld = made.choice([None, None, None, "canceled", "refunded"])
    id_ = f"{source}-{number}-{uuid.uuid4().hex}"
    if source == "purchase":
        hours = made.choice([None, 48])
        reason = "rental" if hours else "purchase"
        ends = ends if hours else None
        film = made.choice(films)
        return Grant(source, id_, None, 0, 1, reason, starts, ends, withheld, film, hours)
    plan, level, streams = made.choice([("basic", 1, 2), ("premium", 2, 4), ("deluxe", 3, 6)])
    return Grant(source, id_, plan, level, streams, source, starts, ends, withheld)


@pytest.mark.parametrize("seed", range(40))
def test_both_give_the_same_answer(make: Factory, database: Database, seed: int) -> None:
    made, now = random.Random(seed), datetime.now(UTC)  # noqa: S311 - a seed to repeat it by
    films = [make.video(level=level) for level in (1, 2, 3)]
    viewer = Viewer(database)
    held = [any_grant(made, number, films, now) for number in range(made.randint(0, 6))]
    viewer.holds(*held)
    kept = of_grants(held, now)
    if made.random() < 0.7:
        viewer.keeps(**asdict(kept))
    else:
        # As after a gift that ended in the meantime: what was kept is over, and nothing was computed anew.
        viewer.keeps(level=3, plan="deluxe", streams=6, reason="gift", until=now - HOUR)
        kept = of_grants([], now)
    for level, film in enumerate(films, start=1):
        answer = viewer.open(film)
        holds = kept.until is not None and kept.until > now
        grant = opening(held, video_id=film, level=level, now=now)
        if holds and kept.level >= level:
            assert (answer["outcome"], answer["reason"], answer["plan"]) == (
                "allowed",
                kept.reason,
                kept.plan,
            )
        elif grant is not None:
            assert (answer["outcome"], answer["reason"], answer["plan"]) == (
                "allowed",
                grant.reason,
                grant.plan,
            )
            if grant.window_hours is None:
                assert answer["until"] == grant.ends_at
            else:
                assert abs(answer["until"] - datetime.now(UTC) - 48 * HOUR) < timedelta(minutes=1)
        else:
            expected = "plan_upgrade_required" if holds else "subscription_required"
            assert answer["outcome"] == expected


def test_a_film_s_own_grant_counts_one_stream_beside_none(make: Factory, database: Database) -> None:
    """A rental allows one screen; a plan that allows more lends them to it."""
    film = make.video(level=2)
    alone, planned = Viewer(database), Viewer(database)
    now = datetime.now(UTC)
    for viewer in (alone, planned):
        viewer.holds(
            Grant("purchase", uuid.uuid4().hex, None, 0, 1, "purchase", now - HOUR, None, video_id=film)
        )
    planned.keeps(plan="basic", level=1, streams=2, reason="subscription", until=now + HOUR)
    for viewer, second in ((alone, "too_many_streams"), (planned, "allowed")):
        assert viewer.open(film)["outcome"] == "allowed"
        assert viewer.open(film, viewer.login("Telephone"))["outcome"] == second


def test_a_rental_that_is_refused_for_another_reason_is_not_begun(make: Factory, database: Database) -> None:
    film, other = make.video(level=1), make.video(level=0)
    viewer, now = Viewer(database), datetime.now(UTC)
    rented = Grant("purchase", uuid.uuid4().hex, None, 0, 1, "rental", now, now + HOUR, None, film, 48)
    viewer.holds(rented)
    assert viewer.open(other)["outcome"] == "allowed"
    assert viewer.open(film, viewer.login("Telephone"))["outcome"] == "too_many_streams"
    assert row(database, rented).first_played_at is None


def test_a_sync_does_not_touch_what_playing_began(make: Factory, database: Database) -> None:
    film, viewer, now = make.video(level=1), Viewer(database), datetime.now(UTC)
    rented = Grant("purchase", uuid.uuid4().hex, None, 0, 1, "rental", now, now + HOUR, None, film, 48)
    viewer.holds(rented)
    viewer.open(film)
    begun = row(database, rented)
    with database.transaction() as tx:
        stored.keep(tx, viewer.id, [rented], cause="test")
    assert row(database, rented) == begun


def row(database: Database, grant: Grant) -> Any:
    with database.transaction() as tx:
        return tx.execute(select(grants).where(grants.c.source_id == grant.source_id)).one()


def test_a_provider_that_is_not_set_up_takes_no_lease_and_begins_no_rental(
    make: Factory, database: Database, environment: dict[str, str]
) -> None:
    film, viewer, now = make.video(level=2, provider="cloudflare"), Viewer(database), datetime.now(UTC)
    rental = Grant("purchase", "cs_1", None, 0, 1, "rental", now, now + 30 * 24 * HOUR, None, film, 48)
    viewer.holds(rental)
    mux = {"mux": playback_signers(Environment(environment))["mux"]}
    settings = Environment({}).playback()
    without = Playback(database, mux, SystemClock(), settings)
    mine = Claims(viewer.id, viewer.session)
    with pytest.raises(UnavailableError):
        without.open(mine, film, None)
    with database.transaction() as tx:
        begun = select(grants.c.first_played_at).where(grants.c.user_id == viewer.id)
        assert tx.execute(begun).scalar_one() is None
        leases = select(func.count()).where(playback_sessions.c.user_id == viewer.id)
        assert tx.execute(leases).scalar_one() == 0
    # Set up again; and then not any more, in the middle of the film.
    whole = Playback(database, playback_signers(Environment(environment)), SystemClock(), settings)
    opened = uuid.UUID(whole.open(mine, film, None)["session_id"])
    with pytest.raises(UnavailableError):
        without.beat(mine, opened, position=7, stop=False)
    beaten = whole.beat(mine, opened, position=8, stop=False)
    assert beaten is not None
    assert beaten["position"] == 8
