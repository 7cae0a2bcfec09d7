"""Processes that do one step of the webhook path, and die by SIGKILL where they are told to.

`python -m tests.faults.mortal DATABASE_URL STRIPE_KEY STRIPE_BASE QUEUE_FILE` reads orders from standard input, a
JSON line each: `{"do": "deliver", "payload": …}` or `{"do": "process", "event_id": …}`, with `"die": <step>` or
null. Each order is carried out by a child of its own, made by fork and gone with it. The answer is a line: `done`,
`killed`, or what went wrong.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from lib.adapters.stripe_payments import StripePayments
from lib.billing.ports import Customer
from lib.config import Environment, StripeSettings
from lib.database.engine import Database
from lib.web.ports import SystemClock, Task
from tests.billing import Billing, signed
from tests.integration.dying import DyingClock, DyingDatabase, die

RECEIVING = ("before the insert", "before the enqueue", "after the enqueue")
PROCESSING = ("with the locks held", "half written", "after the commit")


class DyingStripe(StripePayments):
    def __init__(self, settings: StripeSettings, step: str | None) -> None:
        super().__init__(settings, "https://app.example.com")
        self._step = step

    def customer(self, customer_id: str, *, films: bool = False) -> Customer:
        if self._step == "with the locks held":
            die()
        return super().customer(customer_id, films=films)


class FileQueue:
    """A queue that outlives who puts something into it: a line in a file for each task."""

    def __init__(self, path: str, step: str | None) -> None:
        self._path = path
        self._step = step

    def enqueue(self, task: Task) -> None:
        if self._step == "before the enqueue":
            die()
        with Path(self._path).open("a") as file:
            file.write(json.dumps(dict(task.body)) + "\n")
        if self._step == "after the enqueue":
            die()


def carry_out(order: dict[str, Any], url: str, stripe: StripeSettings, queue: str) -> None:
    step = order["die"]
    settings = Environment({"DATABASE_URL": url}).database()
    database = DyingDatabase(settings) if step == "before the insert" else Database(settings)
    clock = DyingClock(step) if step == "half written" else SystemClock()
    billing = Billing(database, DyingStripe(stripe, step), tasks=FileQueue(queue, step), clock=clock)
    if order["do"] == "deliver":
        payload = order["payload"].encode()
        billing.inbox.receive(payload, signed(payload))
    else:
        billing.events.process({"event_id": order["event_id"]})
        if step == "after the commit":
            die()


def in_a_child(order: dict[str, Any], *means: Any) -> str:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            carry_out(order, *means)
            status = 0
        except BaseException as error:  # noqa: BLE001 - told by the exit status; nothing of the parent's may run
            sys.stderr.write(f"{error!r}\n")
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "killed" if os.WTERMSIG(status) == signal.SIGKILL else f"signal {os.WTERMSIG(status)}"
    return "done" if os.WEXITSTATUS(status) == 0 else "failed"


def main(url: str, key: str, base: str, queue: str) -> None:
    for line in sys.stdin:
        sys.stdout.write(in_a_child(json.loads(line), url, StripeSettings(key, base), queue) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
