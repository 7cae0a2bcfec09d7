"""The database keeps wrong states out, bears being migrated twice, and may go away and come back."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import flask
import pytest
from alembic import command
from pg8000.exceptions import DatabaseError as DriverError
from sqlalchemy import Connection, insert, text
from sqlalchemy.exc import DBAPIError

from infra.local.postgres import EmbeddedPostgres
from infra.service.app import ROOT
from lib.config import Environment
from lib.database.connections import Limits
from lib.database.engine import Database
from lib.database.migrate import PATIENCE, configuration, upgrade
from lib.database.schema import metadata
from lib.errors import UnavailableError
from lib.web.function import serve
from lib.web.operation import Answer, Call, Operation, Who
from tests.factories import wait_for

NOW = datetime.now(UTC)
LATER = NOW + timedelta(hours=1)
USER, OTHER, SESSION, VIDEO = (uuid.uuid4() for _ in range(4))
HASH = b"h" * 32

# A valid row of every table; users, sessions and videos refer to the four above.
VALID: dict[str, dict[str, Any]] = {
    "users": {"id": USER, "email": f"{USER.hex}@example.com", "password_hash": "$argon2id$v=19$x"},
    "billing_accounts": {"user_id": USER, "stripe_customer_id": f"cus_{USER.hex}"},
    "sessions": {"id": SESSION, "user_id": USER, "expires_at": LATER},
    "title_words": {"word": f"word{USER.hex}"},
    "videos": {"id": VIDEO, "title": "A film", "level": 1, "published": True, "provider": "mux"},
    "refresh_tokens": {"token_hash": HASH, "session_id": SESSION, "expires_at": LATER},
    "attempts": {"key": f"account:{USER.hex}", "count": 1, "window_ends_at": LATER},
    "idempotency_keys": {
        "user_id": USER,
        "function": "upload-asset",
        "key": "k",
        "request_hash": HASH,
        "held_until": LATER,
    },
    "checkouts": {
        "stripe_session_id": f"cs_{USER.hex}",
        "user_id": USER,
        "plan": "basic",
        "url": "https://checkout.example",
        "expires_at": LATER,
    },
    "subscriptions": {
        "stripe_id": f"sub_{USER.hex}",
        "user_id": USER,
        "price_id": "price_1",
        "status": "active",
        "paused": False,
        "cancel_at_period_end": False,
        "current_period_end": LATER,
        "created_at": NOW,
    },
    "entitlements": {"user_id": USER, "level": 1, "streams": 1, "reason": "subscription", "until": LATER},
    "grants": {
        "id": uuid.uuid4(),
        "user_id": USER,
        "source": "subscription",
        "source_id": f"sub_{USER.hex}",
        "plan": "basic",
        "level": 1,
        "streams": 2,
        "reason": "subscription",
        "starts_at": NOW,
        "ends_at": LATER,
        "cause": "test",
    },
    "gift_codes": {"code_hash": HASH, "plan": "basic", "days": 30, "made_by": "operator:test"},
    "trial_cards": {"card_hash": HASH, "subscription_id": f"sub_{USER.hex}"},
    "walks": {"name": f"test-{USER.hex}", "position": {}},
    "denial_syncs": {"user_id": USER, "asked_at": NOW},
    "sold_prices": {"price_id": f"price_{USER.hex}", "plan": "basic"},
    "inbox": {"event_id": f"evt_{USER.hex}", "type": "invoice.paid", "state": "received", "enqueues": 1},
    "playback_sessions": {
        "id": uuid.uuid4(),
        "user_id": USER,
        "session_id": SESSION,
        "video_id": VIDEO,
        "expires_at": LATER,
    },
    "audit_log": {"kind": "tested", "actor": "test", "address": "192.0.2.1"},
    "mails": {"id": uuid.uuid4(), "user_id": USER, "kind": "verification", "due_at": NOW},
    "links": {"token_hash": HASH, "user_id": USER, "purpose": "verify", "expires_at": LATER},
    "closures": {"user_id": USER, "stripe_customer_id": f"cus_{USER.hex}"},
}

# A film that was bought; with RENTED, one that was rented.
BOUGHT: dict[str, Any] = {
    "source": "purchase",
    "video_id": VIDEO,
    "plan": None,
    "level": 0,
    "reason": "purchase",
    "ends_at": None,
}
RENTED = BOUGHT | {"reason": "rental", "window_hours": 48, "ends_at": LATER}

# Constraint -> changes that make a valid row wrong in this way only.
WRONG: list[tuple[str, str, dict[str, Any]]] = [
    ("ck_users_email_normalised", "users", {"email": "Upper@example.com"}),
    ("ck_users_email_normalised", "users", {"email": "a@"}),
    ("ck_users_email_normalised", "users", {"email": "a" * 255}),
    ("ck_users_name_length", "users", {"name": ""}),
    ("ck_users_name_length", "users", {"name": "x" * 201}),
    ("ck_users_password_hashed", "users", {"password_hash": "hunter2"}),
    ("ck_users_role_known", "users", {"role": "root"}),
    ("ck_sessions_expires_later", "sessions", {"expires_at": NOW - timedelta(days=1)}),
    ("ck_sessions_device_name_length", "sessions", {"device_name": ""}),
    ("ck_sessions_device_name_length", "sessions", {"device_name": "x" * 201}),
    ("ck_refresh_tokens_hash_length", "refresh_tokens", {"token_hash": b"the token itself"}),
    ("ck_refresh_tokens_spent_whole", "refresh_tokens", {"spent_at": NOW}),
    ("ck_refresh_tokens_spent_whole", "refresh_tokens", {"sealed_successor": b"x"}),
    ("ck_attempts_count_positive", "attempts", {"count": -1}),
    ("ck_idempotency_keys_key_length", "idempotency_keys", {"key": ""}),
    ("ck_idempotency_keys_key_length", "idempotency_keys", {"key": "x" * 256}),
    ("ck_idempotency_keys_hash_length", "idempotency_keys", {"request_hash": b"short"}),
    ("ck_idempotency_keys_answered_whole", "idempotency_keys", {"status": 200}),
    ("ck_idempotency_keys_answered_whole", "idempotency_keys", {"answer": {"a": 1}}),
    (
        "ck_billing_accounts_deleted_was_there",
        "billing_accounts",
        {"stripe_customer_id": None, "customer_deleted": True},
    ),
    ("ck_checkouts_state_known", "checkouts", {"state": "lost"}),
    ("ck_checkouts_open_has_url", "checkouts", {"url": None}),
    ("ck_subscriptions_past_due_since", "subscriptions", {"status": "past_due"}),
    ("ck_subscriptions_past_due_since", "subscriptions", {"payment_missed_at": NOW}),
    ("ck_entitlements_reason_known", "entitlements", {"level": 0, "until": None, "reason": "luck"}),
    ("ck_entitlements_not_negative", "entitlements", {"level": -1, "until": None, "reason": "none"}),
    ("ck_entitlements_not_negative", "entitlements", {"streams": -1}),
    ("ck_entitlements_bounded", "entitlements", {"until": None}),
    ("ck_entitlements_bounded", "entitlements", {"level": 0, "reason": "none"}),
    ("ck_entitlements_reason_fits", "entitlements", {"reason": "canceled"}),
    ("ck_entitlements_reason_fits", "entitlements", {"level": 0, "until": None}),
    ("ck_checkouts_one_wish", "checkouts", {"plan": None}),
    ("ck_checkouts_one_wish", "checkouts", {"video_id": VIDEO}),
    ("ck_grants_source_known", "grants", {"source": "luck"}),
    ("ck_grants_reason_known", "grants", {"reason": "none"}),
    ("ck_grants_withheld_known", "grants", {"withheld": "expired"}),
    ("ck_grants_purchase_is_of_a_film", "grants", {"source": "purchase"}),
    ("ck_grants_purchase_is_of_a_film", "grants", BOUGHT | {"source": "gift"}),
    ("ck_grants_film_or_level", "grants", BOUGHT | {"level": 1}),
    ("ck_grants_film_or_level", "grants", BOUGHT | {"plan": "basic"}),
    ("ck_grants_bounded", "grants", {"ends_at": None}),
    ("ck_grants_gives_something", "grants", {"level": 0}),
    ("ck_grants_rental_has_a_window", "grants", RENTED | {"window_hours": None}),
    ("ck_grants_rental_has_a_window", "grants", {"window_hours": 48}),
    ("ck_grants_window_range", "grants", RENTED | {"window_hours": 0}),
    ("ck_grants_played_is_rented", "grants", BOUGHT | {"first_played_at": NOW}),
    ("ck_grants_not_negative", "grants", {"streams": -1}),
    ("ck_gift_codes_hash_length", "gift_codes", {"code_hash": b"the code itself"}),
    ("ck_gift_codes_days_range", "gift_codes", {"days": 0}),
    ("ck_gift_codes_redeemed_by_somebody_once", "gift_codes", {"redeemed_by": USER}),
    ("ck_trial_cards_hash_length", "trial_cards", {"card_hash": b"4242"}),
    ("ck_inbox_state_known", "inbox", {"state": "odd", "processed_at": NOW}),
    ("ck_inbox_processed_once", "inbox", {"state": "processed"}),
    ("ck_inbox_processed_once", "inbox", {"processed_at": NOW}),
    ("ck_inbox_counts", "inbox", {"enqueues": -1}),
    ("ck_inbox_counts", "inbox", {"attempts": -1}),
    ("ck_inbox_event_id_length", "inbox", {"event_id": ""}),
    ("ck_inbox_event_id_length", "inbox", {"event_id": "x" * 256}),
    ("ck_videos_status_known", "videos", {"status": "lost"}),
    ("ck_videos_provider_known", "videos", {"provider": "vimeo"}),
    ("ck_videos_title_length", "videos", {"title": ""}),
    ("ck_videos_title_length", "videos", {"title": "x" * 201}),
    ("ck_videos_level_range", "videos", {"level": -1}),
    ("ck_videos_level_range", "videos", {"level": 1001}),
    ("ck_videos_ready_is_playable", "videos", {"status": "ready"}),
    (
        "ck_videos_ready_is_playable",
        "videos",
        {"status": "ready", "asset_id": "a", "playback_id": "p", "duration": 0},
    ),
    ("ck_videos_available_some_time", "videos", {"available_from": LATER, "available_until": LATER}),
    ("ck_videos_preview_range", "videos", {"preview_seconds": 0}),
    ("ck_videos_trailer_of_another", "videos", {"trailer_id": VIDEO}),
    ("ck_videos_series_length", "videos", {"series": ""}),
    ("ck_videos_episode_range", "videos", {"series": "S", "season": -1}),
    ("ck_videos_episode_range", "videos", {"series": "S", "episode": 100_001}),
    ("ck_videos_episode_of_a_series", "videos", {"episode": 1}),
    ("ck_videos_deleted_is_purged", "videos", {"deleted_at": NOW}),
    ("ck_videos_purged_was_deleted", "videos", {"purged_at": NOW}),
    ("ck_videos_price_positive", "videos", {"price_amount": 0, "price_currency": "usd"}),
    ("ck_videos_currency_form", "videos", {"price_amount": 399, "price_currency": "USD"}),
    ("ck_videos_price_whole", "videos", {"price_amount": 399}),
    ("ck_videos_price_whole", "videos", {"price_currency": "usd"}),
    ("ck_videos_rental_range", "videos", {"price_amount": 1, "price_currency": "usd", "rental_hours": 0}),
    ("ck_videos_rental_has_a_price", "videos", {"rental_hours": 48}),
    ("ck_mails_kind_known", "mails", {"kind": "newsletter"}),
    ("ck_mails_state_known", "mails", {"state": "lost", "settled_at": NOW}),
    ("ck_mails_settled_whole", "mails", {"state": "sent"}),
    ("ck_mails_settled_whole", "mails", {"settled_at": NOW}),
    ("ck_mails_sending_since", "mails", {"state": "sending"}),
    ("ck_mails_addressed", "mails", {"user_id": None}),
    ("ck_mails_address_forgotten", "mails", {"state": "sent", "settled_at": NOW, "email": "a@example.com"}),
    ("ck_links_purpose_known", "links", {"purpose": "login"}),
    ("ck_links_change_to", "links", {"purpose": "change"}),
    ("ck_links_change_to", "links", {"email": "a@example.com"}),
    ("ck_links_hash_length", "links", {"token_hash": b"the token itself"}),
    ("ck_links_expires_later", "links", {"expires_at": NOW - timedelta(days=1)}),
    ("ck_closures_enqueued", "closures", {"enqueues": 0}),
    ("ck_closures_something_left", "closures", {"stripe_customer_id": None}),
    ("ck_billing_accounts_begun_whole", "billing_accounts", {"customer_begun_at": NOW}),
    ("ck_inbox_unfinished_counts", "inbox", {"unfinished": -1}),
    ("ck_playback_sessions_position_positive", "playback_sessions", {"position": -1}),
    ("ck_playback_sessions_stopped_is_over", "playback_sessions", {"stopped_at": NOW}),
]

# Unique -> what two rows must not share; the second row differs in `but`.
TWICE: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("uq_users_email", "users", {}, {"id": VIDEO}),
    ("uq_billing_accounts_stripe_customer_id", "billing_accounts", {}, {"user_id": OTHER}),
    ("uq_refresh_tokens_live", "refresh_tokens", {}, {"token_hash": b"i" * 32}),
    ("uq_checkouts_open", "checkouts", {}, {"stripe_session_id": f"cs_{OTHER.hex}"}),
    ("uq_grants_source_source_id", "grants", {}, {"id": OTHER}),
    ("uq_videos_provider_upload_id", "videos", {"upload_id": "u"}, {"id": OTHER}),
    ("uq_videos_provider_asset_id", "videos", {"asset_id": "a"}, {"id": OTHER}),
    ("uq_videos_provider_playback_id", "videos", {"playback_id": "p"}, {"id": OTHER}),
    ("uq_playback_sessions_session_id_video_id", "playback_sessions", {}, {"id": OTHER}),
]
# One row each, told apart by the key alone.
KEYS = sorted(set(VALID) - {"audit_log"})


@pytest.fixture
def tx(database: Database) -> Iterator[Connection]:
    """A transaction of the stack's database with a valid row in every table, undone after the test."""

    with database.transaction() as connection:
        for table in metadata.sorted_tables:
            connection.execute(insert(table).values(VALID[table.name]))
        other = {"id": OTHER, "email": f"{OTHER.hex}@example.com"}
        connection.execute(insert(metadata.tables["users"]).values(VALID["users"] | other))
        yield connection
        connection.rollback()


def violated(tx: Connection, table: str, row: dict[str, Any]) -> str:
    """The constraint that refuses the row."""
    with pytest.raises(DBAPIError) as raised, tx.begin_nested():
        tx.execute(insert(metadata.tables[table]).values(row))
    assert raised.value.orig is not None
    return str(raised.value.orig.args[0].get("n"))


def test_every_table_has_a_valid_row() -> None:
    assert sorted(VALID) == sorted(metadata.tables)


@pytest.mark.parametrize(("constraint", "table", "changes"), WRONG)
def test_wrong_states_cannot_be_stored(
    tx: Connection, constraint: str, table: str, changes: dict[str, Any]
) -> None:
    # The same row is there already, but a CHECK is looked at before the keys.
    assert violated(tx, table, VALID[table] | changes) == constraint


@pytest.mark.parametrize(("constraint", "table", "same", "but"), TWICE)
def test_what_is_unique(
    tx: Connection, constraint: str, table: str, same: dict[str, Any], but: dict[str, Any]
) -> None:
    if same:
        first = VALID[table] | same | {"id": uuid.uuid4()}
        tx.execute(insert(metadata.tables[table]).values(first))
    assert violated(tx, table, VALID[table] | same | but) == constraint


@pytest.mark.parametrize("table", KEYS)
def test_keys_are_unique(tx: Connection, table: str) -> None:
    assert violated(tx, table, VALID[table]) == f"pk_{table}"


def test_every_constraint_is_tried(database: Database) -> None:
    """A CHECK or unique rule added without a line above is found here."""
    with database.transaction() as connection:
        found = connection.execute(
            text(
                "SELECT conname FROM pg_constraint"
                " WHERE contype IN ('c', 'u') AND connamespace = 'public'::regnamespace"
                " UNION SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
                " WHERE indisunique AND NOT indisprimary AND relnamespace = 'public'::regnamespace"
            )
        ).scalars()
        assert sorted(found) == sorted({row[0] for row in WRONG} | {row[0] for row in TWICE})


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("refresh_tokens", {"token_hash": b"i" * 32, "spent_at": NOW, "sealed_successor": b"x"}),
        ("checkouts", {"stripe_session_id": "cs_2", "state": "complete"}),
        ("checkouts", {"stripe_session_id": "cs_2", "state": "expired", "url": None}),
        ("videos", {"id": OTHER, "upload_id": None}),
        ("subscriptions", {"stripe_id": "sub_2", "status": "past_due", "payment_missed_at": NOW}),
        ("subscriptions", {"stripe_id": "sub_2", "status": "a status of the future", "plan": None}),
    ],
)
def test_what_is_allowed_beside(tx: Connection, table: str, row: dict[str, Any]) -> None:
    """The partial rules bind only what they are about."""
    tx.execute(insert(metadata.tables[table]).values(VALID[table] | row))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_log SET kind = 'other'",
        "UPDATE audit_log SET kind = 'other', address = NULL",
        "UPDATE audit_log SET at = now() - interval '1 day', address = NULL",
        "UPDATE audit_log SET detail = '{}', user_id = gen_random_uuid()",
        "UPDATE audit_log SET address = '192.0.2.2'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "TRUNCATE users, audit_log CASCADE",
    ],
)
def test_the_audit_log_is_append_only(tx: Connection, change: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), tx.begin_nested():
        tx.execute(text(change))


def test_the_audit_log_forgets_where_and_nothing_else(tx: Connection) -> None:
    lines = metadata.tables["audit_log"]
    before = tx.execute(lines.select().where(lines.c.kind == "tested").order_by(lines.c.id)).mappings().all()
    tx.execute(text("UPDATE audit_log SET address = NULL WHERE kind = 'tested'"))
    after = tx.execute(lines.select().where(lines.c.kind == "tested").order_by(lines.c.id)).mappings().all()
    assert [dict(line) for line in after] == [{**line, "address": None} for line in before]
    with pytest.raises(DBAPIError, match="append-only"), tx.begin_nested():
        tx.execute(text("UPDATE audit_log SET address = '192.0.2.1' WHERE kind = 'tested'"))


def test_the_audit_log_outlives_whom_it_is_about(tx: Connection) -> None:
    tx.execute(insert(metadata.tables["audit_log"]).values(VALID["audit_log"] | {"user_id": USER}))
    tx.execute(text("DELETE FROM users WHERE id = :id"), {"id": USER})
    kept = tx.execute(text("SELECT count(*) FROM audit_log WHERE user_id = :id"), {"id": USER})
    assert kept.scalar() == 1
    for table in ("sessions", "billing_accounts", "subscriptions", "entitlements", "playback_sessions"):
        left = tx.execute(text(f"SELECT count(*) FROM {table} WHERE user_id = :id"), {"id": USER})  # noqa: S608 - our names
        assert left.scalar() == 0, table


class Server:
    """A PostgreSQL of our own, to migrate and to stop, and a function that asks it."""

    def __init__(self, folder: Path) -> None:
        self.postgres = EmbeddedPostgres(folder, durable=False)
        self.url = self.postgres.start()
        self.database = Database(Environment({"DATABASE_URL": self.url}).database())
        routes = [
            (self._operation("/read"), self._read),
            (self._operation("/transaction"), self._transaction),
        ]
        self._entry_point = serve(routes, Environment({}).web())

    @staticmethod
    def _operation(path: str) -> Operation:
        return Operation("ask", "GET", "", Who.ANYONE, {200: None}, path=path)

    def _read(self, _: Call) -> Answer:
        return Answer(200, self.database.read("SELECT 1 AS one"))

    def _transaction(self, _: Call) -> Answer:
        with self.database.transaction() as connection:
            return Answer(200, {"one": connection.scalar(text("SELECT 1"))})

    def ask(self, path: str) -> flask.Response:
        with flask.Flask("functions").test_request_context(path):
            return self._entry_point(flask.request)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("database"))
    yield found
    found.database.dispose()
    found.postgres.stop()


def test_upgrading_again_and_at_once_is_harmless(server: Server) -> None:
    """Two deployments at once, then another with nothing to do."""
    code = "import sys; from lib.database.migrate import upgrade; upgrade(sys.argv[1])"
    started = [subprocess.Popen([sys.executable, "-c", code, server.url], cwd=ROOT) for _ in range(2)]
    assert [process.wait(60) for process in started] == [0, 0]
    with server.database.transaction() as connection:
        connection.execute(insert(metadata.tables["users"]).values(VALID["users"]))
    upgrade(server.url)
    with server.database.transaction() as connection:
        assert connection.scalar(text("SELECT count(*) FROM users")) == 1
        assert connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1
    # Nothing that the tables as declared have and the migrations do not make.
    command.check(configuration(server.url))


@pytest.fixture
def being_migrated(server: Server) -> Iterator[Connection]:
    """Somebody else is at it, for as long as this transaction lasts."""
    with server.database.transaction() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(7305811029)"))
        yield connection


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as running:
        yield running


def test_a_migration_waits_for_the_other(
    server: Server, executor: ThreadPoolExecutor, being_migrated: Connection
) -> None:
    """What bounds the functions' statements does not bound it."""
    assert PATIENCE.answer >= 3600
    assert seconds_until_unavailable(lambda: upgrade(server.url, Limits(answer=0.3))) < 5
    patient = executor.submit(upgrade, server.url, replace(PATIENCE, connect=0.3))
    waiting = "SELECT true AS found FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    wait_for(lambda: server.database.read(waiting))
    assert wait([patient], 1).not_done
    being_migrated.commit()
    patient.result(10)


PATHS = ["/read", "/transaction"]


def test_down_is_a_refusal_and_up_again_it_works(server: Server) -> None:
    for path in PATHS:
        assert server.ask(path).json == {"one": 1}
    server.postgres.stop()
    for path in PATHS * 2:
        answer = server.ask(path)
        assert answer.status_code == 503
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Retry-After"] == "2"
        assert json.loads(answer.data)["code"] == "unavailable"
        assert "127.0.0.1" not in answer.get_data(as_text=True)
    server.postgres.start()
    for path in PATHS:
        assert server.ask(path).json == {"one": 1}


def test_a_restart_nobody_noticed(server: Server) -> None:
    """Every pooled connection is dead: a single read is tried anew, a transaction is at most refused."""
    for path in PATHS:
        assert server.ask(path).status_code == 200
    assert server.postgres.process is not None
    server.postgres.process.kill()
    server.postgres.stop()
    server.postgres.start()
    assert server.ask("/read").json == {"one": 1}
    assert server.ask("/transaction").json == {"one": 1}
    server.postgres.process.kill()
    server.postgres.stop()
    server.postgres.start()
    assert server.ask("/transaction").status_code in (200, 503)
    assert server.ask("/transaction").json == {"one": 1}


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The URL of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"postgresql+pg8000://somebody@127.0.0.1:{listening.getsockname()[1]}/streamly"


@contextmanager
def connected(url: str, limits: Limits) -> Iterator[Database]:
    found = Database(Environment({"DATABASE_URL": url}).database(), limits=limits)
    yield found
    found.dispose()


def seconds_until_unavailable(act: Callable[[], object]) -> float:
    started = time.monotonic()
    with pytest.raises(UnavailableError, match="cannot be reached"):
        act()
    return time.monotonic() - started


def select_one(database: Database) -> object:
    with database.transaction() as connection:
        return connection.scalar(text("SELECT 1"))


def test_a_black_hole_is_given_up_at_once(black_hole: str) -> None:
    """What bounds connecting is not what bounds answers, and it is not tried twice."""
    with connected(black_hole, Limits(connect=1, answer=60)) as database:
        assert 0.9 < seconds_until_unavailable(lambda: database.read("SELECT 1")) < 1.9
        assert 0.9 < seconds_until_unavailable(lambda: select_one(database)) < 1.9


def test_a_silent_answer_is_waited_for_once(server: Server) -> None:
    with connected(server.url, Limits(connect=60, answer=1)) as database:
        select_one(database)
        slow = "SELECT pg_sleep(30)"
        assert 0.9 < seconds_until_unavailable(lambda: database.read(slow)) < 1.9

        def transaction() -> None:
            with database.transaction() as connection:
                connection.execute(text(slow))

        assert 0.9 < seconds_until_unavailable(transaction) < 1.9
        # And nobody else gets a connection on which an answer may still come.
        assert select_one(database) == 1


def test_connections_that_rested_are_asked_after(server: Server) -> None:
    """One that went silent meanwhile is replaced, and what rested beside it too."""
    with connected(server.url, Limits(connect=1, answer=60, idle=0)) as database, ExitStack() as resting:
        both = [resting.enter_context(database.transaction()) for _ in range(2)]
        silent = [connection.scalar(text("SELECT pg_backend_pid()")) for connection in both]
        resting.close()
        assert all(isinstance(pid, int) for pid in silent)
        for pid in silent:
            os.kill(pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            with database.transaction() as one, database.transaction() as other:
                assert [one.scalar(text("SELECT 1")), other.scalar(text("SELECT 1"))] == [1, 1]
            assert 0.9 < time.monotonic() - started < 1.9
        finally:
            for pid in silent:
                os.kill(pid, signal.SIGCONT)


def test_other_peoples_errors_stay_theirs(server: Server) -> None:
    """A file that is missing is no database that is out of reach."""
    with pytest.raises(FileNotFoundError), server.database.transaction():
        Path("/nowhere/at/all").read_text()
    with pytest.raises(TimeoutError), server.database.transaction():
        raise TimeoutError
    assert select_one(server.database) == 1


def test_a_busy_pool_is_a_refusal(server: Server) -> None:
    small = Database(Environment({"DATABASE_URL": server.url, "DB_POOL_SIZE": "1"}).database())
    with small.transaction(), pytest.raises(UnavailableError, match="no free connection"):
        small.read("SELECT 1 AS one")
    assert small.read("SELECT 1 AS one") == {"one": 1}
    small.dispose()


@pytest.fixture
def hanging() -> Iterator[ExitStack]:
    """Transactions kept open until the end of the test."""
    with ExitStack() as opened:
        yield opened


@pytest.mark.parametrize(("pool_size", "slow_at_once"), [(5, 3), (3, 1), (2, 1)])
def test_slow_transactions_leave_connections_to_the_others(
    server: Server, hanging: ExitStack, pool_size: int, slow_at_once: int
) -> None:
    pooled = Database(Environment({"DATABASE_URL": server.url, "DB_POOL_SIZE": str(pool_size)}).database())
    hanging.callback(pooled.dispose)
    for _ in range(slow_at_once - 1):
        hanging.enter_context(pooled.transaction(slow=True))
    with pooled.transaction(slow=True):
        started = time.monotonic()
        with pytest.raises(UnavailableError) as raised, pooled.transaction(slow=True):
            pass
        assert 1 < time.monotonic() - started < 4
        assert raised.value.headers["Retry-After"] == "5"
        assert pooled.read("SELECT 1 AS one") == {"one": 1}
        with pooled.transaction() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
    # The next gets the place of one that ended, and of one that failed.
    with pytest.raises(ZeroDivisionError), pooled.transaction(slow=True):
        raise ZeroDivisionError
    with pooled.transaction(slow=True) as connection:
        assert connection.scalar(text("SELECT 1")) == 1


def test_a_mistake_of_ours_is_no_outage(server: Server) -> None:
    """A statement that is wrong is a fault: retrying it would help nobody."""
    with pytest.raises(DriverError):
        server.database.read("SELECT nothing")
    with pytest.raises(DBAPIError), server.database.transaction() as connection:
        connection.execute(text("SELECT nothing"))
    # And the connection it was made on is of use to the next.
    assert server.ask("/read").json == {"one": 1}


@pytest.mark.parametrize("value", ["\ud800", [1, "\udfff"], "a\x00b", object()])
def test_what_cannot_be_written_spoils_no_connection(apart: str, value: object) -> None:
    """The driver finds it out halfway: whoever gets the connection next would read what was meant for this one."""
    database = Database(Environment({"DATABASE_URL": apart, "DB_POOL_SIZE": "1"}).database())
    for number in range(3):
        with pytest.raises((UnicodeEncodeError, DBAPIError)), database.transaction() as tx:
            tx.execute(text("SELECT CAST(:value AS int)"), {"value": value})
        with database.transaction() as tx:
            assert tx.execute(text("SELECT CAST(:number AS int)"), {"number": number}).scalar_one() == number
        found = database.read("SELECT CAST(:number AS int) AS found", number=number)
        assert found == {"found": number}
    database.dispose()
