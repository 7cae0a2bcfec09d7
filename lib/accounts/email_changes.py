"""A new address counts once whoever asked for it has followed the link mailed there."""

import uuid

from sqlalchemy import Connection

from lib.accounts import mail_store
from lib.accounts.mail_kinds import EMAIL_CHANGE
from lib.accounts.outbox import Outbox


class EmailChanges:
    """Asks for a new address.

    The caller has checked the current password, in whose transaction this belongs:

        with database.transaction() as tx:
            mail_id = changes.ask(tx, user_id, email)
        outbox.enqueue(mail_id)

    verify-email makes it the account's address. Until then nothing changes; a new password, by account or
    by reset-password, ends what was asked for (`mail_store.end_links`).
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def ask(self, tx: Connection, user_id: uuid.UUID, email: str) -> uuid.UUID:
        """The mail's id. An older wish is forgotten: of two the last counts.

        That the address has an account already is told to that address alone, not to who asks.

        Args:
            email: normalised.
        """
        mail_store.end_links(tx, user_id, "change")
        return self._outbox.put(tx, EMAIL_CHANGE, user_id=user_id, email=email)
