"""cloudflare-webhook: a video that is ready, or has failed, moves forward.

Cloudflare sends the whole video, with neither an event's id nor a type, when it is ready and when it has failed.
A state that is reached cannot be reached again, so what comes twice changes nothing.
"""

import json
import uuid

from lib.database.engine import Database
from lib.errors import InvalidSignatureError, MalformedRequestError
from lib.video import store
from lib.video.cloudflare_objects import of_video
from lib.video.ports import Progress
from lib.web.operation import Answer, Call, Operation, Who, as_uuid
from lib.web.ports import Clock
from lib.web.signatures import verify

CLOUDFLARE_WEBHOOK = Operation(
    function="cloudflare-webhook",
    method="POST",
    tag="Webhooks",
    summary="Events from Cloudflare Stream",
    who=Who.ANYONE,
    raw="A video",
    signature="Webhook-Signature",
    answers={200: "lib.web.answers:ReceivedAnswer"},
    refusals=(InvalidSignatureError,),
)


class CloudflareEvents:
    """Receives events.

    Args:
        secrets: any of them may have signed.
    """

    def __init__(self, database: Database, clock: Clock, secrets: tuple[str, ...]) -> None:
        self._database = database
        self._clock = clock
        self._secrets = secrets

    def receive(self, payload: bytes, signature: str) -> tuple[str, bool]:
        """Apply an event; the state it told of, and whether it changed anything.

        Raises:
            InvalidSignatureError: nobody with a secret sent this, or not now.
            MalformedRequestError: signed, but no video.
        """
        verify(payload, signature, self._secrets, self._clock.now(), names=("time", "sig1"))
        try:
            video_id, uid, progress = _read(payload)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise MalformedRequestError("The body is not an event") from None
        if video_id is None:
            return progress.status, False
        with self._database.transaction() as tx:
            moved = store.advance(tx, video_id, provider="cloudflare", progress=progress, upload_id=uid)
        return progress.status, moved


def _read(payload: bytes) -> tuple[uuid.UUID | None, str, Progress]:
    """Whose video (None: not one of ours), its uid, and where it stands."""
    video = json.loads(payload)
    creator = video.get("creator")
    return as_uuid(creator) if isinstance(creator, str) else None, video["uid"], of_video(video)


def cloudflare_webhook(events: CloudflareEvents, call: Call) -> Answer:
    state, moved = events.receive(call.raw, call.headers.get("Webhook-Signature", ""))
    call.notes |= {"event_type": state, "moved": moved}
    return Answer(200, {"received": True})
