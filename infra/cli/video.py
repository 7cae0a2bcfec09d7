"""video: what admins cannot do through the API."""

import click

from infra.cli.operator import Operator
from infra.cli.output import dry_run_option, json_option, operator, show
from lib.errors import NotFoundError
from lib.video import store
from lib.web.operation import as_uuid


@click.group()
def video() -> None:
    """Films."""


@video.command()
@click.argument("video_id")
@dry_run_option
@json_option
@operator
def restore(on: Operator, *, video_id: str, dry_run: bool, as_json: bool) -> None:
    """Bring VIDEO_ID back that an admin deleted, as long as it has not been removed from its provider."""
    known = as_uuid(video_id)
    with on.database.transaction() as tx:
        if known is None or not store.restore(tx, known):
            raise NotFoundError("There is no deleted video of this id that could still be brought back")
        store.record(tx, "video_restored", {"video_id": str(known)}, actor=on.actor)
        if dry_run:
            tx.rollback()
    said = "would be" if dry_run else "is"
    show({"video_id": known, "restored": not dry_run, "dry_run": dry_run}, [f"{said} back"], as_json=as_json)
