"""What is over is deleted, what is not stays, and nobody waits for it."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text, update

from infra.local.postgres import EmbeddedPostgres
from lib.config import Environment
from lib.database.engine import Database
from lib.database.migrate import upgrade
from lib.database.retention import Retention
from lib.database.schema import metadata

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
USER, VIDEO = uuid.uuid4(), uuid.uuid4()
HASH = b"h" * 32


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One that no scheduler looks after."""
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("retention"), durable=False)
    url = postgres.start()
    upgrade(url)
    opened = Database(Environment({"DATABASE_URL": url}).database())
    with opened.transaction() as tx:
        user = {"id": USER, "email": "viewer@example.com", "password_hash": "$argon2id$v=19$x"}
        add(tx, "users", **user)
        add(tx, "videos", id=VIDEO, title="A film", level=1, published=True, provider="mux")
    yield opened
    opened.dispose()
    postgres.stop()


def add(tx: Connection, table: str, **values: Any) -> None:
    tx.execute(insert(metadata.tables[table]).values(values))


def ago(span: timedelta) -> datetime:
    return datetime.now(UTC) - span


def kept(database: Database, table: str, column: str) -> set[Any]:
    with database.transaction() as tx:
        return set(tx.scalars(select(metadata.tables[table].c[column])))


def test_attempts_whose_window_ended(database: Database) -> None:
    with database.transaction() as tx:
        add(tx, "attempts", key="over", count=3, window_ends_at=ago(MINUTE))
        add(tx, "attempts", key="counting", count=3, window_ends_at=ago(-MINUTE))
    assert Retention(database).purge()["attempts"] == 1
    assert kept(database, "attempts", "key") == {"counting"}


def test_answers_of_yesterday(database: Database) -> None:
    def answer(key: str, created_at: datetime, **values: Any) -> None:
        row = {"user_id": USER, "function": "f", "request_hash": HASH, "held_until": created_at + MINUTE}
        with database.transaction() as tx:
            add(tx, "idempotency_keys", key=key, created_at=created_at, **row, **values)

    answer("over", ago(DAY + MINUTE), status=201, answer={"a": 1})
    answer("never answered", ago(DAY + MINUTE))
    answer("good", ago(DAY - MINUTE), status=201, answer={"a": 1})
    answer("being worked on", ago(timedelta()))
    assert Retention(database).purge()["idempotency_keys"] == 2
    assert kept(database, "idempotency_keys", "key") == {"good", "being worked on"}


def test_logins_long_over(database: Database) -> None:
    """With their tokens, spent or not; those of open logins stay, and so does how far somebody got."""
    long, month = 60 * DAY, 30 * DAY
    logins: dict[str, tuple[timedelta, timedelta | None]] = {
        "expired long ago": (month + MINUTE, None),
        "expired": (month - MINUTE, None),
        "revoked long ago": (-DAY, month + MINUTE),
        "revoked": (-DAY, month - MINUTE),
        "expired long ago, revoked later": (month + MINUTE, DAY),
        "open": (-DAY, None),
    }
    ids = {name: uuid.uuid4() for name in logins}
    with database.transaction() as tx:
        for number, (name, (expired, revoked)) in enumerate(logins.items()):
            times = {"created_at": ago(long + DAY), "expires_at": ago(expired)}
            times |= {"revoked_at": ago(revoked)} if revoked else {}
            add(tx, "sessions", id=ids[name], user_id=USER, device_name=name, **times)
            spent = {"spent_at": ago(long), "sealed_successor": b"x"}
            for kind, extra in ((b"s", spent), (b"l", {})):
                token = kind + bytes([number]) + b"t" * 30
                row = {"token_hash": token, "session_id": ids[name], "expires_at": ago(expired)}
                add(tx, "refresh_tokens", **row, **extra)
            playback = {"user_id": USER, "session_id": ids[name], "video_id": VIDEO, "expires_at": ago(long)}
            add(tx, "playback_sessions", id=uuid.uuid4(), position=float(number), **playback)
    assert Retention(database).purge()["sessions"] == 3
    assert kept(database, "sessions", "device_name") == {"expired", "revoked", "open"}
    left = {ids[name] for name in ("expired", "revoked", "open")}
    assert kept(database, "refresh_tokens", "session_id") == left
    with database.transaction() as tx:
        assert tx.scalar(text("SELECT count(*) FROM refresh_tokens WHERE spent_at IS NOT NULL")) == 3
    assert kept(database, "playback_sessions", "session_id") == left | {None}
    assert kept(database, "playback_sessions", "position") == {float(number) for number in range(6)}


def test_events_long_settled(database: Database) -> None:
    def received(event_id: str, state: str, processed_at: datetime | None) -> None:
        times = {"received_at": ago(200 * DAY), "enqueued_at": ago(200 * DAY), "processed_at": processed_at}
        with database.transaction() as tx:
            add(tx, "inbox", event_id=event_id, type="t", state=state, enqueues=1, **times)

    received("processed long ago", "processed", ago(90 * DAY + MINUTE))
    received("ignored long ago", "ignored", ago(90 * DAY + MINUTE))
    received("processed", "processed", ago(90 * DAY - MINUTE))
    received("left", "received", None)
    assert Retention(database).purge()["inbox"] == 2
    assert kept(database, "inbox", "event_id") == {"processed", "left"}


def test_mails_long_settled_and_links_run_out(database: Database) -> None:
    def mail(kind: str, **values: Any) -> None:
        with database.transaction() as tx:
            add(tx, "mails", id=uuid.uuid4(), user_id=USER, kind=kind, due_at=ago(60 * DAY), **values)

    mail("reset", state="sent", settled_at=ago(30 * DAY + MINUTE))
    mail("new_device", state="unknown", settled_at=ago(30 * DAY - MINUTE))
    mail("verification", created_at=ago(60 * DAY))
    with database.transaction() as tx:
        for token, expired in ((b"o" * 32, MINUTE), (b"g" * 32, -MINUTE)):
            times = {"created_at": ago(DAY), "expires_at": ago(expired)}
            add(tx, "links", token_hash=token, user_id=USER, purpose="verify", **times)
    purged = Retention(database).purge()
    assert (purged["mails"], purged["links"]) == (1, 1)
    assert kept(database, "mails", "kind") == {"new_device", "verification"}
    assert kept(database, "links", "token_hash") == {b"g" * 32}


def add_over(database: Database, number: int) -> None:
    with database.transaction() as tx:
        for key in range(number):
            add(tx, "attempts", key=f"over {key}", count=1, window_ends_at=ago(HOUR))


def test_where_somebody_was_long_ago(database: Database) -> None:
    """The line stays, whatever its age."""
    with database.transaction() as tx:
        for kind, age in (("long ago", 91 * DAY), ("lately", 89 * DAY)):
            add(tx, "audit_log", kind=kind, actor="test", address="192.0.2.1", at=ago(age))
    assert Retention(database).purge()["audit_log"] == 1
    with database.transaction() as tx:
        lines = metadata.tables["audit_log"]
        found = {line.kind: line.address for line in tx.execute(select(lines.c.kind, lines.c.address))}
    assert found == {"long ago": None, "lately": "192.0.2.1"}


def test_so_many_at_once(database: Database) -> None:
    add_over(database, 7)
    small = Retention(database, batch=2, batches=2)
    assert [small.purge()["attempts"] for _ in range(3)] == [4, 3, 0]


def test_what_somebody_has_in_hand_is_left_alone(database: Database) -> None:
    """Not waited for, and not deleted if it is renewed."""
    add_over(database, 2)
    attempts = metadata.tables["attempts"]
    renewed = update(attempts).where(attempts.c.key == "over 0").values(window_ends_at=ago(-HOUR))
    with database.transaction() as tx:
        tx.execute(renewed)
        assert Retention(database).purge()["attempts"] == 1
    assert Retention(database).purge()["attempts"] == 0
    assert "over 0" in kept(database, "attempts", "key")


def test_what_is_over_is_found_by_an_index(database: Database) -> None:
    with database.transaction() as tx:
        tx.execute(text("SET LOCAL enable_seqscan = off"))
        for table, condition in (
            ("attempts", "window_ends_at < now()"),
            ("idempotency_keys", "created_at < now()"),
            ("sessions", "expires_at < now() OR revoked_at < now()"),
            ("inbox", "processed_at < now()"),
            ("mails", "settled_at < now()"),
            ("links", "expires_at < now()"),
            ("refresh_tokens", f"session_id = '{USER}'"),
        ):
            plan = tx.scalars(text(f"EXPLAIN SELECT 1 FROM {table} WHERE {condition}"))  # noqa: S608 - our names
            assert "Seq Scan" not in "\n".join(plan), table
