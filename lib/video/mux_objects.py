"""What Mux says of an upload or an asset, by webhook or when asked, as `Progress`."""

from collections.abc import Mapping
from typing import Any

from lib.video.facts import duration, identifier, languages, reason
from lib.video.ports import Progress

NOT_UPLOADED = "The upload was not finished"


def of_asset(asset: Mapping[str, Any]) -> Progress:
    """An asset: `preparing`, `ready` or `errored`.

    Raises:
        ValueError, KeyError, TypeError: it lacks what would make it playable, or is no asset.
    """
    asset_id = identifier(asset["id"])
    status = asset.get("status")
    if status == "errored":
        messages = (asset.get("errors") or {}).get("messages") or []
        return Progress("errored", asset_id, error=reason(messages[0] if messages else ""))
    if status != "ready":
        return Progress("processing", asset_id)
    # By policy, not by place: an asset may have a public id too.
    ids = asset.get("playback_ids") or []
    # Both take tokens; the second takes a licence as well.
    signed = [
        identifier(item["id"]) for policy in ("signed", "drm") for item in ids if item["policy"] == policy
    ]
    if not signed:
        return Progress("errored", asset_id, error="The asset has no signed playback id")
    return Progress(
        "ready",
        asset_id,
        signed[0],
        duration(asset["duration"]),
        captions=_languages(asset, "text"),
        audio_languages=_languages(asset, "audio"),
    )


def _languages(asset: Mapping[str, Any], type_: str) -> tuple[str, ...]:
    """Of the tracks of a type that can be played by now. The sound of the file itself is in one undetermined, mostly."""
    tracks = [track for track in asset.get("tracks") or [] if track.get("type") == type_]
    told = [track.get("language_code") for track in tracks if track.get("status") in (None, "ready")]
    return languages(tag for tag in told if tag != "und")


def of_upload(upload: Mapping[str, Any]) -> Progress:
    """An upload; once it became an asset, that is what to ask for.

    Raises:
        ValueError, KeyError, TypeError: it is no upload.
    """
    status = upload["status"]
    if status == "asset_created":
        return Progress("processing", identifier(upload["asset_id"]))
    if status == "waiting":
        return Progress("waiting")
    if status not in ("errored", "cancelled", "timed_out"):
        raise ValueError("no upload's status")
    return Progress("errored", error=NOT_UPLOADED)
