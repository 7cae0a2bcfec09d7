"""mux-webhook: what happened to an upload or an asset moves the video forward.

Small enough to do before answering: no call to the outside, one statement. A failure answers 5xx and Mux
sends the event again, for a day.
"""

import json
import uuid
from typing import Any

from lib.database.engine import Database
from lib.errors import InvalidSignatureError, MalformedRequestError
from lib.video import store
from lib.web.operation import Answer, Call, Operation, Who, as_uuid
from lib.web.ports import Clock
from lib.web.signatures import verify

_LONGEST_SECONDS = 1e7

MUX_WEBHOOK = Operation(
    function="mux-webhook",
    method="POST",
    tag="Webhooks",
    summary="Events from Mux",
    who=Who.ANYONE,
    raw="An event, with the header mux-signature",
    answers={200: "lib.web.answers:ReceivedAnswer"},
    refusals=(InvalidSignatureError,),
)


class MuxEvents:
    """Receives events.

    Args:
        secrets: any of them may have signed.
    """

    def __init__(self, database: Database, clock: Clock, secrets: tuple[str, ...]) -> None:
        self._database = database
        self._clock = clock
        self._secrets = secrets

    def receive(self, payload: bytes, signature: str) -> tuple[str, bool]:
        """Apply an event; its type, and whether it changed anything.

        Events that are late, doubled, of other types or about somebody else's assets change nothing.

        Raises:
            InvalidSignatureError: nobody with a secret sent this, or not now.
            MalformedRequestError: signed, but no event.
        """
        verify(payload, signature, self._secrets, self._clock.now())
        try:
            event = json.loads(payload)
            type_, data = str(event["type"]), event["data"]
            step = _step(type_, data)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise MalformedRequestError("The body is not an event") from None
        if step is None:
            return type_, False
        video_id, status, asset_id, facts = step
        with self._database.transaction() as tx:
            moved = store.advance(tx, video_id, provider="mux", status=status, asset_id=asset_id, **facts)
        return type_, moved


def _step(type_: str, data: dict[str, Any]) -> tuple[uuid.UUID, str, str | None, dict[str, object]] | None:
    """Whose video, which state, which asset, what else became known; None for nothing of ours."""
    about = data.get("new_asset_settings") or {} if type_.startswith("video.upload.") else data
    passthrough = about.get("passthrough")
    video_id = as_uuid(passthrough) if isinstance(passthrough, str) else None
    if video_id is None:
        return None
    if type_ == "video.upload.asset_created":
        return video_id, "processing", _id(data["asset_id"]), {}
    if type_ in ("video.upload.cancelled", "video.upload.errored"):
        return video_id, "errored", None, {"error": "The upload was not finished"}
    if type_ == "video.asset.errored":
        messages = (data.get("errors") or {}).get("messages") or ["The file could not be processed"]
        return video_id, "errored", _id(data["id"]), {"error": str(messages[0]).replace("\x00", "")[:500]}
    if type_ == "video.asset.deleted":
        return video_id, "removed", _id(data["id"]), {}
    if type_ == "video.asset.ready":
        # By policy, not by place: an asset may have a public id too.
        signed = [_id(item["id"]) for item in data.get("playback_ids") or [] if item["policy"] == "signed"]
        if not signed:
            return video_id, "errored", _id(data["id"]), {"error": "The asset has no signed playback id"}
        facts = {"playback_id": signed[0], "duration": _seconds(data["duration"])}
        return video_id, "ready", _id(data["id"]), facts
    return None


def _id(value: object) -> str:
    if not isinstance(value, str) or not value or "\x00" in value:
        raise ValueError("not an id")
    return value


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or not 0 < value < _LONGEST_SECONDS:
        raise ValueError("not a duration")
    return float(value)


def mux_webhook(events: MuxEvents, call: Call) -> Answer:
    type_, moved = events.receive(call.raw, call.headers.get("Mux-Signature", ""))
    call.notes |= {"event_type": type_[:100], "moved": moved}
    return Answer(200, {"received": True})
