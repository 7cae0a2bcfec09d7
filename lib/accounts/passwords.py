"""Which passwords are refused, whoever sets one. How long it must be is checked before, with the body."""

import unicodedata
from functools import cache
from pathlib import Path

from lib.errors import FieldError, WeakPasswordError

_COMMON = Path(__file__).with_name("common_passwords.txt")


def weakness(password: str, *, email: str | None, name: str | None) -> str | None:
    """What is wrong with a password of this person, as a sentence; None where nothing is."""
    guess = password.lower()
    local_part = email.rpartition("@")[0] if email else None
    if guess in {email, local_part, unicodedata.normalize("NFC", name or "").lower()}:
        return "should not be the email address or the name"
    # The list last: most requests get by without it.
    if guess in _common():
        return "is among the most common passwords"
    return None


def refuse_weak(password: str, *, email: str, name: str | None) -> None:
    """Raises WeakPasswordError."""
    found = weakness(password, email=email, name=name)
    if found:
        raise WeakPasswordError(errors=[FieldError("password", "weak_password", found)])


@cache
def _common() -> frozenset[str]:
    return frozenset(_COMMON.read_text(encoding="utf-8").splitlines())
