"""Which passwords are refused, and the list of common ones."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from infra.service.app import ROOT
from lib.accounts.endpoints import RegisterBody
from lib.accounts.passwords import _COMMON, _common, refuse_weak, weakness
from lib.config import Environment
from lib.errors import WeakPasswordError

EMAIL, NAME = "ada.lovelace@example.com", "Ada Lovelace"


def test_the_list() -> None:
    words = _COMMON.read_text(encoding="utf-8").splitlines()
    least = Environment({}).accounts().password_min_length
    assert len(words) >= 3000
    assert [word for word in words if len(word) < least] == [], "others are too short anyway"
    assert words == sorted(set(words))
    assert [word for word in words if word != word.lower().strip()] == []
    source = _COMMON.with_name("common_passwords.LICENSE.txt").read_text()
    assert f"{len(words):,} passwords" in source
    assert "MIT License" in source


@pytest.mark.parametrize(
    "password",
    [
        *("password", "12345678", "PassWord1", "qwertyuiop", "iloveyou", "Trustno1"),
        *(EMAIL, EMAIL.upper(), "ada.lovelace", "Ada.Lovelace", NAME, NAME.lower()),
    ],
)
def test_refused(password: str) -> None:
    assert weakness(password, email=EMAIL, name=NAME)
    with pytest.raises(WeakPasswordError) as refused:
        refuse_weak(password, email=EMAIL, name=NAME)
    assert [error.field for error in refused.value.errors] == ["password"]


@pytest.mark.parametrize(
    "password",
    ["a long walk by the sea", "password password", "adalovelace", "example.com", "é" * 8, "x" * 1024],
)
def test_taken(password: str) -> None:
    assert weakness(password, email=EMAIL, name=NAME) is None
    refuse_weak(password, email=EMAIL, name=NAME)


def test_a_name_composed_differently_is_the_same_name() -> None:
    assert weakness("hélène curie", email=EMAIL, name="He\u0301le\u0300ne Curie")


def test_who_has_no_name() -> None:
    assert weakness("a long walk", email=EMAIL, name=None) is None


@pytest.mark.parametrize("password", ["short", EMAIL, "ada.lovelace"])
def test_the_list_is_read_last(password: str) -> None:
    """Nobody waits for it who is refused for something else."""
    _common.cache_clear()
    with pytest.raises(ValidationError):
        RegisterBody.model_validate({"email": EMAIL, "password": password})
    assert _common.cache_info().currsize == 0
    RegisterBody.model_validate({"email": EMAIL, "password": "a long walk by the sea"})
    assert _common.cache_info().currsize == 1


def test_an_instance_starts_without_the_list() -> None:
    code = (
        "import lib.accounts.endpoints, lib.accounts.passwords as p; print(p._common.cache_info().currsize)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "0\n"
