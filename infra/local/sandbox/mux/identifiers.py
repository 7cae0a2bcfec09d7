"""Identifiers the way Mux makes them: long, random, letters and digits only."""

import secrets
import string

_ALPHABET = string.ascii_letters + string.digits


def new_id(length: int = 44) -> str:
    """A fresh one; 44 characters carry 261 random bits, so it cannot be guessed."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
