"""One JSON line a request, in the form Cloud Logging reads.

Only what is listed here is written: no header, no body, no query, no address of a person. An error's
text may carry any of these, so of an unexpected error its type and the places in our code are written.
"""

import json
import sys
import traceback
from collections.abc import Mapping

_as_json = json.JSONEncoder(default=str, separators=(",", ":")).encode
_SEVERITY = ((500, "ERROR"), (400, "NOTICE"), (0, "INFO"))


def line(severity: str, message: str, fields: Mapping[str, object]) -> None:
    """Write one line to standard output."""
    entry = {"severity": severity, "message": message, **fields}
    sys.stdout.write(_as_json(entry) + "\n")
    sys.stdout.flush()


def severity_of(status: int) -> str:
    """INFO for success, NOTICE for refusals, ERROR for faults and for 503."""
    return next(name for least, name in _SEVERITY if status >= least)


def places(error: BaseException) -> list[str]:
    """Type and `file:line function` of an error and of what caused it, without its text."""
    found: list[str] = []
    current: BaseException | None = error
    while current is not None and len(found) < 40:
        found.append(type(current).__qualname__)
        found += [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(current.__traceback__)[-8:]
        ]
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return found
