"""Somebody who just paid is not refused because the news of it is late: their account is synced first, once."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from sqlalchemy import select, update

from lib.adapters.account_syncs import ProcessTaskSyncs
from lib.config import Environment, SyncSettings
from lib.database.engine import Database
from lib.database.schema import billing_accounts, checkouts, denial_syncs, entitlements, grants, subscriptions
from lib.video.playback import Playback
from lib.web.ports import Claims, SystemClock
from tests.api import refused
from tests.factories import Factory, Person, wait_for
from tests.integration.test_cli import under_way
from tests.machines import identity


class CountedSyncs:
    """Does what it is told when it is asked, and says so."""

    def __init__(self, does: Callable[[uuid.UUID], bool]) -> None:
        self.asked: list[uuid.UUID] = []
        self._does = does

    def sync(self, user_id: uuid.UUID) -> bool:
        self.asked.append(user_id)
        return self._does(user_id)


@pytest.fixture
def paid(make: Factory) -> Person:
    """Paid, and our rows know nothing of it but the page that was opened."""
    person = make.subscriber()
    with make.database.transaction() as tx:
        customer = str(
            tx.scalar(
                select(billing_accounts.c.stripe_customer_id).where(billing_accounts.c.user_id == person.id)
            )
        )
    wait_for(lambda: not under_way(make, customer))
    with make.database.transaction() as tx:
        for table in (entitlements, grants, subscriptions):
            tx.execute(table.delete().where(table.c.user_id == person.id))
    return person


def asked_at(make: Factory, person: Person) -> object:
    with make.database.transaction() as tx:
        return tx.scalar(select(denial_syncs.c.asked_at).where(denial_syncs.c.user_id == person.id))


def test_a_payment_that_nobody_told_of_is_found_before_the_refusal(make: Factory, paid: Person) -> None:
    film = make.video()
    response = paid.api.get("get-playback", video_id=film)
    assert response.status_code == 200, response.text
    assert response.json()["entitlement"]["reason"] == "subscription"
    assert asked_at(make, paid) is not None


def test_an_old_page_that_is_open_still_counts(make: Factory, paid: Person) -> None:
    with make.database.transaction() as tx:
        tx.execute(
            update(checkouts)
            .where(checkouts.c.user_id == paid.id)
            .values(state="open", url="https://pay.invalid", created_at=checkouts.c.created_at - _hours(5))
        )
    assert paid.api.get("get-playback", video_id=make.video()).status_code == 200


def _hours(number: int) -> object:
    from datetime import timedelta

    return timedelta(hours=number)


def test_it_is_asked_once_in_a_while(make: Factory) -> None:
    """An open page and no payment: the first refusal asks, the next ones do not."""
    person = make.person()
    assert person.api.post("create-checkout", {"plan": "basic"}).status_code == 201
    film = make.video()
    refused(person.api.get("get-playback", video_id=film), 402, "subscription_required")
    first = asked_at(make, person)
    assert first is not None
    refused(person.api.get("get-playback", video_id=film), 402, "subscription_required")
    assert asked_at(make, person) == first
    with make.database.transaction() as tx:
        tx.execute(
            update(denial_syncs)
            .where(denial_syncs.c.user_id == person.id)
            .values(asked_at=denial_syncs.c.asked_at - _hours(1))
        )
    refused(person.api.get("get-playback", video_id=film), 402, "subscription_required")
    assert asked_at(make, person) > first  # type: ignore[operator]


# -- how often, and at what price -------------------------------------------------------------------------


def playback(database: Database, syncs: CountedSyncs) -> Playback:
    settings = Environment({}).playback()
    return Playback(database, {}, SystemClock(), settings, syncs)


def claims(make: Factory, person: Person) -> Claims:
    import jwt

    payload = jwt.decode(str(person.api.token), options={"verify_signature": False})
    return Claims(uuid.UUID(payload["sub"]), uuid.UUID(payload["sid"]))


def test_who_has_no_page_costs_no_call(make: Factory, database: Database) -> None:
    person = make.person()
    syncs = CountedSyncs(lambda _user: True)
    with pytest.raises(Exception, match="no subscription"):
        playback(database, syncs).open(claims(make, person), make.video(), None)
    assert syncs.asked == []
    assert asked_at(make, person) is None


def test_of_many_at_once_one_asks(make: Factory, database: Database) -> None:
    from concurrent.futures import ThreadPoolExecutor

    person = make.person()
    assert person.api.post("create-checkout", {"plan": "basic"}).status_code == 201
    film, mine = make.video(), claims(make, person)
    syncs = CountedSyncs(lambda _user: True)
    door = playback(database, syncs)

    def ask() -> None:
        with pytest.raises(Exception, match="no subscription"):
            door.open(mine, film, None)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(ask) for _ in range(24)]:
            done.result()
    assert syncs.asked == [person.id]


def test_a_slow_sync_of_the_account_holds_no_refusal_up(make: Factory, database: Database) -> None:
    """The account's row is locked while Stripe is being asked; who is refused does not wait for it."""
    person = make.person()
    assert person.api.post("create-checkout", {"plan": "basic"}).status_code == 201
    locked = select(billing_accounts).where(billing_accounts.c.user_id == person.id).with_for_update()
    syncs = CountedSyncs(lambda _user: False)
    with database.transaction() as tx:
        tx.execute(locked).one()
        started = time.monotonic()
        with pytest.raises(Exception, match="no subscription"):
            playback(database, syncs).open(claims(make, person), make.video(), None)
        assert time.monotonic() - started < 5, "the lock is waited for 10 s"
    assert syncs.asked == [person.id]


# -- the call ---------------------------------------------------------------------------------------------


@pytest.fixture
def slow_server() -> Iterator[str]:
    """Hands out an identity at once, and answers no task."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"a.b.c")

        def do_POST(self) -> None:
            stop.wait(30)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    stop.set()
    server.shutdown()
    thread.join(10)
    server.server_close()


def test_a_sync_that_takes_long_is_not_waited_for(slow_server: str) -> None:
    syncs = ProcessTaskSyncs(SyncSettings(f"{slow_server}/process-task", slow_server), seconds=0.5)
    started = time.monotonic()
    assert syncs.sync(uuid.uuid4()) is False
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("part", ["identity", "task"])
def test_nobody_there(slow_server: str, part: str) -> None:
    nowhere = "http://127.0.0.1:1"
    url, identity_base = (f"{slow_server}/x", nowhere) if part == "identity" else (nowhere, slow_server)
    assert ProcessTaskSyncs(SyncSettings(url, identity_base)).sync(uuid.uuid4()) is False


def test_the_real_call(make: Factory, paid: Person, environment: dict[str, str]) -> None:
    assert ProcessTaskSyncs(Environment(environment).syncs(), seconds=15).sync(paid.id) is True
    assert paid.api.get("account").json()["entitlement"]["active"] is True


def test_get_playbacks_account_may_ask_for_nothing_else(make: Factory) -> None:
    token = identity(make.stack.settings, "process-task", email="playback@local.streamly")
    wanted = {"kind": "stripe-event", "body": {"event_id": "evt_x"}}
    refused(make.client(token).post("process-task", wanted), 403, "forbidden")
    refused(make.client(token).post("process-task", {"kind": "dance", "body": {}}), 403, "forbidden")
    sync = {"kind": "sync-account", "body": {"user_id": str(uuid.uuid4())}}
    assert make.client(token).post("process-task", sync).status_code == 204


def test_an_identity_is_not_given_to_a_page_of_another_site(make: Factory) -> None:
    url = f"{make.stack.base_url}/sandbox/tasks/computeMetadata/v1/instance/service-accounts/default/identity"
    assert httpx.get(url, params={"audience": "x"}).status_code == 403
    assert httpx.get(url, headers={"Metadata-Flavor": "Google"}).status_code == 400
