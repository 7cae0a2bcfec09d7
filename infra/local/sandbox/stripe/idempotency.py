"""Answers given before, so that a repeated request changes nothing."""

import hashlib
import json
from typing import Any

from infra.local.sandbox.state import State
from infra.local.sandbox.stripe.errors import Refusal

#: Seconds an answer is kept.
KEPT = 24 * 3600
_KIND = "stripe.idempotency"


class Answers:
    """The answers to POST requests by their Idempotency-Key.

    Requests are carried out one at a time, so that Stripe's 409 ``idempotency_key_in_use`` cannot arise.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def earlier(self, key: str, now: int, path: str, form: Any) -> tuple[int, str] | None:
        """The status and body answered before to the same request, if there was one.

        Raises:
            Refusal: The key is too long, or was used with another request.
        """
        if len(key) > 255:
            raise Refusal(
                f"Keys for idempotent requests can be at most 255 characters; yours has {len(key)}.",
                type="idempotency_error",
            )
        kept = self._state.get(_KIND, key)
        if kept is None or kept["at"] + KEPT <= now:
            return None
        if kept["path"] != path:
            raise Refusal(
                "Keys for idempotent requests can only be used for the same endpoint they were first used for"
                f" ('{kept['path']}' vs '{path}'). Try using a key other than '{key}' if you meant to execute a"
                " different request.",
                type="idempotency_error",
            )
        if kept["form"] != _digest(form):
            raise Refusal(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. Try"
                f" using a key other than '{key}' if you meant to execute a different request.",
                type="idempotency_error",
            )
        return kept["status"], kept["body"]

    def keep(self, key: str, now: int, path: str, form: Any, status: int, body: str) -> None:
        """Remember an answer. Refusals of the parameters themselves are not kept, as at Stripe."""
        kept = {"at": now, "path": path, "form": _digest(form), "status": status, "body": body}
        # Put anew, so that the oldest stay first.
        self._state.delete(_KIND, key)
        self._state.put(_KIND, key, kept | {"key": key})
        for old in self._state.all(_KIND):
            if old["at"] + KEPT > now:
                break
            self._state.delete(_KIND, old["key"])


def _digest(form: Any) -> str:
    return hashlib.sha256(json.dumps(form, sort_keys=True).encode()).hexdigest()
