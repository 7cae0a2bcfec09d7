"""What is left at the payment provider when an account is deleted, and how it is ended.

The customer outlives the account in a row of its own, written by the deletion's own commit. The row goes when the
provider has no such customer any more; until then a task is made for it again and again.
"""

import hashlib
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from lib.billing import closure_store, store
from lib.billing.ports import CustomerGoneError, Payments
from lib.billing.unknown_customer import unknown_customer
from lib.database.engine import Database
from lib.errors import UnavailableError
from lib.web import log
from lib.web.ports import Task, Tasks

CLOSE_CUSTOMER = "close-customer"
# A task that was not done in this time is taken to be lost.
LEFT_AFTER = timedelta(seconds=30)
LEFT_AT_ONCE = 100


class Closures:
    """Notes what an account leaves, and hands it to the queue."""

    def __init__(self, database: Database, tasks: Tasks) -> None:
        self._database = database
        self._tasks = tasks

    def note(self, tx: Connection, user_id: uuid.UUID) -> None:
        """Within the deletion, which has locked the user: keeps the customer, if there is or may be one.

        Whoever buys something just now is waited for; whoever comes later finds no account.
        """
        left = closure_store.lock_customer(tx, user_id)
        if left is not None and any(left):
            closure_store.add_closure(tx, user_id, left.stripe_customer_id, left.customer_begun_at)

    def hand_on(self, user_id: uuid.UUID) -> None:
        """A task for the account's closure, if it has one. The account is gone: nothing here may refuse that."""
        try:
            with self._database.transaction() as tx:
                number = closure_store.enqueues_of_closure(tx, user_id)
        except UnavailableError as error:
            log.line("ERROR", "closure left for reconcile", {"user_id": user_id, "error": log.places(error)})
            return
        if number is not None:
            self._enqueue(user_id, number)

    def reconcile(self) -> Mapping[str, int]:
        """Closures whose task seems lost are enqueued again: how many, and how many the queue took."""
        with self._database.transaction() as tx:
            left = closure_store.take_left_closures(tx, older=LEFT_AFTER, limit=LEFT_AT_ONCE)
        taken = 0
        for user_id, number in left:
            if not self._enqueue(user_id, number):
                # The queue is out of reach: the others would only wait for it in turn.
                break
            taken += 1
        return {"closures_left": len(left), "closures_enqueued": taken}

    def _enqueue(self, user_id: uuid.UUID, number: int) -> bool:
        digest = hashlib.sha256(f"closure-{user_id}".encode()).hexdigest()[:32]
        try:
            self._tasks.enqueue(Task(f"{digest}-{number}", CLOSE_CUSTOMER, {"user_id": str(user_id)}))
        except UnavailableError as error:
            log.line("ERROR", "closure left for reconcile", {"user_id": user_id, "error": log.places(error)})
            return False
        return True


class Cancellations:
    """Ends at the payment provider what deleted accounts left: process-task's work."""

    def __init__(self, database: Database, payments: Payments) -> None:
        self._database = database
        self._payments = payments

    def cancel_everything(self, body: dict[str, Any]) -> None:
        """No page of the customer sells any more, then the customer goes, and its subscriptions with it.

        Each step bears being done again. In this order, because a page that is still open could be paid after
        its customer is gone, and nobody would know of it.

        Args:
            body: `{"user_id": …}`.

        Raises:
            UnavailableError: the provider is out of reach, does not know the customer, or a payment is under
                way on one of its pages; nothing is forgotten then.
        """
        user_id = uuid.UUID(body["user_id"])
        with self._database.transaction(slow=True) as tx:
            left = closure_store.lock_closure(tx, user_id)
            if left is None:
                return
            customers = {left.stripe_customer_id} - {None}
            if left.customer_begun_at is not None:
                # One whose id was lost with the process that made it.
                customers |= set(self._payments.find_customers(user_id, begun_at=left.customer_begun_at))
            for customer_id in sorted(customers):
                self._delete(user_id, customer_id)
                store.record(tx, "customer_deleted", user_id, CLOSE_CUSTOMER, {"customer": customer_id})
            closure_store.remove_closure(tx, user_id)

    def _delete(self, user_id: uuid.UUID, customer_id: str) -> None:
        for session_id in self._payments.open_checkouts(customer_id):
            if self._payments.expire_checkout(session_id).state == "open":
                raise UnavailableError("A payment is under way on a page of the customer", retry_after=10)
        try:
            self._payments.delete_customer(customer_id)
        except CustomerGoneError as error:
            raise unknown_customer(user_id) from error
