"""The account's books: every object, what happened to it, and the sandbox's clock."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from infra.local.sandbox.deliveries import Deliveries
from infra.local.sandbox.state import State
from infra.local.sandbox.stripe.errors import missing

Object = dict[str, Any]
#: Of an event: the bodies to send, each with the seconds it is held back.
Post = Callable[[Object], list[tuple[str, float]]]

API_VERSION = "2026-10-28.endive"
CHANNEL = "stripe"
#: Seconds Stripe keeps events.
EVENTS_KEPT = 30 * 86400

_PREFIXES = {
    "charge": "ch",
    "checkout.session": "cs_test",
    "billing_portal.configuration": "bpc",
    "billing_portal.session": "bps",
    "coupon": "",
    "credit_note": "cn",
    "customer": "cus",
    "customer_balance_transaction": "cbtxn",
    "discount": "di",
    "dispute": "du",
    "event": "evt",
    "invoice": "in",
    "invoice_payment": "inpay",
    "item": "li",
    "line_item": "il",
    "payment_intent": "pi",
    "payment_method": "pm",
    "price": "price",
    "product": "prod",
    "promotion_code": "promo",
    "refund": "re",
    "request": "req",
    "subscription": "sub",
    "radar.early_fraud_warning": "issfr",
    "subscription_item": "si",
    "subscription_schedule": "sub_sched",
    "webhook_endpoint": "we",
}


def new_id(kind: str) -> str:
    """An id as Stripe makes them for the kind (an object's ``object``)."""
    prefix = _PREFIXES[kind]
    return f"{prefix}_{secrets.token_hex(12)}" if prefix else secrets.token_hex(4)


def shown(thing: Any) -> Any:
    """What a client sees: without the names starting with ``_``, which are the sandbox's own notes."""
    if isinstance(thing, dict):
        return {name: shown(value) for name, value in thing.items() if not name.startswith("_")}
    if isinstance(thing, list):
        return [shown(value) for value in thing]
    return thing


def difference(before: Object, after: Object) -> Object:
    """The former values of what changed, as in an event's ``previous_attributes``."""
    changed: Object = {}
    for name in before.keys() | after.keys():
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        both = isinstance(old, dict) and isinstance(new, dict)
        changed[name] = difference(old or {}, new or {}) if both else old
    return changed


@dataclass(frozen=True)
class Origin:
    """The API request a change came from; both None for what a page, the control or the clock did."""

    request_id: str | None = None
    idempotency_key: str | None = None


class Book:
    """Reads and writes objects, and tells of every change by an event.

    Objects are dicts as Stripe shows them, plus notes under names that start with ``_``.
    All writes belong inside :meth:`transaction`.

    Args:
        post: What becomes of an event on its way.
    """

    def __init__(self, state: State, deliveries: Deliveries, post: Post) -> None:
        self._state = state
        self.deliveries = deliveries
        self._post = post
        self._origin = Origin()
        self._happened: list[Object] = []
        clock = state.get("stripe.clock", "clock") or {"ahead": 0}
        self._ahead: float = clock["ahead"]
        self._frozen: int | None = None
        self.changes = 0
        """Counts the writes, so that who watches the books knows when to look again."""
        # Events are many and most lists want few: only what lists choose by is held in memory.
        self._told = [_outline(event) for event in self.all("event")]

    # Time

    def now(self) -> int:
        """The sandbox's time in Unix seconds: the real one, moved ahead as told."""
        return self._frozen if self._frozen is not None else int(time.time() + self._ahead)

    @contextmanager
    def at(self, moment: int) -> Iterator[None]:
        """What happens inside, happens at ``moment``."""
        before, self._frozen = self._frozen, moment
        try:
            yield
        finally:
            self._frozen = before

    def move_clock(self, moment: float) -> None:
        """Make ``moment`` (Unix seconds) the sandbox's now; time flows on from there."""
        self._ahead = moment - time.time()
        self._state.put("stripe.clock", "clock", {"ahead": self._ahead})

    # Objects

    @contextmanager
    def transaction(self, origin: Origin | None = None) -> Iterator[list[Object]]:
        """All changes inside and their events, or nothing; events are sent on when it ends well.

        Yields the list its events gather in; each gains ``_delivery``, its delivery's id, at the end, unless it is
        lost on the way.
        """
        self._origin, self._happened = origin or Origin(), []
        happened = self._happened
        with self._state.transaction():
            yield happened
            # What the customer waits for goes first: Stripe holds the success page back for it.
            for event in sorted(happened, key=lambda e: e["type"] != "checkout.session.completed"):
                for body, delay in self._post(event):
                    event["_delivery"] = self.deliveries.enqueue(
                        CHANNEL, event_id=event["id"], event_type=event["type"], body=body, delay=delay
                    )
                self._send_elsewhere(event)
        self._told += [_outline(event) for event in happened]

    def _send_elsewhere(self, event: Object) -> None:
        """To endpoints that were made by the API, beside the installation's own."""
        body = json.dumps(shown(event), separators=(",", ":"))
        for endpoint in self.all("webhook_endpoint"):
            channel, wanted = f"{CHANNEL}.{endpoint['id']}", endpoint["enabled_events"]
            listens = endpoint["status"] == "enabled" and ("*" in wanted or event["type"] in wanted)
            if listens and self.deliveries.knows(channel):
                self.deliveries.enqueue(channel, event_id=event["id"], event_type=event["type"], body=body)

    def find(self, kind: str, id: str | None) -> Object | None:
        """The object, or None."""
        return self._state.get(f"stripe.{kind}", id) if id else None

    def get(self, kind: str, id: str, param: str = "id") -> Object:
        """The object; refused if it does not exist, in the name of the parameter that gave the id."""
        found = self.find(kind, id)
        if found is None:
            raise missing(kind, id, param)
        return found

    def all(self, kind: str) -> list[Object]:
        """Every object of the kind, oldest first."""
        return self._state.all(f"stripe.{kind}")

    def keep(self, thing: Object) -> Object:
        """Write the object as it is, without an event."""
        self._state.put(f"stripe.{thing['object']}", thing["id"], thing)
        self.changes += 1
        return thing

    def create(self, thing: Object, *event_types: str) -> Object:
        """Write a new object and tell of it."""
        self.keep(thing)
        for event_type in event_types:
            self.tell(event_type, thing)
        return thing

    def change(self, thing: Object, event_type: str | None, /, **changes: Any) -> Object:
        """Change and write an object; tell of it with its former values if anything a client sees differs."""
        before = shown(thing)
        thing.update(changes)
        self.keep(thing)
        previous = difference(before, shown(thing))
        if event_type and previous:
            self.tell(event_type, thing, previous)
        return thing

    def tell(self, event_type: str, thing: Object, previous: Object | None = None) -> None:
        """Something happened to ``thing``: an event with it as it is now."""
        data: Object = {"object": shown(thing)}
        if previous is not None:
            data["previous_attributes"] = previous
        event: Object = {
            "id": new_id("event"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": self._origin.request_id, "idempotency_key": self._origin.idempotency_key},
            "type": event_type,
        }
        self._happened.append(self.keep(event))

    def events(self) -> list[Object]:
        """The outlines of the events Stripe still keeps, oldest first: ``id, created, type, pending_webhooks``."""
        pending = {d["event_id"] for d in self.deliveries.recent(CHANNEL) if d["status"] != "delivered"}
        since = self.now() - EVENTS_KEPT
        return [
            event | {"pending_webhooks": int(event["id"] in pending)}
            for event in self._told
            if event["created"] >= since
        ]

    def event(self, outline: Object) -> Object:
        """The whole event of an outline."""
        return self.get("event", outline["id"]) | {"pending_webhooks": outline["pending_webhooks"]}


def _outline(event: Object) -> Object:
    return {name: event[name] for name in ("id", "created", "type")}
