"""register: one call of the database before the password is hashed, and one after it. No SQLAlchemy is loaded."""

import uuid

from lib.accounts import limits
from lib.accounts.login import Login, NewLogin, User
from lib.accounts.mail_tasks import LEFT_AFTER, enqueue_mail
from lib.accounts.ports import Hasher, Tokens
from lib.config import AccountSettings
from lib.database.reads import Reads, called
from lib.errors import EmailTakenError, UnavailableError
from lib.web.limits import Limit, count
from lib.web.ports import Clock, Tasks

_REGISTER = """
    SELECT * FROM register_account(
        p_user_id => :user_id, p_email => :email, p_name => :name, p_password_hash => :password_hash,
        p_verified_only => :verified_only, p_address => :address,
        p_mail_id => :mail_id, p_mail_due_in => :mail_due_in,
        p_session_id => :session_id, p_expires_at => :expires_at,
        p_token_hash => :token_hash, p_token_expires_at => :token_expires_at)
"""


class Registrations:
    """Makes accounts. Between its calls no connection is held: hashing takes its time."""

    def __init__(
        self,
        database: Reads,
        hasher: Hasher,
        tokens: Tokens,
        clock: Clock,
        settings: AccountSettings,
        tasks: Tasks,
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._tokens = tokens
        self._clock = clock
        self._settings = settings
        self._tasks = tasks

    def register(self, *, email: str, password: str, name: str | None, address: str) -> Login | None:
        """A new account and its first login; a mail to verify the address.

        With REGISTRATION=verified None, whoever has the address: the same is done and said, and a mail tells the
        rest.

        Raises:
            TooManyRequestsError: from this network address, or, where every one of them ends in a mail, to this
                recipient; nothing is hashed then.
            EmailTakenError: there is an account with this email address, in whatever case.
        """
        refusal = count(self._database, self._limits(email, address))
        if refusal:
            raise refusal
        password_hash = self._hasher.hash(password)
        new, mail_id = NewLogin.now(self._clock.now(), self._settings), uuid.uuid4()
        found = called(
            self._database,
            _REGISTER,
            user_id=uuid.uuid4(),
            email=email,
            name=name,
            password_hash=password_hash,
            verified_only=self._settings.verified_only,
            address=address or None,
            mail_id=mail_id,
            mail_due_in=LEFT_AFTER,
            **new.kept(),
        )
        if found["outcome"] == "taken":
            raise EmailTakenError
        if found["outcome"] == "gone":
            raise UnavailableError("The account was deleted just now", retry_after=1)
        login = None if self._settings.verified_only else new.of(User.of(found), self._tokens)
        enqueue_mail(self._tasks, mail_id)
        return login

    def _limits(self, email: str, address: str) -> list[Limit]:
        count_loopback = self._settings.count_loopback
        counted = limits.registrations(address, count_loopback=count_loopback)
        if self._settings.verified_only:
            counted += limits.mails(email, address, count_loopback=count_loopback)
        return counted
