"""login: one call of the database before the password is verified, and one after it. No SQLAlchemy is loaded."""

import uuid
from collections.abc import Mapping
from typing import Any

from lib.accounts.addresses import network
from lib.accounts.limits import ATTEMPTS_PER_ACCOUNT, ATTEMPTS_PER_ADDRESS, LoginKeys
from lib.accounts.login import Login, NewLogin, User
from lib.accounts.mail_kinds import seen_from
from lib.accounts.ports import Hasher, Tokens
from lib.config import AccountSettings
from lib.database.reads import Reads, called
from lib.errors import (
    EmailNotVerifiedError,
    InvalidCredentialsError,
    Refusal,
    TooManyAttemptsError,
    UnavailableError,
)
from lib.web.limits import WINDOW
from lib.web.ports import Clock

_TRY = """
    SELECT * FROM try_login(
        p_email => :email, p_network => :network,
        p_network_key => :network_key, p_account_key => :account_key, p_home_key => :home_key,
        p_network_limit => :network_limit, p_account_limit => :account_limit, p_window => :window)
"""
_BEGIN = """
    SELECT begin_login(
        p_email => :email, p_password_hash => :password_hash, p_newer_hash => :newer_hash,
        p_verified_only => :verified_only, p_network_key => :network_key, p_forgiven_keys => :forgiven_keys,
        p_address => :address, p_network => :network, p_device_name => :device_name,
        p_mail_id => :mail_id, p_mail_facts => :mail_facts,
        p_session_id => :session_id, p_expires_at => :expires_at,
        p_token_hash => :token_hash, p_token_expires_at => :token_expires_at) AS outcome
"""


class Logins:
    """Begins logins. Between its calls no connection is held: hashing takes its time."""

    def __init__(
        self, database: Reads, hasher: Hasher, tokens: Tokens, clock: Clock, settings: AccountSettings
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._tokens = tokens
        self._clock = clock
        self._settings = settings

    def login(self, *, email: str, password: str, device_name: str | None, address: str) -> Login:
        """A new login of an account.

        Known and unknown addresses are counted, hashed and answered alike. See `LoginKeys` for what is counted.

        Raises:
            TooManyAttemptsError: from this network address or for this account; nothing is hashed then.
            InvalidCredentialsError: unknown address or wrong password.
            EmailNotVerifiedError: with REGISTRATION=verified, for who knows the password.
        """
        keys = LoginKeys.of(email, address)
        found = self._try(email, address, keys)
        password_hash: str | None = found["password_hash"]
        fits = self._hasher.verify(password_hash, password)
        if password_hash is None or not fits:
            raise InvalidCredentialsError
        newer = self._hasher.hash(password) if self._hasher.is_outdated(password_hash) else None
        new = NewLogin.now(self._clock.now(), self._settings)
        outcome = called(
            self._database,
            _BEGIN,
            email=email,
            password_hash=password_hash,
            newer_hash=newer,
            verified_only=self._settings.verified_only,
            network_key=keys.network,
            forgiven_keys=sorted({keys.account, found["counted_key"]}),
            address=address or None,
            network=network(address),
            device_name=device_name,
            mail_id=uuid.uuid4(),
            mail_facts=seen_from(address, device_name),
            **new.kept(),
        )["outcome"]
        if outcome != "begun":
            raise _refusal(outcome)
        return new.of(User.of(found), self._tokens)

    def _try(self, email: str, address: str, keys: LoginKeys) -> Mapping[str, Any]:
        found = called(
            self._database,
            _TRY,
            email=email,
            network=network(address),
            network_key=keys.network,
            account_key=keys.account,
            home_key=keys.at_home,
            network_limit=ATTEMPTS_PER_ADDRESS,
            account_limit=ATTEMPTS_PER_ACCOUNT,
            window=WINDOW,
        )
        if found["seconds_left"] is not None:
            raise TooManyAttemptsError(retry_after=int(found["seconds_left"]) + 1)
        return found


def _refusal(outcome: str) -> Refusal:
    if outcome == "changed":
        return UnavailableError("The account is being changed elsewhere", retry_after=1)
    return EmailNotVerifiedError() if outcome == "not_verified" else InvalidCredentialsError()
