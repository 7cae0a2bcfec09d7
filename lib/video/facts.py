"""Single facts that providers tell of a video, checked before they reach the database."""

from collections.abc import Iterable

from lib.database.texts import can_be_kept

_LONGEST_SECONDS = 1e7
_LONGEST_ID = 255
_LONGEST_REASON = 500
_LONGEST_LANGUAGE = 35
_MOST_LANGUAGES = 100


def identifier(value: object) -> str:
    """An id. Raises ValueError."""
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_ID or not can_be_kept(value):
        raise ValueError("not an id")
    return value


def duration(value: object) -> float:
    """Seconds, above none. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LONGEST_SECONDS:
        raise ValueError("not a duration")
    return float(value)


def reason(value: object) -> str:
    """Why a video failed, for its admin."""
    text = value.replace("\x00", "")[:_LONGEST_REASON] if isinstance(value, str) else ""
    return (text if can_be_kept(text) else "") or "The file could not be processed"


def languages(values: Iterable[object]) -> tuple[str, ...]:
    """Language tags, each once, in order; what is none is left out."""
    tags = {
        value: None
        for value in values
        if isinstance(value, str) and 1 <= len(value) <= _LONGEST_LANGUAGE and can_be_kept(value)
    }
    return tuple(tags)[:_MOST_LANGUAGES]
