"""Writes docs/erd.md from the schema's metadata: `python -m infra.local.erd [--check]`."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex

from lib.database.schema import metadata

FILE = Path(__file__).resolve().parents[2] / "docs" / "erd.md"

# What each table is for. A table without a line here, or a line without a table, fails.
PURPOSES = {
    "users": "Somebody with an account. The email is stored in lower case, which is also how it is looked up.",
    "sessions": "A login: one device, until it expires or is revoked. Access tokens name it (`sid`).",
    "refresh_tokens": "What renews a login. Only the SHA-256 is kept; one is live, the spent ones show who copied them.",
    "mails": "Mails on their way, and for a month what became of them: never twice, and without their secrets.",
    "links": "What a mailed link is for. Only the SHA-256 of its token is kept; used, the row is gone.",
    "attempts": "How often a login was tried, per account and per address, in the current window.",
    "idempotency_keys": "Answers kept for repeated requests, per user and function.",
    "billing_accounts": "The row that is locked while an account is compared with Stripe.",
    "checkouts": "Payment pages that were opened; at most one open for each account.",
    "subscriptions": "What Stripe said of each subscription when it was last asked.",
    "entitlements": "What an account may watch, and until when: computed from its grants.",
    "grants": "What gives an account access, one row for each thing that does, and why it does or does not.",
    "gift_codes": "Codes for a plan and a number of days, by their SHA-256; each is redeemed once.",
    "trial_cards": "Cards that a free trial was begun with, by a hash of their fingerprint.",
    "sold_prices": "Which plan a price sold, for those who pay a price that lost its lookup key.",
    "inbox": "Stripe's events, each once: ids only, and what became of each.",
    "walks": "How far reconcile has come in a long list at Stripe.",
    "denial_syncs": "When an account was last synced because its viewer was about to be refused.",
    "videos": "Films and where they stand with their provider.",
    "title_words": "Every word of a title: what mistyped words are corrected to.",
    "playback_sessions": "A film opened by a login, with the lease that counts it as a stream.",
    "audit_log": "What happened, written once. A trigger refuses changes, except that an address is forgotten.",
    "closures": "What deleted accounts left to end at Stripe; a row goes when that is done.",
}

_SHORT = {"timestamp_with_time_zone": "timestamptz", "float": "double_precision"}
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


def document() -> str:
    """The whole page.

    Raises:
        KeyError: a table lacks its line in PURPOSES, or a line its table.
    """
    tables = list(metadata.sorted_tables)
    for name in {table.name for table in tables} ^ set(PURPOSES):
        raise KeyError(name)
    diagram = [line for table in tables for line in _entity(table)]
    relations = sorted(line for table in tables for line in _relations(table))
    details = [line for table in tables for line in _details(table)]
    return "\n".join(
        [
            "# The tables",
            "",
            "Generated from `lib/database/schema.py` by `make erd`; do not edit.",
            "`make check` fails when the two differ.",
            "",
            "Times are `timestamptz`. Ids are UUIDs made by the application, unless Stripe named the thing.",
            "`user_id` of `audit_log` and `closures` has no foreign key on purpose: they outlive whom they are about.",
            "",
            "```mermaid",
            "erDiagram",
            *(f"    {line}" for line in [*diagram, *relations]),
            "```",
            "",
            *details,
            "What get-playback, heartbeat, login and register call (`open_playback`, `heartbeat`, `try_login`, `begin_login`,",
            "`register_account`, `count_attempts`) and the triggers of `audit_log` are SQL, in",
            "`lib/database/migrations/sql/`.",
            "",
        ]
    )


def _entity(table: Table) -> Iterator[str]:
    yield f"{table.name} {{"
    for column in table.columns:
        keys = ", ".join(_keys(column))
        note = ' "may be null"' if column.nullable else ""
        yield f"    {_type(column)} {column.name}{f' {keys}' if keys else ''}{note}"
    yield "}"


def _keys(column: Column[object]) -> Iterator[str]:
    if column.primary_key:
        yield "PK"
    if column.foreign_keys:
        yield "FK"
    if column.unique:
        yield "UK"


def _type(column: Column[object]) -> str:
    name = column.type.compile(dialect=_DIALECT).lower().replace(" ", "_")
    return _SHORT.get(name, name)


def _relations(table: Table) -> Iterator[str]:
    for key in table.foreign_keys:
        parent = "|o" if key.parent.nullable else "||"
        child = "o|" if _is_alone(table, key) else "o{"
        yield f'{key.column.table.name} {parent}--{child} {table.name} : "{key.parent.name}"'


def _is_alone(table: Table, key: ForeignKey) -> bool:
    """Whether a parent has one child at most."""
    return bool(key.parent.unique) or list(table.primary_key.columns) == [key.parent]


def _details(table: Table) -> Iterator[str]:
    yield from (f"## {table.name}", "", PURPOSES[table.name], "")
    rules = sorted(_rules(table))
    if rules:
        yield from (*rules, "")


def _rules(table: Table) -> Iterator[str]:
    for constraint in table.constraints:
        if isinstance(constraint, CheckConstraint):
            yield f"- check `{constraint.sqltext}`"
        elif isinstance(constraint, UniqueConstraint):
            yield f"- unique ({_names(constraint)})"
        elif isinstance(constraint, PrimaryKeyConstraint) and len(constraint.columns) > 1:
            yield f"- primary key ({_names(constraint)})"
    for index in table.indexes:
        yield f"- {'unique index' if index.unique else 'index'} {_index(index)}"
    for key in table.foreign_keys:
        yield f"- `{key.parent.name}` → `{key.target_fullname}`, on delete {(key.ondelete or 'no action').lower()}"


def _names(constraint: UniqueConstraint | PrimaryKeyConstraint) -> str:
    return ", ".join(f"`{column.name}`" for column in constraint.columns)


def _index(index: Index) -> str:
    """Its columns and condition, as PostgreSQL is told them."""
    told = str(CreateIndex(index).compile(dialect=_DIALECT)).partition(" ON ")[2]
    return f"`{told.partition(' ')[2]}`"


def main() -> None:
    parser = argparse.ArgumentParser(description="Write docs/erd.md.")
    parser.add_argument("--check", action="store_true", help="fail if the committed one differs")
    arguments = parser.parse_args()
    text = document()
    if not arguments.check:
        FILE.write_text(text)
    elif not FILE.exists() or FILE.read_text() != text:
        sys.exit("docs/erd.md is out of date: run `make erd`")


if __name__ == "__main__":
    main()
