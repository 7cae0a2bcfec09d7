"""The kinds of mail, and what one tells of who caused it."""

from typing import Any, Final

VERIFICATION: Final = "verification"
"""To the account's address, until that is verified: a link for verify-email."""
ALREADY_REGISTERED: Final = "already_registered"
"""To the account's address: somebody wanted it for an account of theirs; a link for reset-password."""
RESET: Final = "reset"
"""To whoever has the address, if anybody has: a link for reset-password."""
EMAIL_CHANGE: Final = "email_change"
"""To the new address: a link for verify-email."""
EMAIL_CHANGED: Final = "email_changed"
"""To the old address."""
PASSWORD_CHANGED: Final = "password_changed"  # noqa: S105 - the name of a kind
NEW_DEVICE: Final = "new_device"
SESSION_REUSE: Final = "session_reuse"


def seen_from(address: str, device_name: str | None = None) -> dict[str, Any]:
    """Facts of a mail that tells of something done by somebody."""
    return {"address": address or None, "device_name": device_name}
