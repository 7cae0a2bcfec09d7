"""Webhooks on their way: signed at each attempt, retried, and remembered over a restart."""

import asyncio
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import httpx

from infra.local.sandbox.state import Document, State

log = logging.getLogger(__name__)

#: Seconds between attempts: quick at first, since the functions may just be starting, about an hour in all.
DELAYS: tuple[float, ...] = (0.2, 1, 2, 5, 10, 30, *(60,) * 60)

_KIND = "delivery"
_CONCURRENCY = 8
_KEPT = 2000


@dataclass(frozen=True)
class Channel:
    """Where one provider's events go and how they are signed."""

    name: str
    """``stripe``, ``mux``, …"""
    url: str
    header: str
    """The header that carries the signature ``t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">``."""
    secret: str
    timeout: float
    """Seconds the receiver has to answer."""
    names: tuple[str, str] = ("t", "v1")
    """What the header calls the time and the signature."""

    def signature(self, body: str, now: float) -> str:
        """The header's value for ``body`` sent at ``now`` (Unix seconds)."""
        moment = int(now)
        digest = hmac.new(self.secret.encode(), f"{moment}.{body}".encode(), hashlib.sha256).hexdigest()
        return f"{self.names[0]}={moment},{self.names[1]}={digest}"


class Deliveries:
    """Sends every enqueued event until its receiver answers 2xx, or its attempts are used up.

    Use it from one event loop. A delivery is a dict ``{id, channel, url, event_id, event_type, body, status:
    pending|delivered|failed, attempts, last_status, last_error, created_at, last_attempt_at, next_attempt_at,
    delivered_at}``, times in Unix seconds.
    """

    def __init__(self, state: State, delays: Sequence[float] = DELAYS) -> None:
        """``delays`` are the seconds before the second, third, … attempt; after the last it has failed."""
        self._state = state
        self._delays = tuple(delays)
        self._channels: dict[str, Channel] = {}
        self._deliveries: dict[str, Document] = {doc["id"]: doc for doc in state.all(_KIND)}
        self._sending: dict[str, asyncio.Task[None]] = {}
        # Replaced at every change, so that any number of waiters can look again.
        self._changed = asyncio.Event()
        now = time.time()
        for delivery in self._deliveries.values():
            if delivery["status"] == "pending":
                delivery["next_attempt_at"] = now

    def register(self, channel: Channel) -> None:
        """Make a channel known; what was pending for it from before a restart is sent by :meth:`run`."""
        self._channels[channel.name] = channel
        self._notify()

    def knows(self, channel: str) -> bool:
        """Whether there is such a channel."""
        return channel in self._channels

    def enqueue(self, channel: str, *, event_id: str, event_type: str, body: str, delay: float = 0) -> str:
        """Remember an event to be sent at once, or after ``delay`` seconds; returns the delivery's id.

        Called as the last thing inside the ``state.transaction()`` that holds what happened, it is remembered
        with it or not at all; nothing is sent before the event loop runs again.
        """
        if channel not in self._channels:
            raise KeyError(f"channel {channel!r} is not registered")
        now = time.time()
        delivery: Document = {
            "id": f"dlv_{secrets.token_hex(12)}",
            "channel": channel,
            "url": self._channels[channel].url,
            "event_id": event_id,
            "event_type": event_type,
            "body": body,
            "status": "pending",
            "attempts": 0,
            "last_status": None,
            "last_error": None,
            "created_at": now,
            "last_attempt_at": None,
            "next_attempt_at": now + delay,
            "delivered_at": None,
        }
        self._save(delivery)
        self._forget_oldest()
        return str(delivery["id"])

    def redeliver(self, delivery_id: str) -> Document | None:
        """Send a delivery again, with fresh attempts, whatever became of it; None if it is unknown."""
        delivery = self._deliveries.get(delivery_id)
        if delivery is None:
            return None
        delivery.update(
            status="pending", attempts=0, last_status=None, last_error=None, next_attempt_at=time.time()
        )
        self._save(delivery)
        return dict(delivery)

    def recent(self, channel: str | None = None) -> list[Document]:
        """The deliveries (of one channel), newest first."""
        return [dict(d) for d in reversed(self._deliveries.values()) if channel in (None, d["channel"])]

    async def answered(self, delivery_id: str, timeout: float) -> bool:
        """Wait until the first attempt is over, as hosted pages do; True if it was delivered by then."""
        try:
            async with asyncio.timeout(timeout):
                while not self._deliveries[delivery_id]["attempts"]:
                    await self._changed.wait()
        except TimeoutError:
            return False
        return bool(self._deliveries[delivery_id]["status"] == "delivered")

    async def drain(self, timeout: float) -> None:
        """Wait until nothing is pending.

        Raises:
            TimeoutError: something still is after ``timeout`` seconds.
        """
        async with asyncio.timeout(timeout):
            while any(d["status"] == "pending" for d in self._deliveries.values()):
                await self._changed.wait()

    async def run(self) -> None:
        """Send what is due, for ever; the sandbox's lifespan starts it as a task and cancels it."""
        async with httpx.AsyncClient(follow_redirects=False, trust_env=False) as client:
            try:
                while True:
                    changed = self._changed
                    pause = self._start_due(client)
                    # Not wait_for: before Python 3.12 it may swallow a cancellation that comes together
                    # with what it waits for, and then nobody could end this.
                    with suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await changed.wait()
            finally:
                sending = list(self._sending.values())
                for task in sending:
                    task.cancel()
                await asyncio.gather(*sending, return_exceptions=True)

    def _start_due(self, client: httpx.AsyncClient) -> float | None:
        """Start what is due, oldest first; returns the seconds until the next will be, None for never."""
        now = time.time()
        waiting = [
            d
            for d in self._deliveries.values()
            if d["status"] == "pending" and d["id"] not in self._sending and d["channel"] in self._channels
        ]
        for delivery in waiting:
            if len(self._sending) >= _CONCURRENCY:
                return None  # the end of one of them wakes us
            if delivery["next_attempt_at"] <= now:
                task = asyncio.create_task(self._attempt(client, delivery))
                self._sending[delivery["id"]] = task
        later = [d["next_attempt_at"] - now for d in waiting if d["id"] not in self._sending]
        return max(min(later), 0.01) if later else None

    async def _attempt(self, client: httpx.AsyncClient, delivery: Document) -> None:
        channel = self._channels[delivery["channel"]]
        started, attempts = time.time(), delivery["attempts"]
        status, error = None, None
        try:
            response = await client.post(
                channel.url,
                content=delivery["body"].encode(),
                headers={
                    "Content-Type": "application/json; charset=utf-8",
                    channel.header: channel.signature(delivery["body"], started),
                },
                timeout=channel.timeout,
            )
            status = response.status_code
        except httpx.HTTPError as failure:
            error = f"{type(failure).__name__}: {failure}"
        finally:
            self._sending.pop(delivery["id"], None)
        self._record(delivery, started, attempts + 1, status, error)

    def _record(
        self, delivery: Document, started: float, attempts: int, status: int | None, error: str | None
    ) -> None:
        delivered = status is not None and 200 <= status < 300
        delivery.update(
            attempts=attempts,
            last_status=status,
            last_error=error,
            last_attempt_at=started,
            next_attempt_at=None,
        )
        if delivered:
            delivery.update(status="delivered", delivered_at=time.time())
        elif attempts > len(self._delays):
            delivery.update(status="failed")
            log.error("gave up on %s to %s: %s", delivery["event_type"], delivery["url"], error or status)
        else:
            delivery.update(status="pending", next_attempt_at=time.time() + self._delays[attempts - 1])
        self._save(delivery)

    def _save(self, delivery: Document) -> None:
        self._deliveries[delivery["id"]] = delivery
        self._state.put(_KIND, delivery["id"], delivery)
        self._notify()

    def _forget_oldest(self) -> None:
        """Bound what is kept: the oldest that is over goes first."""
        if len(self._deliveries) <= _KEPT:
            return
        over = [d["id"] for d in self._deliveries.values() if d["status"] != "pending"]
        for delivery_id in over[: len(self._deliveries) - _KEPT]:
            del self._deliveries[delivery_id]
            self._state.delete(_KIND, delivery_id)

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
