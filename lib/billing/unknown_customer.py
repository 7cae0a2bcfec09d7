"""A customer of ours whom the provider does not know: its key is another account's, or a person deleted them there."""

import uuid

from lib.errors import UnavailableError
from lib.web import log


def unknown_customer(user_id: uuid.UUID) -> UnavailableError:
    """Told to operators; to whoever asked the provider is out of reach, since nobody loses anything by a wrong key."""
    log.line(
        "ERROR",
        "the provider does not know a customer of ours: is the key another account's?",
        {"user_id": user_id},
    )
    return UnavailableError("The payment provider does not know this customer")
