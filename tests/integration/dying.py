"""A process that dies by SIGKILL at a named step of the webhook path: `python -m tests.integration.dying`.

Arguments: database URL, step, customer id, event as JSON. The services are the real ones; what kills is a
port whose method is the step.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from lib.billing.ports import Customer
from lib.config import Environment
from lib.database.engine import Database
from lib.web.ports import SystemClock, Task
from tests.billing import BASIC, Billing, signed
from tests.fakes.payments import FakePayments
from tests.fakes.tasks import FakeTasks

RECEIVING = ("before the insert", "before the enqueue", "after the enqueue")
PROCESSING = ("with the locks held", "half written", "after the commit")
STEPS = (*RECEIVING, *PROCESSING)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingPayments(FakePayments):
    def __init__(self, step: str) -> None:
        super().__init__()
        self._step = step

    def customer(self, customer_id: str, *, films: bool = False) -> Customer:
        if self._step == "with the locks held":
            die()
        return super().customer(customer_id, films=films)


class DyingClock(SystemClock):
    """Asked for the time when the subscriptions are written and the entitlement is not."""

    def __init__(self, step: str) -> None:
        self._step = step

    def now(self) -> datetime:
        if self._step == "half written":
            die()
        return super().now()


class DyingTasks(FakeTasks):
    def __init__(self, step: str) -> None:
        super().__init__()
        self._step = step

    def enqueue(self, task: Task) -> None:
        if self._step == "before the enqueue":
            die()
        super().enqueue(task)
        if self._step == "after the enqueue":
            die()


class DyingDatabase(Database):
    """Dies instead of asking anything."""

    @contextmanager
    def transaction(self, *, slow: bool = False) -> Iterator[Connection]:
        die()
        with super().transaction(slow=slow) as tx:
            yield tx

    def read(self, sql: str, **parameters: object) -> dict[str, Any] | None:
        die()
        return super().read(sql, **parameters)


def main(url: str, step: str, customer_id: str, payload: bytes) -> None:
    settings = Environment({"DATABASE_URL": url}).database()
    payments = DyingPayments(step)
    payments.customers["the test's"] = customer_id
    payments.subscribe(customer_id, BASIC)
    if step in RECEIVING:
        database = DyingDatabase(settings) if step == "before the insert" else Database(settings)
        Billing(database, payments, tasks=DyingTasks(step)).inbox.receive(payload, signed(payload))
    else:
        billing = Billing(Database(settings), payments, clock=DyingClock(step))
        billing.deliver(payload)
        billing.work()
        die()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4].encode())
