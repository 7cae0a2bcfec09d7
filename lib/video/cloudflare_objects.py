"""What Cloudflare Stream says of a video, by webhook or when asked, as `Progress`."""

from collections.abc import Iterable, Mapping
from typing import Any

from lib.video.facts import duration, identifier, languages, reason
from lib.video.ports import Progress

_WORKING = ("downloading", "queued", "inprogress")


def of_video(
    video: Mapping[str, Any], captions: Iterable[object] = (), audio_languages: Iterable[object] = ()
) -> Progress:
    """A video; its uid stands for upload, asset and playback alike.

    Args:
        captions, audio_languages: which only Cloudflare's own lists of them tell.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it lacks what would make it playable, or is none.
    """
    uid = identifier(video["uid"])
    status = video["status"]
    state = status["state"]
    if state == "pendingupload":
        return Progress("waiting")
    if state == "error":
        return Progress(
            "errored", uid, error=reason(status.get("errorReasonText") or status.get("errorReasonCode"))
        )
    if state in _WORKING or (state == "ready" and "requireSignedURLs" not in video):
        # Ready, but who may watch is not said: reconcile asks.
        return Progress("processing", uid)
    if state != "ready":
        raise ValueError("not a state of an upload")
    if video["requireSignedURLs"] is not True:
        return Progress("errored", uid, error="The video can be watched without a token")
    return Progress(
        "ready",
        uid,
        uid,
        duration(video["duration"]),
        captions=languages(captions),
        audio_languages=languages(audio_languages),
    )
