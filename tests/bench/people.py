"""Accounts and films by the thousand or the million, written by the database itself."""

import random
import uuid
from datetime import UTC, datetime

from sqlalchemy import create_engine, make_url, text

from lib.adapters.jwt_tokens import JwtTokens
from lib.config import Environment
from lib.database.migrate import upgrade
from lib.web.ports import Claims
from tests.bench.load import Request

# A table's rows, `:accounts` or `:videos` of them. Each account has one login, one plan, and the grant it is from.
_STEPS = (
    """
    INSERT INTO users (id, email, password_hash)
    SELECT gen_random_uuid(), 'viewer' || n || '@bench.example.com', CAST(:hash AS text) FROM generate_series(1, :accounts) n
    """,
    "INSERT INTO billing_accounts (user_id) SELECT id FROM users WHERE email LIKE '%@bench.example.com'",
    """
    INSERT INTO sessions (id, user_id, device_name, expires_at)
    SELECT gen_random_uuid(), id, 'A television', now() + interval '30 days' FROM users
    WHERE email LIKE '%@bench.example.com'
    """,
    """
    INSERT INTO grants (id, user_id, source, source_id, plan, level, streams, reason, starts_at, ends_at, cause)
    SELECT gen_random_uuid(), id, 'subscription', 'sub_' || id, 'basic', 1, 2, 'subscription', now(),
           now() + interval '30 days', 'bench'
    FROM users WHERE email LIKE '%@bench.example.com'
    """,
    """
    INSERT INTO entitlements (user_id, plan, level, streams, reason, until)
    SELECT user_id, plan, level, streams, reason, ends_at FROM grants WHERE cause = 'bench'
    """,
    """
    INSERT INTO videos (id, title, level, published, status, provider, asset_id, playback_id, duration)
    SELECT gen_random_uuid(), 'Film ' || n, 1, true, 'ready', 'mux', 'asset-' || n, 'playback-' || n, 5400
    FROM generate_series(1, :videos) n
    """,
)


def new_database(url: str, name: str) -> str:
    """The address of a new, migrated database on the same server."""
    there = make_url(url)
    engine = create_engine(there.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
    engine.dispose()
    made = there.set(database=name).render_as_string(hide_password=False)
    upgrade(made)
    return made


def fill(url: str, *, accounts: int, videos: int, password_hash: str) -> None:
    """So many accounts that may watch, each logged in once, and so many films."""
    engine = create_engine(url)
    with engine.begin() as tx:
        # References are right by how they are made; checking a million of them would take minutes.
        tx.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for step in _STEPS:
            tx.execute(text(step), {"accounts": accounts, "videos": videos, "hash": password_hash})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
        connection.exec_driver_sql("CHECKPOINT")
    engine.dispose()


def viewers(url: str, environment: dict[str, str], number: int) -> list[Request]:
    """get-playback asked by so many, each with a token of their own, each for a film of theirs."""
    engine = create_engine(url)
    with engine.connect() as connection:
        # Anywhere in the table, not those that were written together; of each account its one television, not the
        # logins that another part has made since: they would be streams too many.
        logins = connection.execute(
            text(
                "SELECT s.user_id, s.id FROM sessions s JOIN users u ON u.id = s.user_id "
                "WHERE u.email LIKE '%@bench.example.com' AND s.device_name = 'A television' ORDER BY s.id LIMIT :number"
            ),
            {"number": number},
        ).all()
        films = connection.execute(text("SELECT id FROM videos ORDER BY id LIMIT 5000")).scalars().all()
    engine.dispose()
    tokens, now = JwtTokens(Environment(environment).tokens()), datetime.now(UTC)
    choose = random.Random(7)  # noqa: S311 - the same films each time
    return [
        playback(tokens.issue(Claims(user_id, session_id), now=now)[0], choose.choice(films))
        for user_id, session_id in logins
    ]


def playback(token: str, video_id: uuid.UUID) -> Request:
    return Request(f"/?video_id={video_id}", (("Authorization", f"Bearer {token}"),))
