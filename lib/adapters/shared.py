"""What functions that share a process share: parsed keys, what is kept of signatures, threads."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def shared(make: Callable[[S], T]) -> Callable[[S], T]:
    """`make`, which is called once for equal settings. They need no hash: some hold mappings.

    For what is made while functions are loaded, one after the other.
    """
    made: list[tuple[S, T]] = []

    @wraps(make, updated=())
    def found_or_made(settings: S) -> T:
        for known, thing in made:
            if known == settings:
                return thing
        made.append((settings, make(settings)))
        return made[-1][1]

    return found_or_made
