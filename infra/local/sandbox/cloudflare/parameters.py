"""What Cloudflare accepts when a direct upload is made; everything else is refused.

The names are those of its OpenAPI description (`stream_direct_upload_request`) and, for tus, of its guide to
`Upload-Metadata`.
"""

import base64
import binascii
import re
from datetime import datetime, timedelta
from typing import Any

from infra.local.sandbox.cloudflare.refusals import bad_request
from infra.local.sandbox.state import Document

_LONGEST_SECONDS = 36000
_LONGEST_EXPIRY = timedelta(hours=6, minutes=1)
_ACCEPTED: dict[str, type] = {
    "maxDurationSeconds": int,
    "requireSignedURLs": bool,
    "allowedOrigins": list,
    "creator": str,
    "meta": dict,
    "expiry": str,
    "thumbnailTimestampPct": float,
    "scheduledDeletion": str,
}
_LONGEST_CREATOR = 64
# Metadata of tus -> its name in the body of a direct upload; how its text becomes a value.
_METADATA = {
    "maxDurationSeconds": "maxDurationSeconds",
    "requiresignedurls": "requireSignedURLs",
    "expiry": "expiry",
    "name": "meta",
    "filename": "meta",
    "filetype": "meta",
    "thumbnailtimestamppct": "thumbnailTimestampPct",
}


def checked(body: object, now: datetime) -> Document:
    """The body of a direct upload.

    Raises:
        CloudflareError: 400, for the first parameter that is unknown, missing or wrong.
    """
    if not isinstance(body, dict):
        raise bad_request("the body is not a JSON object")
    for name, value in body.items():
        if name not in _ACCEPTED:
            raise bad_request(f"unknown parameter {name}")
        kind = _ACCEPTED[name]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise bad_request(f"{name} is not of its type")
    if len(body.get("creator", "")) > _LONGEST_CREATOR:
        raise bad_request(f"creator has more than {_LONGEST_CREATOR} characters")
    seconds = body.get("maxDurationSeconds")
    if not isinstance(seconds, int) or not 1 <= seconds <= _LONGEST_SECONDS:
        raise bad_request(f"maxDurationSeconds must be between 1 and {_LONGEST_SECONDS}")
    if "expiry" in body and not timedelta(minutes=2) <= _time(body["expiry"]) - now <= _LONGEST_EXPIRY:
        raise bad_request("expiry must be between 2 minutes and 6 hours from now")
    return body


def metadata(header: str) -> Document:
    """`Upload-Metadata` as the body of a direct upload, yet to be checked.

    Raises:
        CloudflareError: 400.
    """
    found: dict[str, Any] = {}
    for part in header.split(",") if header else []:
        match = re.fullmatch(r"([A-Za-z]+)(?: ([A-Za-z0-9+/=]+))?", part)
        if match is None or match[1] not in _METADATA:
            raise bad_request(f"Upload-Metadata cannot be understood at {part!r}")
        name, text = match[1], _decoded(match[2])
        if name == "requiresignedurls":
            found["requireSignedURLs"] = True
        elif name == "maxDurationSeconds":
            if not text.isdecimal():
                raise bad_request("maxDurationSeconds is no number")
            found["maxDurationSeconds"] = int(text)
        elif _METADATA[name] == "meta":
            found.setdefault("meta", {})[name] = text
        else:
            found[_METADATA[name]] = text
    return found


def _decoded(value: str | None) -> str:
    try:
        return base64.b64decode(value or "", validate=True).decode()
    except (binascii.Error, ValueError):
        raise bad_request("Upload-Metadata holds what is not base64 of text") from None


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise bad_request("expiry is no time") from None
