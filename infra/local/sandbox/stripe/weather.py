"""What goes wrong between Stripe and us, at a word: its API is out, its webhooks are late, doubled, lost, or thin."""

import asyncio
import json
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from infra.local.sandbox.stripe.book import Object, shown
from infra.local.sandbox.stripe.errors import Refusal

OUTAGES = ("none", "refuse", "hang", "429", "500")
FORMS = ("snapshot", "thin")
#: Longest outage and longest delay, in seconds: whoever forgets one is not left with it.
_LONGEST = 3600
#: Longest wait of one request, in seconds.
_HANGS = 60.0


class _Broken(Response):
    """The connection ends in the middle of the answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": False})


@dataclass(frozen=True)
class Webhooks:
    """How webhooks travel. Chances are per cent."""

    form: str = "snapshot"
    lose: int = 0
    double: int = 0
    delay: float = 0.0
    """Each is held back for up to so many seconds, so that they overtake each other."""


class Weather:
    """Fair until told otherwise; a restart makes it fair again."""

    def __init__(self) -> None:
        self._outage, self._ends = "none", 0.0
        self._changed = asyncio.Event()
        self._webhooks = Webhooks()
        self._dice = random.Random()  # noqa: S311 - chance, no secret

    def control(self, order: Mapping[str, Any]) -> Object:
        """``{action: "outage", mode, seconds}`` or ``{action: "webhooks", form, lose, double, delay, seed}``.

        Raises:
            Refusal: 422 for what cannot be.
        """
        if order["action"] == "outage":
            return self._break(order)
        return self._send(order)

    def _break(self, order: Mapping[str, Any]) -> Object:
        _known(order, {"mode", "seconds"})
        mode, seconds = order.get("mode"), order.get("seconds", 60)
        if mode not in OUTAGES:
            raise Refusal(f"mode must be one of {', '.join(OUTAGES)}.", status=422, param="mode")
        self._changed.set()
        self._changed = asyncio.Event()
        self._outage, self._ends = str(mode), time.monotonic() + _number("seconds", seconds, _LONGEST)
        return {"ok": True, "outage": self._outage}

    def _send(self, order: Mapping[str, Any]) -> Object:
        _known(order, {"form", "lose", "double", "delay", "seed"})
        form = order.get("form", "snapshot")
        if form not in FORMS:
            raise Refusal(f"form must be one of {', '.join(FORMS)}.", status=422, param="form")
        self._webhooks = Webhooks(
            form=str(form),
            lose=int(_number("lose", order.get("lose", 0), 100)),
            double=int(_number("double", order.get("double", 0), 100)),
            delay=_number("delay", order.get("delay", 0), _LONGEST),
        )
        seed = order.get("seed", random.SystemRandom().randrange(2**32))
        self._dice = random.Random(_number("seed", seed, 2**53))  # noqa: S311 - chance, no secret
        return {"ok": True, "webhooks": {**vars(self._webhooks), "seed": seed}}

    async def outage(self) -> Response | None:
        """What a request to the API gets instead of an answer; None in fair weather."""
        mode = self._mode()
        if mode == "hang":
            # Until the weather changes, or the outage ends.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(_HANGS, self._ends - time.monotonic()))
            return _Broken()
        if mode == "refuse":
            return _Broken()
        if mode == "none":
            return None
        kind = "rate_limit_error" if mode == "429" else "api_error"
        error = {"error": {"type": kind, "message": "The sandbox was told to answer so."}}
        return Response(json.dumps(error), int(mode), media_type="application/json")

    def _mode(self) -> str:
        return self._outage if time.monotonic() < self._ends else "none"

    def deliveries(self, event: Object) -> list[tuple[str, float]]:
        """Bodies to send of an event, each with the seconds it is held back; none if it is lost."""
        webhooks, dice = self._webhooks, self._dice
        if dice.uniform(0, 100) < webhooks.lose:
            return []
        body = json.dumps(thin(event) if webhooks.form == "thin" else shown(event), separators=(",", ":"))
        copies = 2 if dice.uniform(0, 100) < webhooks.double else 1
        return [(body, dice.uniform(0, webhooks.delay)) for _ in range(copies)]


def thin(event: Object) -> Object:
    """The same event as Stripe's thin ones tell it: what happened to which thing, and nothing of the thing itself."""
    thing = event["data"]["object"]
    kind = thing["object"]
    path = {"checkout.session": "checkout/sessions"}.get(kind, f"{kind}s")
    return {
        "id": event["id"].replace("evt_", "evt_thin_", 1),
        "object": "v2.core.event",
        "type": f"v1.{event['type']}",
        "created": datetime.fromtimestamp(event["created"], UTC).isoformat().replace("+00:00", "Z"),
        "livemode": False,
        "context": None,
        "reason": None,
        "related_object": {"id": thing["id"], "type": kind, "url": f"/v1/{path}/{thing['id']}"},
        "snapshot_event": event["id"],
    }


def _known(order: Mapping[str, Any], names: set[str]) -> None:
    if extra := order.keys() - names - {"action"}:
        raise Refusal(f"Unknown fields: {', '.join(sorted(extra))}.", status=422)


def _number(name: str, value: Any, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise Refusal(f"{name} must be a number from 0 to {most:.0f}.", status=422, param=name)
    return value
