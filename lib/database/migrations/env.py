"""Alembic's entry: connects as the functions do and runs the migrations in one transaction."""

import os

from alembic import context

from lib.config import Environment
from lib.database.engine import Database
from lib.database.schema import metadata

# Two migrators at once (two deployments, two machines) take turns.
_LOCK = 7_305_811_029

settings = context.config.attributes["settings"] or Environment(os.environ).database()
database = Database(settings, limits=context.config.attributes["limits"])
try:
    with database.transaction() as connection:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql("SET LOCAL lock_timeout = '30min'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        # Whoever waits for a table makes all wait who come after: no longer than that.
        connection.exec_driver_sql("SET LOCAL lock_timeout = '60s'")
        context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False)
        with context.begin_transaction():
            context.run_migrations()
finally:
    database.dispose()
