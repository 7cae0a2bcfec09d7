"""Where functions-framework starts: a target's name leads to functions/<name>/main.py.

Nothing is imported before a target is asked for, so each function loads only what it needs.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from lib.errors import ConfigError


def __getattr__(name: str) -> Any:
    """The entry point `name` (`get_playback`, or as in its URL `get-playback`)."""
    function = name.replace("-", "_")
    if name.startswith("_") or not function.isidentifier() or find_spec(f"functions.{function}") is None:
        raise AttributeError(name)
    try:
        return getattr(import_module(f"functions.{function}.main"), function)
    except ConfigError as error:
        # One line that says what to set; a traceback would bury it.
        raise SystemExit(f"streamly: {name} cannot start: {error}") from None
