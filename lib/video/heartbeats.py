"""heartbeat: somebody is still watching, and hears whether they still may."""

from typing import Annotated, Literal

from pydantic import Field

from lib.errors import (
    InvalidTokenError,
    PlanUpgradeRequiredError,
    PlaybackSessionNotFoundError,
    SubscriptionRequiredError,
    TooManyStreamsError,
    VideoNotFoundError,
    VideoNotReadyError,
)
from lib.video.playback import Playback
from lib.web.bodies import Body
from lib.web.operation import Answer, Call, Operation, Who, as_uuid


class HeartbeatBody(Body):
    session_id: Annotated[str, Field(max_length=100)]
    """`session_id` of get-playback's answer."""
    position: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
    """Seconds into the film."""
    stop: bool = False
    client: Literal["web", "native", "cast"] = "web"
    """What plays it, as in get-playback."""


HEARTBEAT = Operation(
    function="heartbeat",
    method="POST",
    tag="Video",
    summary="Keep a stream alive and its position; or stop it",
    description="Answers as get-playback does, with URLs signed anew; 204 after a stop.",
    who=Who.TOKEN,
    body=HeartbeatBody,
    answers={200: "lib.video.answers:PlaybackAnswer", 204: None},
    refusals=(
        SubscriptionRequiredError,
        PlanUpgradeRequiredError,
        PlaybackSessionNotFoundError,
        VideoNotFoundError,
        VideoNotReadyError,
        TooManyStreamsError,
    ),
)


def heartbeat(playback: Playback, call: Call) -> Answer:
    if call.claims is None:
        raise InvalidTokenError
    body: HeartbeatBody = call.body
    answer = playback.beat(
        call.claims, as_uuid(body.session_id), position=body.position, stop=body.stop, client=body.client
    )
    return Answer(204) if answer is None else Answer(200, answer, private=True)
