"""Deletion: an account goes for good, and with it all that is held about its person.

One commit takes the user and all that hangs on them: logins, streams, positions, what was bought. What has to be
ended elsewhere is noted in that same commit and done after it, as often as it takes. The lines of the audit log
stay, under an id that nothing leads back from, without the addresses.
"""

from lib.accounts import mail_store, store
from lib.accounts.confirming import CurrentPassword, refuse_changed
from lib.accounts.ports import Closures
from lib.database.engine import Database
from lib.errors import LastAdminError
from lib.web.ports import Caller


class Closing:
    """Deletes accounts, at their person's own wish."""

    def __init__(self, database: Database, current: CurrentPassword, closures: Closures) -> None:
        self._database = database
        self._current = current
        self._closures = closures

    def close(self, caller: Caller, password: str) -> None:
        """Delete the caller's account.

        Raises:
            WrongPasswordError, TooManyAttemptsError: see CurrentPassword.
            LastAdminError: nobody would be left to run the place.
        """
        confirmed = self._current.confirm(caller.user_id, password)
        with self._database.transaction() as tx:
            store.lock_streams(tx, caller.user_id)
            # Two that leave at once take turns here, before either holds their own row.
            admins = store.lock_admins(tx) if confirmed.role == "admin" else 0
            user = store.lock_person(tx, caller.user_id, leaving=True)
            refuse_changed(confirmed, user)
            if user.role == "admin" and admins <= 1:
                raise LastAdminError
            self._closures.note(tx, user.id)
            store.forgive_password(tx, user.id)
            store.record(tx, "account_deleted", user.id, {})
            store.forget_addresses(tx, user.id)
            mail_store.drop_mails_to(tx, user.email)
            store.delete_user(tx, user.id)
        self._closures.hand_on(caller.user_id)
