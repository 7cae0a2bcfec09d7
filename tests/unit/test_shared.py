"""What functions of one process share."""

from dataclasses import dataclass

import pytest

from lib.adapters.shared import shared


@dataclass(frozen=True)
class Settings:
    """As some of ours, they have no hash."""

    keys: dict[str, str]


class Made:
    def __init__(self, settings: Settings) -> None:
        if not settings.keys:
            raise ValueError("no key")
        self.settings = settings


def test_made_once_for_equal_settings_and_anew_for_others() -> None:
    made = shared(Made)
    first, second = made(Settings({"a": "1"})), made(Settings({"a": "2"}))
    assert made(Settings({"a": "1"})) is first
    assert made(Settings({"a": "2"})) is second
    assert (first.settings.keys, second.settings.keys) == ({"a": "1"}, {"a": "2"})
    assert shared(Made)(Settings({"a": "1"})) is not first


def test_what_could_not_be_made_is_not_kept() -> None:
    made = shared(Made)
    for _ in range(2):
        with pytest.raises(ValueError, match="no key"):
            made(Settings({}))
    assert made(Settings({"a": "1"})).settings.keys == {"a": "1"}
