"""What a video provider answers, read by both adapters."""

from collections.abc import Iterator
from contextlib import contextmanager

from lib.errors import UnavailableError


@contextmanager
def understood() -> Iterator[None]:
    """An answer that makes no sense is as good as none."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnavailableError("The video provider makes no sense") from error
