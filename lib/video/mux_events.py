"""mux-webhook: what happened to an upload or an asset moves the video forward.

Small enough to do before answering: no call to the outside, one statement. A failure answers 5xx and Mux
sends the event again, for a day.
"""

import json
import uuid
from typing import Any

from lib.database.engine import Database
from lib.database.texts import can_be_kept
from lib.errors import InvalidSignatureError, MalformedRequestError
from lib.video import store
from lib.video.facts import identifier
from lib.video.mux_objects import NOT_UPLOADED, of_asset
from lib.video.ports import Progress
from lib.web.operation import Answer, Call, Operation, Who, as_uuid
from lib.web.ports import Clock
from lib.web.signatures import verify

MUX_WEBHOOK = Operation(
    function="mux-webhook",
    method="POST",
    tag="Webhooks",
    summary="Events from Mux",
    who=Who.ANYONE,
    raw="An event",
    signature="Mux-Signature",
    answers={200: "lib.web.answers:ReceivedAnswer"},
    refusals=(InvalidSignatureError,),
)


# Of an asset's captions and sound. Each tells of one of them and may be late or lost: reconcile asks for all.
_TRACKS = ("video.asset.track.ready", "video.asset.track.deleted")


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
            changed = identifier(data["asset_id"]) if type_ in _TRACKS else None
            step = _step(type_, data)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise MalformedRequestError("The body is not an event") from None
        if changed is not None:
            with self._database.transaction() as tx:
                return type_, store.look_again(tx, provider="mux", asset_id=changed)
        if step is None:
            return type_, False
        video_id, upload_id, progress = step
        with self._database.transaction() as tx:
            moved = store.advance(tx, video_id, provider="mux", progress=progress, upload_id=upload_id)
        return type_, moved


def _step(type_: str, data: dict[str, Any]) -> tuple[uuid.UUID, str, Progress] | None:
    """Whose video, by which upload (none: empty), and where it stands; None for nothing of ours.

    The passthrough alone is no proof: whoever has the environment's keys can give it to any asset.
    """
    of_upload = type_.startswith("video.upload.")
    about = data.get("new_asset_settings") or {} if of_upload else data
    passthrough = about.get("passthrough")
    video_id = as_uuid(passthrough) if isinstance(passthrough, str) else None
    progress = None if video_id is None else _progress(type_, data)
    if video_id is None or progress is None:
        return None
    upload_id = data.get("id" if of_upload else "upload_id")
    return video_id, upload_id if isinstance(upload_id, str) and can_be_kept(upload_id) else "", progress


def _progress(type_: str, data: dict[str, Any]) -> Progress | None:
    """Where the video of an event stands by it; None for types that tell nothing of that."""
    if type_ == "video.upload.asset_created":
        return Progress("processing", identifier(data["asset_id"]))
    if type_ in ("video.upload.cancelled", "video.upload.errored"):
        return Progress("errored", error=NOT_UPLOADED)
    if type_ == "video.asset.deleted":
        return Progress("removed", identifier(data["id"]))
    if type_ in ("video.asset.ready", "video.asset.errored"):
        # The type says it; whether the object repeats it does not matter.
        return of_asset(data | {"status": type_.rpartition(".")[2]})
    return None


def mux_webhook(events: MuxEvents, call: Call) -> Answer:
    type_, moved = events.receive(call.raw, call.headers.get("Mux-Signature", ""))
    call.notes |= {"event_type": type_[:100], "moved": moved}
    return Answer(200, {"received": True})
