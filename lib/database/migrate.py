"""Brings a database's schema to the newest version: `python -m lib.database.migrate` or `upgrade(url)`."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError

from lib.config import DatabaseSettings, Environment
from lib.database.connections import Limits
from lib.database.engine import Database

MIGRATIONS = Path(__file__).parent / "migrations"
# A statement may move a whole table, and another migrator may be at it.
PATIENCE = Limits(answer=3600)


def configuration(
    url: str | None = None, limits: Limits = PATIENCE, settings: DatabaseSettings | None = None
) -> Config:
    """Alembic's configuration. Without url or settings the environment's count (see migrations/env.py)."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    if url:
        settings = Environment({"DATABASE_URL": url}).database()
    config.attributes.update(settings=settings, limits=limits)
    return config


def upgrade(
    url: str | None = None, limits: Limits = PATIENCE, settings: DatabaseSettings | None = None
) -> None:
    """Apply what is missing, in one transaction. Nothing, where a newer release has been at the database before.

    Raises:
        CommandError: the database is at a revision that was never one of ours.
        UnavailableError: the database cannot be reached, or did not answer within the limits.
    """
    config = configuration(url, limits, settings)
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        # A release that was taken back: the older code runs on the newer schema (docs/deployment.md).
        head = ScriptDirectory.from_config(config).get_current_head() or ""
        unknown = error.__cause__.argument if isinstance(error.__cause__, ResolutionError) else ""
        if not (unknown.isdecimal() and unknown > head):
            raise


def pending(database: Database) -> list[tuple[str, str]]:
    """What `upgrade` would apply, in its order: revision and title.

    Raises:
        CommandError: the database is at a revision that this code does not know, a newer one.
        UnavailableError: the database cannot be reached.
    """
    with database.transaction() as tx:
        applied = MigrationContext.configure(tx).get_current_heads()
    scripts = ScriptDirectory.from_config(configuration())
    missing = scripts.iterate_revisions("head", applied or "base")
    return [(script.revision, script.doc) for script in reversed(list(missing))]


if __name__ == "__main__":
    upgrade()
