"""Pages of videos: what chooses among them, how many, and where the next one begins.

Keyset cursors: films that come in between move nothing.
"""

import base64
import binascii
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from lib.errors import FieldError, MalformedRequestError
from lib.web.operation import Query

_EPOCH = datetime.fromtimestamp(0, UTC)

LIMIT = Query("limit", "How many at most, 1 to 100 (20)", kind="integer", least=1, most=100)
LONGEST_TEXT = 200
CURSOR = Query("cursor", "`next_cursor` of the page before")


def limit_of(query: Mapping[str, str], errors: list[FieldError]) -> int:
    """How many are asked for; what is wrong with that joins `errors`."""
    asked = query.get("limit", "20")
    if not re.fullmatch("[0-9]{1,3}", asked) or not 1 <= int(asked) <= 100:
        errors.append(FieldError("limit", "out_of_range", "should be a whole number from 1 to 100"))
        return 0
    return int(asked)


def check_texts(query: Mapping[str, str], errors: list[FieldError]) -> None:
    """What is wrong with `q` and `series`, where they are asked for, joins `errors`."""
    for name in ("q", "series"):
        text = query.get(name, "")
        if len(text) > LONGEST_TEXT:
            errors.append(FieldError(name, "too_long", f"should have up to {LONGEST_TEXT} characters"))
        if "\x00" in text:
            errors.append(FieldError(name, "string_pattern_mismatch", "should have no NUL"))


def check_alone(query: Mapping[str, str], errors: list[FieldError]) -> None:
    """A film that is asked for by its id beside what chooses among many joins `errors`; a limit does no harm."""
    if "video_id" in query and not set(query) <= {"video_id", "limit"}:
        errors.append(FieldError("video_id", "goes_alone", "cannot be asked for together with others"))


def written(place: tuple[Any, ...]) -> str:
    """A place in a list, as a cursor."""
    return base64.urlsafe_b64encode(b"".join(map(_bytes, place))).decode()


def _bytes(value: object) -> bytes:
    if isinstance(value, uuid.UUID):
        return value.bytes
    if isinstance(value, datetime):
        # In whole numbers: from 2038 on a float of seconds no longer tells all microseconds apart.
        return ((value - _EPOCH) // timedelta(microseconds=1)).to_bytes(8, "big")
    return int(str(value)).to_bytes(8, "big")


_SIZES: dict[type, int] = {uuid.UUID: 16, datetime: 8, int: 8}


def read(cursor: str | None, kinds: tuple[type, ...]) -> tuple[Any, ...] | None:
    """The place a cursor tells of; None without one.

    Raises:
        MalformedRequestError: it is none of ours.
    """
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        if len(raw) != sum(_SIZES[kind] for kind in kinds):
            raise ValueError
        place: list[object] = []
        for kind in kinds:
            part, raw = raw[: _SIZES[kind]], raw[_SIZES[kind] :]
            if kind is uuid.UUID:
                place.append(uuid.UUID(bytes=part))
            elif kind is datetime:
                place.append(_EPOCH + timedelta(microseconds=int.from_bytes(part, "big")))
            else:
                place.append(int.from_bytes(part, "big") & 0x7FFFFFFF)
        return tuple(place)
    except (ValueError, OverflowError, binascii.Error):
        raise MalformedRequestError("This cursor is not one of ours") from None
