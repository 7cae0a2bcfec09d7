"""Rules of accounts: who somebody is, and how a login begins."""

import hashlib
import secrets
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row

from lib.accounts import store
from lib.accounts.addresses import is_loopback, network
from lib.accounts.mail_throttle import MailThrottle
from lib.accounts.outbox import ALREADY_REGISTERED, NEW_DEVICE, VERIFICATION, Outbox, seen_from
from lib.accounts.ports import Hasher, Membership, Tokens
from lib.config import AccountSettings
from lib.database.engine import Database
from lib.errors import (
    EmailNotVerifiedError,
    EmailTakenError,
    InvalidCredentialsError,
    NotFoundError,
    Refusal,
    TooManyAttemptsError,
    TooManyRequestsError,
    UnavailableError,
)
from lib.web.attempts import count_attempt
from lib.web.ports import Claims, Clock

ATTEMPT_WINDOW = timedelta(minutes=15)
ATTEMPTS_PER_ACCOUNT = 10
ATTEMPTS_PER_ADDRESS = 300
REGISTRATIONS_PER_ADDRESS = 100


@dataclass(frozen=True, slots=True)
class Login:
    """A login that just began. The refresh token exists here and with the client, nowhere else."""

    user: Row[Any]
    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int


class Accounts:
    """Registration and login.

    Each method opens its own transactions, because hashing a password must not hold a connection.
    """

    def __init__(
        self,
        database: Database,
        hasher: Hasher,
        tokens: Tokens,
        clock: Clock,
        settings: AccountSettings,
        outbox: Outbox,
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._tokens = tokens
        self._clock = clock
        self._settings = settings
        self._outbox = outbox
        self._throttle = MailThrottle(count_loopback=settings.count_loopback)

    def register(self, *, email: str, password: str, name: str | None, address: str) -> Login | None:
        """A new account and its first login; a mail to verify the address.

        With REGISTRATION=verified None, whoever has the address: the same is done and said, and a mail tells the
        rest.

        Raises:
            TooManyRequestsError: from this network address, or, where every one of them ends in a mail, to this
                recipient; nothing is hashed then.
            EmailTakenError: there is an account with this email address, in whatever case.
        """
        with self._database.transaction() as tx:
            refusal = self._too_many_registrations(tx, email=email, address=address)
        if refusal:
            raise refusal
        password_hash = self._hasher.hash(password)
        with self._database.transaction() as tx:
            made = store.add_user(tx, email=email, name=name, password_hash=password_hash)
            if self._settings.verified_only:
                login = None
                mail_id = self._registered(tx, email, address, new=made is not None)
            elif made is None:
                raise EmailTakenError
            else:
                store.record(tx, "registered", made.id, {}, address=address)
                mail_id = self._outbox.put(tx, VERIFICATION, user_id=made.id)
                login = self._begin(tx, made, device_name=None, address=address)
        self._outbox.enqueue(mail_id)
        return login

    def _too_many_registrations(self, tx: Connection, *, email: str, address: str) -> Refusal | None:
        # On a machine of one's own every process comes from loopback, tests that register hundreds too.
        if self._settings.count_loopback or not is_loopback(address):
            key = "register:" + network(address)
            refusal = counted(tx, key, REGISTRATIONS_PER_ADDRESS, TooManyRequestsError)
            if refusal:
                return refusal
        return (
            self._throttle.count(tx, email=email, address=address) if self._settings.verified_only else None
        )

    def _registered(self, tx: Connection, email: str, address: str, *, new: bool) -> uuid.UUID:
        """The same statements for a new account and for one that was there: they take the same time."""
        # Locked: else it could go before its mail is put.
        user = store.lock_user(tx, email)
        if user is None:
            raise UnavailableError("The account was deleted just now", retry_after=1)
        told, kind = ("registered", VERIFICATION) if new else ("registered_again", ALREADY_REGISTERED)
        # Who tries an address that has an account need not be its user.
        store.record(tx, told, user.id, {}, actor=None if new else "register", address=address)
        return self._outbox.put(tx, kind, user_id=user.id)

    def login(self, *, email: str, password: str, device_name: str | None, address: str) -> Login:
        """A new login of an account.

        Known and unknown addresses are counted, hashed and answered alike. Where the account was logged in
        before it is counted apart from everywhere else: strangers who use up the account's attempts, again and
        again, do not lock its owner out at home.

        Raises:
            TooManyAttemptsError: from this network address or for this account; nothing is hashed then.
            InvalidCredentialsError: unknown address or wrong password.
            EmailNotVerifiedError: with REGISTRATION=verified, for who knows the password.
        """
        account_key = "account:" + hashlib.sha256(email.encode()).hexdigest()
        here = network(address)
        address_key = "address:" + here
        with self._database.transaction() as tx:
            at_home = here in {network(known) for known in store.addresses_of(tx, email)}
            key = f"{account_key}:{here}" if at_home else account_key
            # The address first, and no row for the email if that is over: it could send a new one each time.
            refusal = counted(tx, address_key, ATTEMPTS_PER_ADDRESS, TooManyAttemptsError) or counted(
                tx, key, ATTEMPTS_PER_ACCOUNT, TooManyAttemptsError
            )
            user = store.user_by_email(tx, email)
        # Raised after the commit, so that refused attempts count.
        if refusal:
            raise refusal
        fits = self._hasher.verify(user.password_hash if user else None, password)
        if user is None or not fits:
            raise InvalidCredentialsError
        newer = self._hasher.hash(password) if self._hasher.is_outdated(user.password_hash) else None
        with self._database.transaction() as tx:
            # What was verified must still hold: a new password ends all logins, so none may begin with the old.
            current = store.lock_user(tx, email)
            if current is None:
                raise InvalidCredentialsError
            if current.password_hash != user.password_hash:
                raise UnavailableError("The account is being changed elsewhere", retry_after=1)
            # The account before its attempts, as reset-password does.
            store.forgive_attempt(tx, accounts=(account_key, key), address=address_key)
            if newer:
                store.replace_password_hash(tx, user.id, old=user.password_hash, new=newer)
            refused = self._settings.verified_only and current.email_verified_at is None
            if not refused:
                store.record(tx, "logged_in", user.id, {}, address=address)
                if _is_new_device(store.devices(tx, user.id), device_name, address):
                    self._outbox.put(tx, NEW_DEVICE, user_id=user.id, facts=seen_from(address, device_name))
                return self._begin(tx, user, device_name=device_name, address=address)
        # Raised after the commit, so that the account starts anew all the same.
        raise EmailNotVerifiedError

    def _begin(self, tx: Connection, user: Row[Any], *, device_name: str | None, address: str) -> Login:
        now = self._clock.now()
        lifetime = timedelta(days=self._settings.refresh_days)
        refresh_token = secrets.token_urlsafe(32)
        session_id = store.add_session(
            tx,
            user_id=user.id,
            device_name=device_name,
            address=address,
            token=refresh_token,
            token_expires_at=now + min(lifetime, timedelta(days=self._settings.idle_days)),
            expires_at=now + lifetime,
        )
        access_token, expires_in = self._tokens.issue(Claims(user.id, session_id), now=now)
        return Login(user, access_token, expires_in, refresh_token, int(lifetime.total_seconds()))


def _is_new_device(seen: list[Row[Any]], device_name: str | None, address: str) -> bool:
    """Whether nothing about a login was there before: neither the device's name nor the network it comes from.

    The first login of an account is nobody's surprise.
    """
    names = {device.device_name for device in seen} - {None}
    networks = {network(device.address) for device in seen if device.address}
    return bool(seen) and device_name not in names and network(address) not in networks


def counted(tx: Connection, key: str, limit: int, kind: type[Refusal]) -> Refusal | None:
    """Counts one more attempt; the refusal if that is over the limit."""
    count, left = count_attempt(tx, key, ATTEMPT_WINDOW)
    return kind(retry_after=int(left) + 1) if count > limit else None


class Logouts:
    """Ends logins. Access tokens of an ended login are refused at once wherever the login is asked for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def end(self, user_id: uuid.UUID, session_id: uuid.UUID, *, address: str) -> None:
        """End one login of the user, and its streams.

        Raises:
            NotFoundError: there is no such open login of this user.
        """
        with self._database.transaction() as tx:
            if not store.revoke_sessions(tx, user_id, session_id):
                raise NotFoundError("There is no such login")
            store.record(tx, "logged_out", user_id, {"logins": 1}, address=address)

    def end_all(self, user_id: uuid.UUID, *, but: uuid.UUID | None, address: str) -> None:
        """End all logins of the user, or all but one, and their streams. That there is none is fine."""
        with self._database.transaction() as tx:
            ended = store.revoke_sessions(tx, user_id, None, but=but)
            store.record(tx, "logged_out", user_id, {"logins": ended}, address=address)


@dataclass(frozen=True, slots=True)
class Overview:
    """All that `account` shows, read in one transaction."""

    user: Row[Any]
    subscription: dict[str, Any] | None
    entitlement: dict[str, Any]
    films: list[dict[str, Any]]
    sessions: list[Row[Any]]


class Overviews:
    """What a person sees of their own account."""

    def __init__(self, database: Database, membership: Membership) -> None:
        self._database = database
        self._membership = membership

    def of(self, user_id: uuid.UUID) -> Overview:
        """Raises InvalidTokenError when the user is gone."""
        with self._database.transaction() as tx:
            # Else a sync that commits between two of these could show a new right beside an old bill.
            store.read_one_snapshot(tx)
            user = store.user_by_id(tx, user_id)
            subscription, entitlement = self._membership.of(tx, user_id, user.role)
            films = self._membership.films(tx, user_id)
            return Overview(user, subscription, entitlement, films, store.live_sessions(tx, user_id))
