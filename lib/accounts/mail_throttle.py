"""How often anybody may ask for mails: for one recipient, and from one network."""

import hashlib
from datetime import timedelta

from sqlalchemy import Connection

from lib.accounts.addresses import is_loopback, network
from lib.errors import TooManyRequestsError
from lib.web.attempts import count_attempt

WINDOW = timedelta(minutes=15)
MAILS_PER_RECIPIENT = 5
MAILS_PER_NETWORK = 30


class MailThrottle:
    """Counts what strangers ask for, before anything is done, the same whether an address has an account or not.

    Args:
        count_loopback: in the cloud. On a machine of one's own every process comes from loopback.
    """

    def __init__(self, *, count_loopback: bool) -> None:
        self._count_loopback = count_loopback

    def count(self, tx: Connection, *, email: str, address: str) -> TooManyRequestsError | None:
        """Counts one more; the refusal, to be raised after the commit, if that is too many."""
        keys = [("mail-to:" + hashlib.sha256(email.encode()).hexdigest(), MAILS_PER_RECIPIENT)]
        if self._count_loopback or not is_loopback(address):
            # First, and no row for the recipient if that is over: it could name a new one each time.
            keys.insert(0, ("mail-from:" + network(address), MAILS_PER_NETWORK))
        for key, limit in keys:
            count, left = count_attempt(tx, key, WINDOW)
            if count > limit:
                return TooManyRequestsError("Too many mails were asked for", retry_after=int(left) + 1)
        return None
