"""The tables as the code knows them against the tables as the migrations build them."""

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, create_engine, make_url, text

from infra.local.supervisor import Stack
from lib.database.schema import metadata

# Everything about a table that PostgreSQL can say of itself, without names of databases and places in rows.
DESCRIPTIONS = {
    "columns": """
        SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
    """,
    "constraints": """
        SELECT c.relname, k.conname, pg_get_constraintdef(k.oid)
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
        WHERE k.connamespace = 'public'::regnamespace AND c.relname <> 'alembic_version'
    """,
    "indexes": """
        SELECT tablename, indexname, indexdef FROM pg_indexes
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    """,
}


@pytest.fixture(scope="module")
def migrated(stack: Stack) -> Iterator[Engine]:
    """The stack's own database, which its migrations made."""
    engine = create_engine(stack.database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def declared(stack: Stack, migrated: Engine) -> Iterator[Engine]:
    """A new database on the same server, made from the metadata alone."""
    name = f"declared_{uuid.uuid4().hex}"
    with migrated.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine = create_engine(make_url(stack.database_url).set(database=name))
    with engine.begin() as connection:
        connection.execute(text("CREATE EXTENSION pg_trgm"))
        metadata.create_all(connection)
    yield engine
    engine.dispose()


def described(connection: Connection, what: str) -> list[tuple[object, ...]]:
    return sorted(tuple(map(str, row)) for row in connection.execute(text(DESCRIPTIONS[what])))


@pytest.mark.parametrize("what", DESCRIPTIONS)
def test_the_migrations_build_what_the_code_declares(what: str, migrated: Engine, declared: Engine) -> None:
    with migrated.connect() as built, declared.connect() as wanted:
        found = described(built, what)
        assert found == described(wanted, what)
    assert len(found) > len(metadata.tables)


# The one column of a key, and an index of which it is the first, of all its values.
UNINDEXED = """
    SELECT k.conrelid::regclass::text, a.attname
    FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
    WHERE k.contype = 'f' AND k.confrelid IN ('users'::regclass, 'sessions'::regclass)
      AND NOT EXISTS (
          SELECT FROM pg_index i WHERE i.indrelid = k.conrelid AND i.indkey[0] = a.attnum
             AND (i.indpred IS NULL
                  OR pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', a.attname)))
"""


def test_what_belongs_to_an_account_or_a_login_is_found_by_an_index(migrated: Engine) -> None:
    """Each login looks for the account's others, and an account that leaves takes all of it along."""
    with migrated.connect() as built:
        assert built.execute(text(UNINDEXED)).all() == []
