"""A subscription's first events in every order, each twice, with a kill -9 at every step between: the end is the same.

The events are the sandbox's own, Stripe is asked by its SDK, PostgreSQL is real, and whoever dies is a process.
"""

import itertools
import json
import random
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from infra.local.supervisor import Stack
from lib.billing import store
from lib.billing.told import WANTED
from lib.config import Environment
from lib.database.engine import Database
from lib.database.schema import audit_log, grants, inbox, subscriptions
from tests.billing import Billing
from tests.contract.test_payments import Sandbox, open_page
from tests.faults.mortal import PROCESSING, RECEIVING

SAMPLE = 4


class Mortals:
    """The process that makes those that die, and the queue that outlives them."""

    def __init__(self, url: str, environment: dict[str, str], folder: Path) -> None:
        self._queue = folder / "queue"
        self._queue.touch()
        self._taken = 0
        stripe = Environment(environment).stripe()
        command = [sys.executable, "-m", "tests.faults.mortal", url, stripe.secret_key, str(stripe.api_base)]
        self._process = subprocess.Popen(
            [*command, str(self._queue)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def order(self, **order: Any) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def tasks(self) -> list[str]:
        """Events whose tasks have been put into the queue since this was asked last."""
        lines = self._queue.read_text().splitlines()
        new, self._taken = lines[self._taken :], len(lines)
        return [json.loads(line)["event_id"] for line in new]

    def stop(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture
def mortals(apart: str, environment: dict[str, str], tmp_path: Path) -> Iterator[Mortals]:
    made = Mortals(apart, environment, tmp_path)
    yield made
    made.stop()


class Buyer:
    """Somebody who has just paid at the sandbox, and every event that tells of it: `wanted` are those that can change
    who may watch, oldest first, the others are kept and ignored.
    """

    def __init__(self, billing: Billing, sandbox: Sandbox) -> None:
        self.user = billing.user()
        with billing.database.transaction() as tx:
            store.lock_account(tx, self.user)
            self.customer = sandbox.payments.create_customer(
                user_id=self.user, email="somebody@example.com", attempt=uuid.uuid4().hex
            )
            store.keep_customer(tx, self.user, self.customer)
        sandbox.pay(open_page(sandbox, self.customer, user_id=self.user))
        (bought,) = sandbox.payments.customer(self.customer).subscriptions
        # Stripe touches a new subscription once more by itself; here a word on it does.
        sandbox.call("POST", f"subscriptions/{bought.id}", **{"metadata[touched]": "yes"})
        told = sandbox.call("GET", "events", limit=100)["data"]
        mine = [
            each
            for each in reversed(told)
            if self.customer in (each["data"]["object"].get("customer"), each["data"]["object"]["id"])
        ]
        self.events = {each["id"]: json.dumps(each) for each in mine}
        self.types = [each["type"] for each in mine]
        self.wanted = [each["id"] for each in mine if each["type"] in WANTED]


def crash_through(mortals: Mortals, order: list[str], buyer: Buyer, dice: random.Random) -> set[str]:
    """Deliver in this order, work off the queue in any, and die once at every step; the steps that were died at."""
    deliveries, tasks = list(order), list[str]()
    # Early enough that one follows which makes a task; what is ignored makes none.
    to_die = {step: dice.randrange(len(order) // 3) for step in RECEIVING}
    to_die |= {step: dice.randrange(len(buyer.wanted)) for step in PROCESSING}
    counts = {"deliver": 0, "process": 0}
    died = set[str]()

    def fate(kind: str, steps: tuple[str, ...]) -> str | None:
        number = counts[kind]
        counts[kind] += 1
        due = [step for step in steps if step not in died and to_die[step] <= number]
        return due[0] if due else None

    while deliveries or tasks:
        if deliveries and (not tasks or dice.random() < 0.6):
            event_id = deliveries.pop(0)
            step = fate("deliver", RECEIVING)
            ended = mortals.order(do="deliver", payload=buyer.events[event_id], die=step)
            if ended == "killed":
                # No answer: Stripe sends it again, some time.
                deliveries.insert(dice.randint(0, len(deliveries)), event_id)
        else:
            event_id = tasks.pop(dice.randrange(len(tasks)))
            step = fate("process", PROCESSING)
            ended = mortals.order(do="process", event_id=event_id, die=step)
            if ended == "killed":
                tasks.append(event_id)
        assert ended in ("done", "killed"), ended
        if ended == "killed":
            assert step is not None
            died.add(step)
        tasks += mortals.tasks()
    return died


def effects(billing: Billing, user: uuid.UUID) -> dict[str, Any]:
    counted = {
        "subscriptions": select(func.count())
        .select_from(subscriptions)
        .where(subscriptions.c.user_id == user),
        "grants": select(func.count()).select_from(grants).where(grants.c.user_id == user),
        "changes": select(func.count())
        .select_from(audit_log)
        .where(audit_log.c.user_id == user, audit_log.c.kind == "entitlement_changed"),
    }
    with billing.database.transaction() as tx:
        return {name: tx.scalar(query) for name, query in counted.items()}


def test_every_order_with_a_death_at_every_step(
    mortals: Mortals,
    database_apart: Database,
    stack: Stack,
    environment: dict[str, str],
    dice: random.Random,
    thorough: bool,
) -> None:
    sandbox = Sandbox(stack, environment)
    billing = Billing(database_apart, sandbox.payments)
    first = Buyer(billing, sandbox)
    orders = list(itertools.permutations(range(len(first.wanted))))
    assert len(first.wanted) >= 4, first.types
    if not thorough:
        orders = dice.sample(orders, SAMPLE)
    deaths = Counter[str]()
    for places in orders:
        buyer = Buyer(billing, sandbox)
        # Each twice: the second ones, and those that are ignored, anywhere among the first.
        order = [buyer.wanted[place] for place in places]
        ignored = [event_id for event_id in buyer.events if event_id not in buyer.wanted]
        for event_id in [*buyer.wanted, *ignored, *ignored]:
            order.insert(dice.randint(0, len(order)), event_id)

        died = crash_through(mortals, order, buyer, dice)
        deaths += Counter(died)

        with database_apart.transaction() as tx:
            mine = inbox.c.event_id.in_(buyer.events)
            states = Counter(tx.scalars(select(inbox.c.state).where(mine)))
            row = tx.execute(select(subscriptions).where(subscriptions.c.user_id == buyer.user)).one()
        assert states == {"processed": len(buyer.wanted), "ignored": len(ignored)}, (order, died)
        (at_stripe,) = sandbox.payments.customer(buyer.customer).subscriptions
        assert (row.stripe_id, row.status, row.current_period_end) == (
            at_stripe.id,
            at_stripe.status,
            at_stripe.current_period_end,
        )
        assert billing.entitlement(buyer.user)["plan"] == "basic"
        assert effects(billing, buyer.user) == {"subscriptions": 1, "grants": 1, "changes": 1}, order
    print(f"{len(orders)} orders, {deaths.total()} deaths: {dict(deaths)}")
    assert set(deaths) == {*RECEIVING, *PROCESSING}, "nobody died at some step"


def test_the_events_are_those_of_a_first_payment(
    stack: Stack, environment: dict[str, str], database_apart: Database
) -> None:
    sandbox = Sandbox(stack, environment)
    buyer = Buyer(Billing(database_apart, sandbox.payments), sandbox)
    wanted = {json.loads(buyer.events[event_id])["type"] for event_id in buyer.wanted}
    assert wanted == {
        "checkout.session.completed",
        "customer.subscription.created",
        "customer.subscription.updated",
        "invoice.paid",
    }
    ignored = {
        "customer.created",
        "charge.succeeded",
        "payment_intent.created",
        "payment_intent.succeeded",
        "invoice.created",
        "invoice.finalized",
        "invoice.payment_succeeded",
    }
    assert ignored <= set(buyer.types)
    assert httpx.get(f"{stack.base_url}/sandbox/").status_code == 200
