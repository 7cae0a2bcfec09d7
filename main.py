"""Where functions-framework starts: a target's name leads to functions/<name>/main.py.

Nothing is imported before a target is asked for, so each function loads only what it needs.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from lib.errors import ConfigError

# Stripe's SDK loads what it finds of these, 50 ms for the asynchronous half that nobody here asks. Google's connector,
# which needs one of them, is loaded at the first connection.
_UNASKED = ("aiohttp", "httpx")


def __getattr__(name: str) -> Any:
    """The entry point `name` (`get_playback`, or as in its URL `get-playback`)."""
    function = name.replace("-", "_")
    if name.startswith("_") or not function.isidentifier() or find_spec(f"functions.{function}") is None:
        raise AttributeError(name)
    with _loading():
        try:
            return getattr(import_module(f"functions.{function}.main"), function)
        except ConfigError as error:
            # One line that says what to set; a traceback would bury it.
            raise SystemExit(f"streamly: {name} cannot start: {error}") from None


@contextmanager
def _loading() -> Iterator[None]:
    """Makes a start some fifth shorter than it would be by itself.

    Nothing of what is loaded is garbage, so nothing is searched for any. What stays is not searched later either, and
    its memory is shared with the process that is forked off to serve. To be done before anything is served: meanwhile
    nobody in this process can import what is unasked for.
    """
    absent = [library for library in _UNASKED if library not in sys.modules]
    # None stands for a library that is not installed.
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        for library in absent:
            del sys.modules[library]
