"""Billing's services over a real database and fakes, wired as the functions wire them."""

import hashlib
import hmac
import json
import time
import uuid
from typing import Any

from lib.accounts import store as accounts
from lib.billing.events import LeftEvents
from lib.billing.kinds import STRIPE_EVENT, SYNC_ACCOUNT
from lib.billing.membership import AccountMembership
from lib.billing.ports import Payments
from lib.billing.processing import StripeEvents
from lib.billing.receiving import StripeInbox
from lib.billing.service import Checkouts, Confirmations
from lib.billing.sync import Sync
from lib.billing.syncs import AccountSyncs
from lib.config import AccessSettings, Plan
from lib.database.engine import Database
from lib.web.ports import Clock, SystemClock, Task, Tasks
from tests.fakes.tasks import FakeTasks

SECRET = "whsec_of_the_tests"
BASIC = Plan("basic", "Basic", 1, "basic_monthly", 0, 2, 799, "usd", "month")
PREMIUM = Plan("premium", "Premium", 2, "premium_monthly", 0, 4, 1499, "usd", "month")
PLANS = (BASIC, PREMIUM)
ACCESS = AccessSettings(past_due_grace_days=3, renewal_grace_hours=24)


def signed(payload: bytes, *, secret: str = SECRET, at: float | None = None) -> str:
    """The header Stripe would send, by our own hand."""
    moment = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), moment.encode() + b"." + payload, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def event(customer_id: str, type_: str = "customer.subscription.updated", **facts: Any) -> bytes:
    """A snapshot event about a subscription of this customer."""
    return json.dumps(
        {
            "id": f"evt_{uuid.uuid4().hex}",
            "object": "event",
            "type": type_,
            "data": {"object": {"id": "sub_x", "object": "subscription", "customer": customer_id}},
        }
        | facts
    ).encode()


class Billing:
    """Everything of billing around one database, one payment provider, one queue."""

    def __init__(
        self,
        database: Database,
        payments: Payments,
        *,
        tasks: Tasks | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.database = database
        self.payments = payments
        self.fake_tasks = FakeTasks()
        self.tasks = tasks or self.fake_tasks
        clock = clock or SystemClock()
        self.sync = Sync(payments, PLANS, ACCESS, clock)
        self.membership = AccountMembership(SystemClock(), PLANS)
        self.checkouts = Checkouts(database, payments, self.sync, PLANS, SystemClock())
        self.confirmations = Confirmations(database, self.sync, self.membership)
        self.inbox = StripeInbox(database, self.tasks, SystemClock(), (SECRET,))
        self.events = StripeEvents(database, payments, self.sync)
        self.syncs = AccountSyncs(database, self.sync)
        self.left = LeftEvents(database, self.tasks)
        self._kinds = {STRIPE_EVENT: self.events.process, SYNC_ACCOUNT: self.syncs.process}

    def user(self) -> uuid.UUID:
        with self.database.transaction() as tx:
            row = accounts.add_user(
                tx,
                email=f"{uuid.uuid4().hex}@example.com",
                name=None,
                password_hash="$argon2id$not-a-real-one",
            )
            assert row is not None
            return uuid.UUID(str(row.id))

    def customer(self, user_id: uuid.UUID) -> str:
        """The user's customer at the provider, as create-checkout makes it."""
        from lib.billing import store

        with self.database.transaction() as tx:
            store.lock_account(tx, user_id)
            customer_id = self.payments.create_customer(
                user_id=user_id, email="somebody@example.com", attempt=str(user_id)
            )
            store.keep_customer(tx, user_id, customer_id)
        return customer_id

    def deliver(self, payload: bytes) -> None:
        """Stripe sends an event."""
        self.inbox.receive(payload, signed(payload))

    def work(self) -> int:
        """The queue brings what it has; how much that was."""
        tasks, self.fake_tasks.queued = self.fake_tasks.queued, []
        for task in tasks:
            self.do(task)
        return len(tasks)

    def do(self, task: Task) -> None:
        """One task, as process-task does it."""
        self._kinds[task.kind](dict(task.body))

    def entitlement(self, user_id: uuid.UUID) -> dict[str, Any]:
        with self.database.transaction() as tx:
            return self.membership.of(tx, user_id, "viewer")[1]
