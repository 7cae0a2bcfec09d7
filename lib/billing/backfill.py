"""Everything billing knows, built anew from Stripe: after a loss, or where there was nothing."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lib.billing import store, walk_store
from lib.billing.entitlement import LIVE_STATUSES
from lib.billing.ports import Books, CustomerGoneError, ListedCustomer, PageGoneError, Payments
from lib.billing.sync import Sync
from lib.config import Plan
from lib.database.engine import Database
from lib.errors import UnavailableError


@dataclass(frozen=True, slots=True)
class Filled:
    """What became of one customer.

    `outcome`: `synced`; `linked`, which is synced and was not known to belong to its user before; `foreign`, of
    somebody else's; `nobody`, whose user has no account here; `second`, whose user has another customer;
    `second_paying`, the same, and subscriptions of both live: a human ends one; `failed`, which another run may mend.
    """

    customer_id: str
    user_id: uuid.UUID | None
    outcome: str


class Backfill:
    """Goes through all customers at Stripe, newest first, and syncs each account. It may be run at any time, twice
    too: what is right stays as it is. What Stripe does not know (gift codes redeemed, grants by staff, when a rental
    was first played) it cannot bring back, and does not touch.
    """

    def __init__(
        self, database: Database, books: Books, payments: Payments, sync: Sync, plans: Sequence[Plan]
    ) -> None:
        self._database = database
        self._books = books
        self._payments = payments
        self._sync = sync
        self._plans = plans

    def run(self, *, actor: str, dry_run: bool = False) -> Iterator[Filled]:
        """Yields each customer when it is done with.

        Args:
            dry_run: Stripe is asked, and what would be written is taken back.

        Raises:
            UnavailableError: the list of customers, or of prices, cannot be read.
        """
        if not dry_run:
            with self._database.transaction() as tx:
                store.add_prices(tx, self._books.sold_prices(self._plans))
        after: str | None = None
        done: set[str] = set()
        while True:
            try:
                page = self._books.customers(after=after)
            except PageGoneError:
                # The customer to go on from was deleted meanwhile: from the newest again, past those that are done.
                if after is None:
                    raise UnavailableError("The list of customers cannot be read") from None
                after = None
                continue
            for customer in page.entries:
                if customer.id not in done:
                    done.add(customer.id)
                    yield self._fill(customer, actor, dry_run=dry_run)
            after = page.after
            if after is None:
                return

    def _fill(self, customer: ListedCustomer, actor: str, *, dry_run: bool) -> Filled:
        user_id = customer.user_id
        if user_id is None:
            return Filled(customer.id, None, "foreign")
        try:
            return Filled(
                customer.id, user_id, self._link_and_sync(customer.id, user_id, actor, dry_run=dry_run)
            )
        except (UnavailableError, CustomerGoneError):
            return Filled(customer.id, user_id, "failed")

    def _link_and_sync(self, customer_id: str, user_id: uuid.UUID, actor: str, *, dry_run: bool) -> str:
        with self._database.transaction(slow=True) as tx:
            known = walk_store.known_users(tx, [user_id])
            if user_id not in known:
                return "nobody"
            linked = store.lock_account(tx, user_id).stripe_customer_id
            if linked not in (None, customer_id):
                if not self._pays(customer_id):
                    return "second"
                if self._pays(linked):
                    return "second_paying"
                # The newer one is empty: somebody pays through this one.
                linked = None
            if linked is None:
                store.keep_customer(tx, user_id, customer_id)
                if not dry_run:
                    # Pages that no row of ours knows: a second one could be paid beside them.
                    for page in self._payments.open_checkouts(customer_id):
                        self._payments.expire_checkout(page)
            # Pages for films too that the rows of a restored database do not know.
            self._sync.account(tx, user_id, actor=actor, films=True, dry_run=dry_run)
            if dry_run:
                tx.rollback()
        return "synced" if linked else "linked"

    def _pays(self, customer_id: str) -> bool:
        try:
            found = self._payments.customer(customer_id)
        except CustomerGoneError:
            return False
        return any(each.status in LIVE_STATUSES for each in found.subscriptions)
