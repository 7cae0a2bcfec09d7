"""Events that fail by themselves: tried often, then set aside in plain sight, and replayed when an operator says so."""

import json
from typing import Any

import pytest
from sqlalchemy import select, update

from lib.billing.events import Replays
from lib.billing.ports import Customer
from lib.billing.processing import MOST_FAILURES, MOST_UNFINISHED
from lib.database.engine import Database
from lib.database.retention import Retention
from lib.database.schema import audit_log, inbox
from lib.errors import UnavailableError
from tests.billing import BASIC, Billing, event
from tests.fakes.payments import FakePayments
from tests.integration.test_crashes import killed_at


class PoisonedPayments(FakePayments):
    """Says of some customers what our code does not understand."""

    def __init__(self) -> None:
        super().__init__()
        self.poisoned: set[str] = set()

    def customer(self, customer_id: str, *, films: bool = False) -> Customer:
        found = super().customer(customer_id, films=films)
        if customer_id in self.poisoned:
            raise KeyError("a field that is not there")
        return found


@pytest.fixture
def payments() -> PoisonedPayments:
    return PoisonedPayments()


@pytest.fixture
def billing(database_apart: Database, payments: PoisonedPayments) -> Billing:
    return Billing(database_apart, payments)


@pytest.fixture
def replays(billing: Billing) -> Replays:
    return Replays(billing.database, billing.tasks)


def row(billing: Billing, payload: bytes) -> Any:
    with billing.database.transaction() as tx:
        return tx.execute(select(inbox).where(inbox.c.event_id == json.loads(payload)["id"])).one()


def poisoned(billing: Billing, payments: PoisonedPayments) -> tuple[Any, str, bytes]:
    """A user whose one event cannot be processed; their customer, and the event."""
    user = billing.user()
    customer = billing.customer(user)
    payments.subscribe(customer, BASIC)
    payments.poisoned.add(customer)
    payload = event(customer)
    billing.deliver(payload)
    return user, customer, payload


def fail(billing: Billing, payload: bytes, times: int) -> None:
    for _ in range(times):
        with pytest.raises(KeyError):
            billing.events.process({"event_id": json.loads(payload)["id"]})


def kill(billing: Billing, payload: bytes) -> None:
    fail(billing, payload, MOST_FAILURES - 1)
    # The last time is answered as done, so that the queue stops.
    billing.events.process({"event_id": json.loads(payload)["id"]})


def test_it_is_given_up_after_so_many_times(
    billing: Billing, payments: PoisonedPayments, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, payload = poisoned(billing, payments)
    fail(billing, payload, MOST_FAILURES - 1)
    assert (row(billing, payload).state, row(billing, payload).attempts) == ("received", MOST_FAILURES - 1)
    capsys.readouterr()
    billing.events.process({"event_id": json.loads(payload)["id"]})
    found = row(billing, payload)
    assert (found.state, found.attempts, found.last_error) == ("dead", MOST_FAILURES, "KeyError")
    (line,) = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert (line["severity"], line["message"]) == ("ERROR", "event given up")
    assert line["event_id"] == found.event_id
    assert "a field that is not there" not in json.dumps(line), "an error's text may hold anything"


def test_the_dead_are_left_alone_and_counted(billing: Billing, payments: PoisonedPayments) -> None:
    _, _, payload = poisoned(billing, payments)
    kill(billing, payload)
    billing.fake_tasks.queued.clear()
    calls = len(payments.calls)
    billing.deliver(payload)  # Stripe sends it again
    billing.events.process({"event_id": json.loads(payload)["id"]})  # a task that was on its way
    with billing.database.transaction() as tx:
        tx.execute(update(inbox).values(enqueued_at=inbox.c.enqueued_at - _days(100)))
        tx.execute(update(inbox).values(received_at=inbox.c.received_at - _days(100)))
    assert billing.left.reconcile() == {"events_left": 0, "events_enqueued": 0, "events_dead": 1}
    Retention(billing.database).purge()
    assert row(billing, payload).state == "dead"
    assert billing.fake_tasks.queued == []
    assert len(payments.calls) == calls


def test_one_is_replayed_with_all_its_tries(
    billing: Billing, payments: PoisonedPayments, replays: Replays
) -> None:
    user, customer, payload = poisoned(billing, payments)
    kill(billing, payload)
    replays.one(json.loads(payload)["id"], actor="operator:ann")
    assert (row(billing, payload).state, row(billing, payload).attempts) == ("received", 0)
    fail(billing, payload, 1)
    payments.poisoned.clear()
    billing.work()
    assert row(billing, payload).state == "processed"
    assert billing.entitlement(user)["active"] is True
    assert customer


def test_all_are_replayed(billing: Billing, payments: PoisonedPayments, replays: Replays) -> None:
    dead = [poisoned(billing, payments) for _ in range(3)]
    for _, _, payload in dead:
        kill(billing, payload)
    payments.poisoned.clear()
    billing.fake_tasks.queued.clear()
    assert replays.dead() == 3
    assert set(replays.all_dead(actor="operator:ann")) == {
        json.loads(payload)["id"] for _, _, payload in dead
    }
    assert (replays.dead(), billing.work()) == (0, 3)
    assert [billing.entitlement(user)["active"] for user, _, _ in dead] == [True] * 3
    with billing.database.transaction() as tx:
        said = tx.execute(select(audit_log.c.actor, audit_log.c.detail).where(audit_log.c.user_id.is_(None)))
        assert [tuple(line) for line in said] == [("operator:ann", {"dead": 3})]


def test_a_customer_that_stripe_does_not_know_is_the_events_own_fault(
    billing: Billing, payments: PoisonedPayments
) -> None:
    """Refused as out of reach, since nothing may be taken away for it; but it would be so for ever."""
    user = billing.user()
    payload = event(billing.customer(user))
    billing.deliver(payload)
    payments.customers.clear()
    for _ in range(MOST_FAILURES - 1):
        with pytest.raises(Exception, match="does not know"):
            billing.events.process({"event_id": json.loads(payload)["id"]})
    billing.events.process({"event_id": json.loads(payload)["id"]})
    assert row(billing, payload).state == "dead"


def test_what_kills_its_process_each_time_is_dead_one_day(
    billing: Billing, apart: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The try is counted before it: a process that is gone counts nothing."""
    customer = billing.customer(billing.user())
    payload = event(customer)
    billing.deliver(payload)
    for number in (1, 2):
        killed_at(apart, "with the locks held", customer, payload)
        found = row(billing, payload)
        assert (found.state, found.unfinished, found.attempts) == ("received", number, 0)
    with billing.database.transaction() as tx:
        tx.execute(update(inbox).values(unfinished=MOST_UNFINISHED))
    capsys.readouterr()
    billing.work()
    assert (row(billing, payload).state, row(billing, payload).last_error) == ("dead", "killed")
    assert json.loads(capsys.readouterr().out)["message"] == "event given up"
    Replays(billing.database, billing.tasks).one(json.loads(payload)["id"], actor="operator:ann")
    billing.work()
    assert row(billing, payload).state == "processed"


def test_what_comes_to_an_end_begins_to_count_anew(billing: Billing, payments: PoisonedPayments) -> None:
    _, _, payload = poisoned(billing, payments)
    ends: list[tuple[bool, type[Exception]]] = [(False, KeyError), (True, UnavailableError)]
    for down, refused in ends:
        with billing.database.transaction() as tx:
            tx.execute(update(inbox).values(unfinished=MOST_UNFINISHED - 1))
        payments.down = down
        with pytest.raises(refused):
            billing.events.process({"event_id": json.loads(payload)["id"]})
        assert row(billing, payload).unfinished == 0


def _days(number: int) -> Any:
    from datetime import timedelta

    return timedelta(days=number)
