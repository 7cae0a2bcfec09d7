"""What Mux accepts in a request body, parameter by parameter; everything else is refused.

The accepted names are those of the SDK's `CreateUploadRequest`, `CreateAssetRequest`, `UpdateAssetRequest`,
`CreateTrackRequest` and `CreatePlaybackIDRequest`. A null counts as absent.
"""

from collections.abc import Callable, Mapping
from typing import Any

from infra.local.sandbox.mux.refusals import invalid_parameters

Body = dict[str, Any]
#: Takes a value, returns what is wrong with it, or nothing.
Check = Callable[[Any], str | None]


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be a boolean"


def _text(limit: int) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, str):
            return "must be a string"
        return None if len(value) <= limit else f"must have at most {limit} characters"

    return check


def _integer(least: int, most: int) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return "must be an integer"
        return None if least <= value <= most else f"must be between {least} and {most}"

    return check


def _one_of(*choices: str) -> Check:
    def check(value: Any) -> str | None:
        return None if value in choices else f"must be one of {', '.join(choices)}"

    return check


def _object(accepted: Mapping[str, Check]) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, dict):
            return "must be an object"
        return "; ".join(_problems(value, accepted)) or None

    return check


def _list_of(check_item: Check) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, list):
            return "must be a list"
        return next((problem for item in value if (problem := check_item(item))), None)

    return check


def _nothing(reason: str) -> Check:
    return lambda value: None if value in ([], {}) else reason


_META: dict[str, Check] = {"title": _text(512), "creator_id": _text(128), "external_id": _text(128)}
_POLICY = _one_of("public", "signed")
#: DRM needs a configuration, which Mux grants. Here everybody has this one.
DRM_CONFIGURATION = "sandbox-drm"
_PLAYBACK_ID: dict[str, Check] = {
    "policy": _one_of("public", "signed", "drm"),
    "drm_configuration_id": _one_of(DRM_CONFIGURATION),
}


def _playback_id(value: Any) -> str | None:
    if problem := _object(_PLAYBACK_ID)(value):
        return problem
    if (value.get("policy") == "drm") != (value.get("drm_configuration_id") is not None):
        return "has a drm_configuration_id with the policy drm, and only then"
    return None


NEW_PLAYBACK_ID: dict[str, Check] = {"policy": _POLICY}
NEW_RESTRICTION: dict[str, Check] = {
    "referrer": _object({"allowed_domains": _list_of(_text(255)), "allow_no_referrer": _boolean}),
    "user_agent": _object({"allow_no_user_agent": _boolean, "allow_high_risk_user_agent": _boolean}),
}
UPDATED_ASSET: dict[str, Check] = {"passthrough": _text(255), "meta": _object(_META)}
NEW_ASSET: dict[str, Check] = {
    **UPDATED_ASSET,
    "input": _nothing("takes no input beside an upload here"),
    "inputs": _nothing("takes no input beside an upload here"),
    "playback_policy": _list_of(_POLICY),
    "playback_policies": _list_of(_POLICY),
    "advanced_playback_policies": _list_of(_playback_id),
    "per_title_encode": _boolean,
    "mp4_support": _one_of("none", "standard", "capped-1080p", "audio-only", "audio-only,capped-1080p"),
    "normalize_audio": _boolean,
    "master_access": _one_of("none", "temporary"),
    "test": _boolean,
    "max_resolution_tier": _one_of("1080p", "1440p", "2160p"),
    "encoding_tier": _one_of("smart", "baseline", "premium"),
    "video_quality": _one_of("basic", "plus", "premium"),
    "static_renditions": _nothing("are not made here"),
    "copy_overlays": _boolean,
}
NEW_TRACK: dict[str, Check] = {
    "url": _text(2048),
    "type": _one_of("text", "audio"),
    "text_type": _one_of("subtitles"),
    "language_code": _text(35),
    "name": _text(255),
    "closed_captions": _boolean,
    "passthrough": _text(255),
}
NEW_UPLOAD: dict[str, Check] = {
    "timeout": _integer(60, 604800),
    "cors_origin": _text(2048),
    "new_asset_settings": _object(NEW_ASSET),
    "test": _boolean,
}


def checked(body: Body, accepted: Mapping[str, Check]) -> Body:
    """The body without its nulls.

    Raises:
        MuxError: 400, with a message for every parameter that is unknown or wrong.
    """
    if problems := _problems(body, accepted):
        raise invalid_parameters(*problems)
    return _without_nulls(body)


def page(query: Mapping[str, str], accepted: set[str], default: int = 25) -> tuple[int, int]:
    """`limit` and `page` of a list, both from 1 on.

    Raises:
        MuxError: 400, for a number out of bounds or a parameter not in `accepted`.
    """
    if unknown := set(query) - accepted - {"limit", "page"}:
        raise invalid_parameters(*(f"unknown parameter: {name}" for name in sorted(unknown)))
    numbers = []
    for name, fallback, most in (("limit", default, 100), ("page", 1, 1_000_000)):
        value = query.get(name, str(fallback))
        if not (value.isascii() and value.isdigit() and 1 <= int(value) <= most):
            raise invalid_parameters(f"{name} must be between 1 and {most}")
        numbers.append(int(value))
    return numbers[0], numbers[1]


def _problems(body: Body, accepted: Mapping[str, Check]) -> list[str]:
    problems = []
    for name, value in body.items():
        if name not in accepted:
            problems.append(f"unknown parameter: {name}")
        elif value is not None and (problem := accepted[name](value)):
            problems.append(f"{name} {problem}")
    return problems


def _without_nulls(body: Body) -> Body:
    return {
        name: _without_nulls(value) if isinstance(value, dict) else value
        for name, value in body.items()
        if value is not None
    }
