"""How often anybody may ask for mails: for one recipient, and from one network."""

from sqlalchemy import Connection

from lib.accounts import limits
from lib.errors import Refusal
from lib.web.attempts import count_attempt


class MailThrottle:
    """Counts what strangers ask for, before anything is done, the same whether an address has an account or not.

    Args:
        count_loopback: in the cloud. On a machine of one's own every process comes from loopback.
    """

    def __init__(self, *, count_loopback: bool) -> None:
        self._count_loopback = count_loopback

    def count(self, tx: Connection, *, email: str, address: str) -> Refusal | None:
        """Counts one more; the refusal, to be raised after the commit, if that is too many."""
        return count_attempt(tx, *limits.mails(email, address, count_loopback=self._count_loopback))
