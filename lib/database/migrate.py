"""Brings a database's schema to the newest version: `python -m lib.database.migrate` or `upgrade(url)`."""

from pathlib import Path

from alembic import command
from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"


def configuration(url: str | None = None) -> Config:
    """Alembic's configuration. Without `url` the environment's settings count (see migrations/env.py)."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    return config


def upgrade(url: str | None = None) -> None:
    """Apply what is missing, in one transaction."""
    command.upgrade(configuration(url), "head")


if __name__ == "__main__":
    upgrade()
