"""The process is killed between any two steps of the webhook path: nothing is lost, nothing done twice."""

import json
import signal
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from infra.local.supervisor import Stack
from lib.database.engine import Database
from lib.database.schema import audit_log, inbox, subscriptions
from tests.billing import BASIC, Billing, event
from tests.factories import Factory, wait_for
from tests.fakes.payments import FakePayments
from tests.integration.dying import PROCESSING, RECEIVING


@pytest.fixture
def billing(database_apart: Database) -> Billing:
    return Billing(database_apart, FakePayments())


def killed_at(url: str, step: str, customer_id: str, payload: bytes) -> None:
    """Runs the path in a process of its own, up to its death."""
    command = [sys.executable, "-m", "tests.integration.dying"]
    command += [url, step, customer_id, payload.decode()]
    ended = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


def state(billing: Billing, payload: bytes) -> str | None:
    with billing.database.transaction() as tx:
        found: str | None = tx.scalar(
            select(inbox.c.state).where(inbox.c.event_id == json.loads(payload)["id"])
        )
        return found


def effects(billing: Billing, user_id: uuid.UUID) -> dict[str, Any]:
    with billing.database.transaction() as tx:
        return {
            "subscriptions": tx.scalar(
                select(func.count()).select_from(subscriptions).where(subscriptions.c.user_id == user_id)
            ),
            "changes": tx.scalar(
                select(func.count())
                .select_from(audit_log)
                .where(audit_log.c.user_id == user_id, audit_log.c.kind == "entitlement_changed")
            ),
            "plan": billing.membership.of(tx, user_id, "viewer")[1]["plan"],
        }


def recover(billing: Billing, payload: bytes, *, redelivered: bool) -> None:
    """What the world does afterwards: Stripe sends again, reconcile looks, the queue tries again."""
    if redelivered:
        billing.deliver(payload)
    with billing.database.transaction() as tx:
        tx.execute(
            update(inbox)
            .where(inbox.c.event_id == json.loads(payload)["id"])
            .values(enqueued_at=datetime.now(UTC) - timedelta(minutes=5))
        )
    billing.left.reconcile()
    billing.work()
    # The task that had been with the queue when the process died comes too.
    billing.events.process({"event_id": json.loads(payload)["id"]})


@pytest.mark.parametrize("redelivered", [True, False], ids=["sent again", "sent once"])
@pytest.mark.parametrize("step", [*RECEIVING, *PROCESSING])
def test_killed(apart: str, billing: Billing, step: str, redelivered: bool) -> None:
    user_id = billing.user()
    customer_id = billing.customer(user_id)
    payload = event(customer_id)

    killed_at(apart, step, customer_id, payload)

    kept = state(billing, payload)
    assert kept == {"before the insert": None, "after the commit": "processed"}.get(step, "received")
    if step != "after the commit":
        assert effects(billing, user_id) == {"subscriptions": 0, "changes": 0, "plan": None}
    if kept is None and not redelivered:
        return  # Stripe got no answer, so it does send again: the other parameter
    payments = billing.payments
    assert isinstance(payments, FakePayments)
    if step != "after the commit":
        payments.subscribe(customer_id, BASIC)
    recover(billing, payload, redelivered=redelivered)
    assert state(billing, payload) == "processed"
    assert effects(billing, user_id) == {"subscriptions": 1, "changes": 1, "plan": "basic"}


def test_everything_killed_while_an_event_is_on_its_way(stack: Stack, make: Factory) -> None:
    """The real processes: paid, then functions and sandbox die at once; access comes by itself."""
    person = make.person()
    functions, sandbox = stack.processes["functions"], stack.processes["sandbox"]
    opened = person.api.post("create-checkout", {"plan": "basic"}).json()
    assert opened["session_id"]
    make.pay(person)
    functions.kill()
    sandbox.kill()
    functions.wait(10)
    sandbox.wait(10)

    def active() -> bool:
        try:
            response = person.api.http.get(
                "/account", headers={"Authorization": f"Bearer {person.api.token}"}
            )
        except httpx.TransportError:
            return False  # Answered by a worker that then noticed its killed master, and ended.
        return response.status_code == 200 and response.json()["entitlement"]["active"]

    wait_for(active, seconds=60)
    with make.database.transaction() as tx:
        count = tx.scalar(
            select(func.count()).select_from(subscriptions).where(subscriptions.c.user_id == person.id)
        )
    assert count == 1
