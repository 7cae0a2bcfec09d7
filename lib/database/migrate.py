"""Brings a database's schema to the newest version: `python -m lib.database.migrate` or `upgrade(url)`."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from lib.database.engine import Limits

MIGRATIONS = Path(__file__).parent / "migrations"
# A statement may move a whole table, and another migrator may be at it.
PATIENCE = Limits(answer=3600)


def configuration(url: str | None = None, limits: Limits = PATIENCE) -> Config:
    """Alembic's configuration. Without `url` the environment's settings count (see migrations/env.py)."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes.update(url=url, limits=limits)
    return config


def upgrade(url: str | None = None, limits: Limits = PATIENCE) -> None:
    """Apply what is missing, in one transaction.

    Raises:
        UnavailableError: the database cannot be reached, or did not answer within the limits.
    """
    command.upgrade(configuration(url, limits), "head")


if __name__ == "__main__":
    upgrade()
