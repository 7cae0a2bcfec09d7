"""Refresh tokens: spent by use, each followed by one successor.

A lost answer must not log anybody out, so for a few seconds the spent token yields the same successor
again. The database keeps only hashes of tokens; the successor it keeps sealed, XORed with a key that only
the spent token gives. Each key is used for one message of its own length, so the seal is a one-time pad:
who reads the database learns no token from it.

Presented later than that, a spent token was copied: by a thief who comes after its owner, or the reverse.
Nobody can tell which, so the login ends for both, and a mail says so.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row

from lib.accounts import store
from lib.accounts.login import Login, User
from lib.accounts.mail_kinds import SESSION_REUSE
from lib.accounts.outbox import Outbox
from lib.accounts.ports import Tokens
from lib.config import AccountSettings
from lib.database.engine import Database
from lib.errors import InvalidRefreshTokenError
from lib.web.ports import Claims, Clock


class Refreshing:
    """Exchanges refresh tokens."""

    def __init__(
        self, database: Database, tokens: Tokens, clock: Clock, settings: AccountSettings, outbox: Outbox
    ) -> None:
        self._database = database
        self._tokens = tokens
        self._clock = clock
        self._grace = settings.refresh_grace_seconds
        self._idle = timedelta(days=settings.idle_days)
        self._outbox = outbox

    def refresh(self, token: str, *, address: str) -> Login:
        """New tokens of the same login.

        Raises:
            InvalidRefreshTokenError: unknown, run out, of an ended login, or spent too long ago, which
                ends its login.
        """
        token_hash = _hash(token)
        with self._database.transaction() as tx:
            # Locked: of a hundred calls with one token the first spends it, the others find it spent.
            row = store.lock_refresh_token(tx, token_hash)
            if row is None or not row.alive:
                raise InvalidRefreshTokenError
            if row.sealed_successor is None:
                fresh = secrets.token_bytes(32)
                successor = _text(fresh)
                store.spend_refresh_token(
                    tx,
                    token_hash,
                    sealed=_seal(token, fresh),
                    successor_hash=_hash(successor),
                    successor_expires_at=min(row.login_expires_at, self._clock.now() + self._idle),
                    session_id=row.session_id,
                    address=address,
                )
                return self._login(tx, row, successor)
            if row.spent_for <= self._grace:
                return self._login(tx, row, _text(_seal(token, row.sealed_successor)))
        # Not under the row's lock: who ends logins takes theirs in another order.
        with self._database.transaction() as tx:
            if store.revoke_sessions(tx, row.user_id, row.session_id):
                detail = {"session": str(row.session_id)}
                store.record(tx, "refresh_token_reused", row.user_id, detail, address=address)
                facts = {"device_name": row.device_name}
                self._outbox.put(tx, SESSION_REUSE, user_id=row.user_id, facts=facts)
        raise InvalidRefreshTokenError

    def _login(self, tx: Connection, row: Row[Any], refresh_token: str) -> Login:
        now = self._clock.now()
        access_token, expires_in = self._tokens.issue(Claims(row.user_id, row.session_id), now=now)
        return Login(
            User.of(store.user_by_id(tx, row.user_id)._asdict()),
            access_token,
            expires_in,
            refresh_token,
            max(0, int((row.login_expires_at - now).total_seconds())),
        )


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()


def _text(token: bytes) -> str:
    return urlsafe_b64encode(token).rstrip(b"=").decode()


def _seal(token: str, message: bytes) -> bytes:
    """Seals 32 bytes, or opens what it sealed."""
    key = hmac.new(token.encode(errors="replace"), b"successor", hashlib.sha256).digest()
    return bytes(a ^ b for a, b in zip(message, key, strict=True))
