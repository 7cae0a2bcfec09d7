"""Clocks that are wrong, and days that are odd.

Of a process whose clock is off by ten minutes: which clock decides what, and that nobody gets in, is locked out or
loses anything by it for good. Of the calendar: renewals at the end of months, over a leap day, over the change to
summer time and past January 2038, to the second.
"""

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from sqlalchemy import text

from infra.local.processes import free_port
from infra.local.supervisor import Stack
from lib.config import Environment
from lib.database.engine import Database
from lib.web.ports import Claims
from tests.billing import event, signed
from tests.conftest import copied
from tests.factories import PASSWORD, Factory, Person, wait_for
from tests.faults import deaths
from tests.faults.counts import tried
from tests.faults.deaths import Call, World
from tests.faults.invariants import broken

OFF = 600
both = pytest.mark.parametrize("ahead", [-OFF, OFF], ids=["behind", "ahead"])


@pytest.fixture(scope="module")
def world(stack: Stack, template: str, environment: dict[str, str]) -> Iterator[World]:
    made = World(stack, copied(template), environment)
    yield made
    made.close()


def status(world: World, call: Call, ahead: float = 0) -> int | None:
    return world.call(call, ahead=ahead).status


def ends_at(world: World, person: deaths.Person, moment: datetime) -> None:
    """Their access ends at another moment than what was given says."""
    for change in (
        "UPDATE grants SET starts_at = '2020-01-01Z', ends_at = :at WHERE user_id = :user",
        "UPDATE entitlements SET until = :at WHERE user_id = :user",
    ):
        world.sql(change, at=moment, user=person.id)


def from_stripe(world: World, customer: str) -> Call:
    """Signed at the true time."""
    payload = event(customer)
    header = {"Stripe-Signature": signed(payload, secret=world.stack.settings.stripe_webhook_secret)}
    return Call("POST", "stripe-webhook", payload.decode(), headers=header)


# -- a process whose clock is wrong -----------------------------------------------------------------------


@both
def test_signatures_of_webhooks_are_judged_by_the_process(world: World, ahead: int) -> None:
    """And what it refuses is not lost: Stripe sends again, and reconcile reads Stripe's own list."""
    person = world.person()
    customer = world.customer(person)
    call = from_stripe(world, customer)
    assert status(world, call, ahead) == 400
    assert status(world, call, ahead / 3) == 200, "five minutes are borne"
    buyer = world.person()
    lost = from_stripe(world, world.customer(buyer))
    assert status(world, lost, ahead) == 400
    world.queue.waiting.clear()
    world.catch_up()
    shown = world.done(Call("GET", "account", token=buyer.token))
    assert shown.body["entitlement"]["active"] is True


@both
def test_a_login_at_a_wrong_clock_locks_nobody_out(world: World, ahead: int) -> None:
    person = world.person()
    login = Call("POST", "login", {"email": person.email, "password": PASSWORD})
    begun = world.call(login, ahead=ahead)
    assert begun.status == 200
    # Of the future it is no token yet; of the past it ends sooner.
    there = status(world, Call("GET", "account", token=begun.body["access_token"]))
    assert there == (401 if ahead > 0 else 200)
    fresh = world.done(Call("POST", "refresh", {"refresh_token": begun.body["refresh_token"]}))
    assert status(world, Call("GET", "account", token=fresh.body["access_token"])) == 200


def test_a_clock_behind_lets_no_old_token_in_for_long(world: World) -> None:
    """Tokens end after fifteen minutes of the clock they are looked at with: at most ten more."""
    person = world.person()
    look = Call("GET", "account", token=person.token)
    assert status(world, look, 890) == 200
    assert status(world, look, 910) == 401
    # One that a true clock made is of the future to a clock behind: refused, not trusted.
    assert status(world, look, -OFF) == 401


@both
def test_machines_tokens_at_a_wrong_clock(world: World, ahead: int) -> None:
    body = {"kind": "sync-account", "body": {"user_id": str(uuid.uuid4()), "actor": "test"}}
    # Google's live for an hour; one of the future is none. Cloud Tasks calls again.
    assert status(world, world.task(body), ahead) == (204 if ahead > 0 else 401)
    assert status(world, world.task(body)) == 204


@both
def test_the_right_to_watch_is_the_databases(world: World, ahead: int) -> None:
    """Whoever asks at a wrong clock: it ends when it ends, and so do the addresses."""
    person, film = world.person(), world.film(duration=7200.0)
    world.entitle(person)
    watch = f"get-playback?video_id={film}"
    token, _ = world.tokens.issue(
        Claims(person.id, person.session), now=datetime.now(UTC) + timedelta(seconds=ahead)
    )
    call = Call("GET", watch, token=token)
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
    ends_at(world, person, soon)
    playing = world.call(call, ahead=ahead)
    assert playing.status == 200, "five minutes are left, whatever that process thinks"
    ends = datetime.fromisoformat(playing.body["expires_at"])
    signed_for = jwt.decode(playing.body["tokens"]["playback"], options={"verify_signature": False})["exp"]
    assert ends <= soon
    assert signed_for <= soon.timestamp()
    ends_at(world, person, datetime.now(UTC) - timedelta(minutes=1))
    assert status(world, call, ahead) == 402, "over is over"


def test_what_was_paid_for_ends_at_the_same_second_whoever_syncs(world: World) -> None:
    person = world.person()
    world.customer(person)
    body = {"kind": "sync-account", "body": {"user_id": str(person.id), "actor": "test"}}
    found = set()
    for ahead in (-OFF, 0, OFF):
        # The queue's token as that process has to see it.
        call = world.task(body) if ahead >= 0 else world.task(body, ago=OFF)
        assert status(world, call, ahead) == 204
        found |= set(world.sql("SELECT until FROM entitlements WHERE user_id = :u", u=person.id))
    (until,) = found
    (paid,) = world.sql("SELECT current_period_end FROM subscriptions WHERE user_id = :u", u=person.id)
    assert until == paid + timedelta(hours=24)
    assert broken(world.database) == {}


# -- odd days ---------------------------------------------------------------------------------------------


# Of the sandbox's clock at once.
LONGEST_JUMP = timedelta(days=1000)


@dataclass
class Far:
    """A place whose Stripe is ahead in time, and goes forward only."""

    make: Factory
    now: datetime

    def travel(self, moment: datetime) -> None:
        while self.now < moment:
            self.now = min(moment, self.now + LONGEST_JUMP)
            self.make.control(action="advance", to=self.now.isoformat())


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    """A stack of its own, whose Stripe goes ahead in time; its processes live in New York, its database in Berlin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        stack = Stack(
            tmp_path_factory.mktemp("far"), free_port(), durable=False, film=False, say=lambda line: None
        )
        stack.start()
        database = Database(Environment({"DATABASE_URL": stack.database_url}).database())
        with database.transaction() as tx:
            tx.execute(text("ALTER ROLE CURRENT_USER SET timezone = 'Europe/Berlin'"))
        database.dispose()
        with Factory(stack, database) as make:
            yield Far(make, datetime.now(UTC) + timedelta(minutes=1))
        database.dispose()
        stack.stop()


def until_of(make: Factory, person: Person) -> datetime:
    with make.database.transaction() as tx:
        query = text("SELECT until FROM entitlements WHERE user_id = :u")
        found: datetime = tx.execute(query, {"u": person.id}).scalar_one()
        return found.astimezone(UTC)


def renewals(far: Far, begin: datetime, ends: list[datetime]) -> None:
    """Somebody who subscribes at this moment has these periods, and access a day longer than each, to the second."""
    far.travel(begin)
    make = far.make
    person = make.subscriber()
    offset = paid_until(make, person) - ends[0]
    # The moment itself: the sandbox's clock goes on while they buy.
    assert timedelta() <= offset < timedelta(minutes=1)
    for end in ends:
        due = end + offset
        assert paid_until(make, person) == due
        wait_for(lambda due=due: until_of(make, person) == due + timedelta(hours=24), seconds=60)  # type: ignore[misc]
        shown = person.api.get("account").json()
        assert datetime.fromisoformat(shown["subscription"]["current_period_end"]) == due
        assert datetime.fromisoformat(shown["entitlement"]["until"]) == due + timedelta(hours=24)
        far.travel(due + timedelta(seconds=1))
    # The years that others jump over are not paid for.
    make.control(action="cancel", email=person.email)
    tried(f"renewals from {begin:%d %B %Y}", periods=len(ends))


def paid_until(make: Factory, person: Person) -> datetime:
    (subscription,) = make.stripe("GET", "subscriptions", customer=make.customer(person))["data"]
    seconds = subscription["items"]["data"][0]["current_period_end"]
    return datetime.fromtimestamp(seconds, UTC)


def at(year: int, month: int, day: int, hour: int = 10, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def test_the_ends_of_months(far: Far) -> None:
    renewals(
        far,
        at(2027, 1, 31),
        [at(2027, 2, 28), at(2027, 3, 31), at(2027, 4, 30), at(2027, 5, 31)],
    )


def test_summer_time_goes(far: Far) -> None:
    """Half past two in Berlin in September is half past one in November."""
    renewals(far, at(2027, 9, 30, 0, 30), [at(2027, 10, 30, 0, 30), at(2027, 11, 30, 0, 30)])


def test_a_leap_day(far: Far) -> None:
    renewals(far, at(2028, 1, 31), [at(2028, 2, 29), at(2028, 3, 31)])
    renewals(far, at(2029, 1, 30), [at(2029, 2, 28), at(2029, 3, 30)])


def test_summer_time_comes(far: Far) -> None:
    """Half past two on 31 March 2030, counted on from February, is an hour that Berlin does not have."""
    renewals(far, at(2030, 1, 31, 1, 30), [at(2030, 2, 28, 1, 30), at(2030, 3, 31, 1, 30)])


def test_past_january_2038(far: Far) -> None:
    """Seconds since 1970 need more than 31 bits from then on."""
    renewals(far, at(2037, 12, 19, 3, 14), [at(2038, 1, 19, 3, 14), at(2038, 2, 19, 3, 14)])
    viewer = far.make.subscriber()
    film = far.make.video()
    playing = viewer.api.get("get-playback", video_id=film)
    assert playing.status_code == 200
    assert datetime.fromisoformat(playing.json()["entitlement"]["until"]).year == 2038
    assert datetime.fromisoformat(playing.json()["expires_at"]) < datetime.now(UTC) + timedelta(days=1)


def test_a_process_in_2038(world: World) -> None:
    """Its own clock is past the end of 31 bits: tokens, signatures and times are as good as today's."""
    ahead = at(2038, 2, 1).timestamp() - time.time()
    person = world.person()
    login = Call("POST", "login", {"email": person.email, "password": PASSWORD})
    begun = world.call(login, ahead=ahead)
    assert begun.status == 200
    shown = world.call(Call("GET", "account", token=begun.body["access_token"]), ahead=ahead)
    assert shown.status == 200
    payload = event("cus_of_2038")
    secret = world.stack.settings.stripe_webhook_secret
    header = {"Stripe-Signature": signed(payload, secret=secret, at=time.time() + ahead)}
    assert status(world, Call("POST", "stripe-webhook", payload.decode(), headers=header), ahead) == 200
    film = world.film(duration=7200.0)
    world.entitle(person)
    ends_at(world, person, at(2039, 1, 1))
    watch = Call("GET", f"get-playback?video_id={film}", token=begun.body["access_token"])
    playing = world.call(watch, ahead=ahead)
    assert playing.status == 200
    claims = jwt.decode(playing.body["tokens"]["playback"], options={"verify_signature": False})
    assert claims["exp"] > 2**31
