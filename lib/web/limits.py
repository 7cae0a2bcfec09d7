"""How often something may be tried: what throttles guessing. Counted in the database, under keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lib.database.reads import Reads, called
from lib.errors import Refusal

WINDOW = timedelta(minutes=15)

COUNT = """
    SELECT * FROM count_attempts(
        CAST(:keys AS text[]), CAST(:limits AS integer[]), CAST(:window AS interval))
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """So many attempts under a key in a window; how one more is refused, and in what words if not the usual."""

    key: str
    most: int
    kind: type[Refusal]
    detail: str | None = None

    def refusal(self, seconds_left: float) -> Refusal:
        return self.kind(self.detail, retry_after=int(seconds_left) + 1)


def count(database: Reads, limits: Sequence[Limit]) -> Refusal | None:
    """Counts one more attempt under each key, in their order, up to the first that is over its limit: its refusal.

    The keys after that one are not counted, and have no row made for them.
    """
    return refusal(limits, called(database, COUNT, **asked(limits))) if limits else None


def asked(limits: Sequence[Limit]) -> dict[str, object]:
    """The parameters of `COUNT`."""
    return {
        "keys": [limit.key for limit in limits],
        "limits": [limit.most for limit in limits],
        "window": WINDOW,
    }


def refusal(limits: Sequence[Limit], found: Mapping[str, Any]) -> Refusal | None:
    """What `COUNT` found, if that is too many."""
    place = found["refused_by"]
    return None if place is None else limits[place - 1].refusal(found["seconds_left"])
