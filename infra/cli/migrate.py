"""migrate: the database's schema."""

import click

from infra.cli.operator import Operator
from infra.cli.output import dry_run_option, json_option, operator, show
from lib.database.migrate import pending, upgrade


@click.command()
@dry_run_option
@json_option
@operator
def migrate(on: Operator, *, dry_run: bool, as_json: bool) -> None:
    """Bring the database's schema to this code's version, in one transaction."""
    missing = pending(on.database)
    if missing and not dry_run:
        upgrade(settings=on.settings.database())
    revisions = [{"revision": revision, "title": title} for revision, title in missing]
    words = "would apply" if dry_run else "applied"
    lines = [f"{words} {revision}: {title}" for revision, title in missing] or ["nothing is missing"]
    show({"applied": not dry_run, "revisions": revisions}, lines, as_json=as_json)
