"""Queries over users, sessions, refresh tokens and attempts."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, null, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from lib.accounts.limits import LoginKeys, confirmation_key
from lib.database.engine import Database
from lib.database.schema import attempts, audit_log, playback_sessions, refresh_tokens, sessions, users
from lib.errors import InvalidTokenError
from lib.web.ports import Caller, Claims

LIVE_SESSION = """
    SELECT u.role FROM sessions s JOIN users u ON u.id = s.user_id
    WHERE s.id = :session_id AND s.user_id = :user_id AND s.revoked_at IS NULL AND s.expires_at > now()
"""


class StoredSessions:
    """Tells from the database whether a login is alive: one round trip."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def caller(self, claims: Claims) -> Caller:
        """Raises InvalidTokenError when the login ended."""
        row = self._database.read(LIVE_SESSION, session_id=claims.session_id, user_id=claims.user_id)
        if row is None:
            raise InvalidTokenError
        return Caller(claims.user_id, claims.session_id, row["role"])


def add_user(tx: Connection, *, email: str, name: str | None, password_hash: str) -> Row[Any] | None:
    """The new user, or None where the address is taken."""
    statement = upsert(users).values(id=uuid.uuid4(), email=email, name=name, password_hash=password_hash)
    statement = statement.on_conflict_do_nothing(index_elements=[users.c.email])
    return tx.execute(statement.returning(*users.c)).first()


def read_one_snapshot(tx: Connection) -> None:
    """From here on the transaction, which must have done nothing yet, sees one moment and changes nothing."""
    tx.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))


def user_by_email(tx: Connection, email: str) -> Row[Any] | None:
    return tx.execute(select(users).where(users.c.email == email)).first()


def user_by_id(tx: Connection, user_id: uuid.UUID) -> Row[Any]:
    """Raises InvalidTokenError when there is none: gone since the token was checked."""
    user = tx.execute(select(users).where(users.c.id == user_id)).first()
    if user is None:
        raise InvalidTokenError
    return user


def lock_user(tx: Connection, email: str) -> Row[Any] | None:
    """The user, locked against changes by others until the transaction ends."""
    return tx.execute(select(users).where(users.c.email == email).with_for_update(key_share=True)).first()


def lock_person(tx: Connection, user_id: uuid.UUID, *, leaving: bool = False) -> Row[Any]:
    """The user, locked against changes by others; against new rows that name them too if they are `leaving`.

    Raises:
        InvalidTokenError: there is none any more.
    """
    found = select(users).where(users.c.id == user_id)
    user = tx.execute(found.with_for_update(key_share=not leaving)).first()
    if user is None:
        raise InvalidTokenError
    return user


def lock_admins(tx: Connection) -> int:
    """How many admins there are; none comes or goes until the transaction ends."""
    locked = select(users.c.id).where(users.c.role == "admin").order_by(users.c.id).with_for_update()
    return len(tx.execute(locked).all())


def find_user(tx: Connection, who: str) -> Row[Any] | None:
    """By id or by email, in whatever case."""
    try:
        return tx.execute(select(users).where(users.c.id == uuid.UUID(who))).first()
    except ValueError:
        return user_by_email(tx, who.strip().lower())


def admins(tx: Connection) -> list[Row[Any]]:
    """The first ones first."""
    return list(
        tx.execute(select(users).where(users.c.role == "admin").order_by(users.c.created_at, users.c.id))
    )


def change_user(tx: Connection, user_id: uuid.UUID, values: Mapping[str, Any]) -> Row[Any]:
    """The user with these values. Raises InvalidTokenError when there is none any more."""
    changed = update(users).where(users.c.id == user_id).values(values)
    user = tx.execute(changed.returning(*users.c)).first()
    if user is None:
        raise InvalidTokenError
    return user


def delete_user(tx: Connection, user_id: uuid.UUID) -> None:
    """And with them all that hangs on them: logins, streams, positions, what was bought."""
    tx.execute(delete(users).where(users.c.id == user_id))


def give_role(tx: Connection, user_id: uuid.UUID, role: str) -> bool:
    """False where the user had it already."""
    changed = update(users).where(users.c.id == user_id, users.c.role != role).values(role=role)
    return tx.execute(changed.returning(users.c.id)).first() is not None


def replace_password_hash(tx: Connection, user_id: uuid.UUID, *, old: str, new: str) -> None:
    """Only while it still is the one that was verified: a change in between wins."""
    tx.execute(
        update(users).where(users.c.id == user_id, users.c.password_hash == old).values(password_hash=new)
    )


def lock_refresh_token(tx: Connection, token_hash: bytes) -> Row[Any] | None:
    """A refresh token with its login, both locked; `alive` tells whether they may still be used."""
    alive = and_(
        sessions.c.revoked_at.is_(None),
        sessions.c.expires_at > func.now(),
        refresh_tokens.c.expires_at > func.now(),
    )
    return tx.execute(
        select(
            refresh_tokens.c.session_id,
            sessions.c.expires_at.label("login_expires_at"),
            refresh_tokens.c.sealed_successor,
            # Not now(), which is when the transaction began: it may have waited for its turn since.
            func.extract("epoch", func.clock_timestamp() - refresh_tokens.c.spent_at).label("spent_for"),
            sessions.c.user_id,
            sessions.c.device_name,
            alive.label("alive"),
        )
        .join(sessions, sessions.c.id == refresh_tokens.c.session_id)
        .where(refresh_tokens.c.token_hash == token_hash)
        # A stream that begins names its login, and need not wait for this.
        .with_for_update(key_share=True)
    ).first()


def spend_refresh_token(
    tx: Connection,
    token_hash: bytes,
    *,
    sealed: bytes,
    successor_hash: bytes,
    successor_expires_at: datetime,
    session_id: uuid.UUID,
    address: str,
) -> None:
    """The old one is spent, its successor lives, the login was used just now and from here."""
    tx.execute(
        update(refresh_tokens)
        .where(refresh_tokens.c.token_hash == token_hash)
        .values(spent_at=func.clock_timestamp(), sealed_successor=sealed)
    )
    tx.execute(
        insert(refresh_tokens).values(
            token_hash=successor_hash, session_id=session_id, expires_at=successor_expires_at
        )
    )
    used = update(sessions).where(sessions.c.id == session_id)
    tx.execute(used.values(last_used_at=func.now(), address=address or None))


def lock_streams(tx: Connection, user_id: uuid.UUID) -> None:
    """The lock under which open_playback counts the user's streams. It comes before any row's."""
    tx.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('streams:' || :who, 0))"), {"who": str(user_id)}
    )


def revoke_sessions(
    tx: Connection,
    user_id: uuid.UUID,
    session_id: uuid.UUID | None,
    *,
    but: uuid.UUID | None = None,
) -> int:
    """Ends one login of the user, or all, or all but one, and their streams; how many logins that were open."""
    lock_streams(tx, user_id)
    ended = update(sessions).where(sessions.c.user_id == user_id, sessions.c.revoked_at.is_(None))
    if session_id is not None:
        ended = ended.where(sessions.c.id == session_id)
    if but is not None:
        ended = ended.where(sessions.c.id != but)
    found = tx.scalars(ended.values(revoked_at=func.now()).returning(sessions.c.id)).all()
    playing = update(playback_sessions).where(
        playback_sessions.c.session_id.in_(found), playback_sessions.c.expires_at > func.now()
    )
    tx.execute(playing.values(expires_at=func.now(), stopped_at=func.now()))
    return len(found)


def live_sessions(tx: Connection, user_id: uuid.UUID) -> list[Row[Any]]:
    """The open logins, last used first. One whose refresh token ran out unused is over."""
    return list(
        tx.execute(
            select(sessions)
            .join(refresh_tokens, refresh_tokens.c.session_id == sessions.c.id)
            .where(
                sessions.c.user_id == user_id,
                sessions.c.revoked_at.is_(None),
                sessions.c.expires_at > func.now(),
                refresh_tokens.c.spent_at.is_(None),
                refresh_tokens.c.expires_at > func.now(),
            )
            .order_by(sessions.c.last_used_at.desc(), sessions.c.id)
            .limit(100)
        )
    )


def forgive_password(tx: Connection, user_id: uuid.UUID) -> None:
    tx.execute(delete(attempts).where(attempts.c.key == confirmation_key(user_id)))


def forgive_account(tx: Connection, email: str, address: str) -> None:
    """The account starts anew, in general and in this network."""
    keys = LoginKeys.of(email, address)
    tx.execute(delete(attempts).where(attempts.c.key.in_((keys.account, keys.at_home))))


def record(
    tx: Connection,
    kind: str,
    user_id: uuid.UUID,
    detail: dict[str, Any],
    *,
    actor: str | None = None,
    address: str | None = None,
) -> None:
    """A line of the audit log, about the user and, unless somebody else is named, by the user."""
    by = actor or f"user:{user_id}"
    line = insert(audit_log).values(
        kind=kind, user_id=user_id, actor=by, detail=detail, address=address or None
    )
    tx.execute(line)


def forget_addresses(tx: Connection, user_id: uuid.UUID) -> None:
    """From where the user did what the audit log says."""
    placed = audit_log.c.address.is_not(None)
    tx.execute(update(audit_log).where(audit_log.c.user_id == user_id, placed).values(address=null()))


def audit_lines(tx: Connection, user_id: uuid.UUID, limit: int) -> list[Row[Any]]:
    """The last ones about the user, newest first."""
    return list(
        tx.execute(
            select(audit_log)
            .where(audit_log.c.user_id == user_id)
            .order_by(audit_log.c.at.desc(), audit_log.c.id.desc())
            .limit(limit)
        )
    )
