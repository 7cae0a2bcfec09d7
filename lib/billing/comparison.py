"""All subscriptions at Stripe compared with our rows, both ways."""

import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from lib.billing import store, walk_store
from lib.billing.entitlement import LIVE_STATUSES
from lib.billing.ports import Books, ListedSubscription, Page, PageGoneError, PaidSubscription
from lib.billing.syncs import enqueue_sync
from lib.database.engine import Database
from lib.web import log
from lib.web.ports import Clock, Tasks

NAME = "stripe-subscriptions"
EVERY = timedelta(hours=24)
# Pages of one call: a hundred thousand subscriptions take most of an hour, at a few calls a second to Stripe.
PAGES = 20
# What slow answers may take up of reconcile's five minutes.
SECONDS = 60
# Our row of a subscription that has just begun may be older than the list it is looked for in.
JUST_BEGUN = timedelta(minutes=5)

_COMPARED = (
    "status",
    "price_id",
    "paused",
    "cancel_at_period_end",
    "cancel_at",
    "current_period_end",
    "trial_end",
)


@dataclass(slots=True)
class Found:
    """What a comparison came upon."""

    subscriptions_compared: int = 0
    accounts_drifted: int = 0
    customers_adopted: int = 0
    customers_unknown: int = 0

    def numbers(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class _Differences:
    """Of one page: whom to sync, and which customers belong to a user who does not know it."""

    drifted: set[uuid.UUID] = field(default_factory=set)
    adopted: dict[uuid.UUID, str] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)


class Comparison:
    """Reads the list of subscriptions from the newest to the oldest, once a day, over as many calls as it takes.

    The list is in order of creation, so a page covers a stretch of time: what our rows have in that stretch and
    the page has not is gone at Stripe. Nothing is mended here: an account that differs is synced by a task.
    """

    def __init__(self, database: Database, books: Books, tasks: Tasks, clock: Clock) -> None:
        self._database = database
        self._books = books
        self._tasks = tasks
        self._clock = clock

    def reconcile(self) -> dict[str, int]:
        """Goes on with today's comparison, if it is not done yet; what this call came upon.

        Raises:
            UnavailableError: Stripe, the database or the queue is out of reach; the next call goes on from here.
        """
        found = Found()
        ends = time.monotonic() + SECONDS
        for _ in range(PAGES):
            if not self._page(found) or time.monotonic() > ends:
                break
        return found.numbers()

    def start(self) -> None:
        """Begin anew with the next call, whenever the last one was."""
        with self._database.transaction() as tx:
            before = walk_store.position(tx, NAME, self._beginning())
            walk_store.advance(tx, NAME, before=before, then=self._beginning())

    def _beginning(self) -> dict[str, Any]:
        now = self._clock.now()
        return {
            "began": now.isoformat(),
            "done": False,
            "after": None,
            # The stretch of the next page ends here; those at its very end have been seen on the page before.
            "until": (now - JUST_BEGUN).isoformat(),
            "seen": [],
        }

    def _page(self, found: Found) -> bool:
        """One page; whether there are more."""
        with self._database.transaction() as tx:
            before = walk_store.position(tx, NAME, self._beginning())
        if before["done"]:
            if self._clock.now() - datetime.fromisoformat(before["began"]) < EVERY:
                return False
            return self._advance(before, self._beginning())
        try:
            page = self._books.subscriptions(after=before["after"])
        except PageGoneError:
            return self._advance(before, self._beginning())
        then = _next(before, page)
        with self._database.transaction() as tx:
            differences = _differences(tx, page, before)
        for user_id, customer_id in differences.adopted.items():
            self._adopt(user_id, customer_id)
        for customer_id in sorted(differences.unknown):
            log.line("ERROR", "a paying customer belongs to no account", {"customer_id": customer_id})
        # Before the page is done with: a page read twice makes the same tasks.
        for user_id in sorted(differences.drifted):
            if not enqueue_sync(self._tasks, user_id, occasion=f"comparison {before['began']}"):
                return False
        if not self._advance(before, then):
            return False
        found.subscriptions_compared += len(page.entries)
        found.accounts_drifted += len(differences.drifted)
        found.customers_adopted += len(differences.adopted)
        found.customers_unknown += len(differences.unknown)
        return page.after is not None

    def _adopt(self, user_id: uuid.UUID, customer_id: str) -> None:
        """The user has this customer from now on, unless they have one by now."""
        with self._database.transaction() as tx:
            if store.lock_account(tx, user_id).stripe_customer_id is None:
                store.keep_customer(tx, user_id, customer_id)
                store.record(tx, "customer_adopted", user_id, "reconcile", {"customer": customer_id})

    def _advance(self, before: dict[str, Any], then: dict[str, Any]) -> bool:
        with self._database.transaction() as tx:
            return walk_store.advance(tx, NAME, before=before, then=then)


def _next(before: dict[str, Any], page: Page[ListedSubscription]) -> dict[str, Any]:
    if page.after is None:
        return before | {"done": True, "after": None, "seen": []}
    ends = page.entries[-1].subscription.created_at
    seen = [entry.subscription.id for entry in page.entries if entry.subscription.created_at == ends]
    if before["until"] == ends.isoformat():
        seen = [*before["seen"], *seen]
    # A page of subscriptions that have just begun covers nothing of what is looked at.
    until = min(ends, datetime.fromisoformat(before["until"]))
    return before | {"after": page.after, "until": until.isoformat(), "seen": seen}


def _differences(tx: Connection, page: Page[ListedSubscription], before: dict[str, Any]) -> _Differences:
    different = _Differences()
    owners = walk_store.users_of_customers(tx, {entry.customer_id for entry in page.entries})
    rows = walk_store.subscription_rows(tx, {entry.subscription.id for entry in page.entries})
    worked_out = walk_store.entitled(tx, set(owners.values()))
    for entry in page.entries:
        owner = owners.get(entry.customer_id)
        if owner is not None and (
            owner not in worked_out or _differs(rows.get(entry.subscription.id), entry.subscription)
        ):
            different.drifted.add(owner)
    _look_for_owners(tx, [entry for entry in page.entries if entry.customer_id not in owners], different)
    after = page.entries[-1].subscription.created_at if page.after is not None else None
    until = datetime.fromisoformat(before["until"])
    if after is None or after < until:
        listed = {entry.subscription.id for entry in page.entries} | set(before["seen"])
        ours = walk_store.live_between(tx, after=after, until=until)
        different.drifted |= {user_id for id_, user_id in ours.items() if id_ not in listed}
    return different


def _look_for_owners(tx: Connection, entries: list[ListedSubscription], different: _Differences) -> None:
    """Customers that none of our rows name, of whom somebody pays.

    What we wrote into a subscription when it was bought says whose it is. A user who has no customer gets this one.
    Who has another, or is not known, is for a human; and so is a price of ours in somebody else's subscription.
    """
    paying = [entry for entry in entries if entry.subscription.status in LIVE_STATUSES]
    users = walk_store.known_users(tx, {entry.user_id for entry in paying if entry.user_id is not None})
    ours = walk_store.prices_sold(tx, {entry.subscription.price_id for entry in paying})
    for entry in paying:
        user_id = entry.user_id
        if user_id is not None and user_id in users and users[user_id] is None:
            if different.adopted.setdefault(user_id, entry.customer_id) == entry.customer_id:
                different.drifted.add(user_id)
            else:
                different.unknown.add(entry.customer_id)
        elif user_id is not None or entry.subscription.price_id in ours:
            different.unknown.add(entry.customer_id)


def _differs(row: Row[Any] | None, listed: PaidSubscription) -> bool:
    """Whether our row says something else. Of two that have ended it does not matter what they say."""
    if row is None:
        return listed.status in LIVE_STATUSES
    if row.status not in LIVE_STATUSES and listed.status not in LIVE_STATUSES:
        return False
    return any(_plain(getattr(row, name)) != _plain(getattr(listed, name)) for name in _COMPARED)


def _plain(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value
