"""trace: whose a playback address is that turned up where it should not."""

import sys

import click

from infra.cli.operator import Operator
from infra.cli.output import json_option, operator, show, table
from lib.adapters.playback_traces import read_trace
from lib.errors import NotFoundError
from lib.video import store


@click.command()
@click.argument("address")
@json_option
@operator
def trace(on: Operator, *, address: str, as_json: bool) -> None:
    """The account, login and film of ADDRESS: a playback URL or the token in it (- reads it from standard input).

    Only what our keys have signed tells anything: anybody can write another account's session into a token.
    """
    found = read_trace(sys.stdin.read() if address == "-" else address, on.settings)
    if found is None:
        raise NotFoundError("There is no playback token in it")
    if not found.genuine:
        raise NotFoundError(
            "This token was not signed with our present key of its provider: it proves nothing"
        )
    if found.playback_session_id is None:
        raise NotFoundError("This token is for a picture or a preview, which are the same for everybody")
    with on.database.transaction() as tx:
        row = store.traced(tx, found.playback_session_id)
    if row is None:
        raise NotFoundError("This playback session is gone, with its account or its film")
    result = {
        "playback_session_id": found.playback_session_id,
        "user": {"id": row.user_id, "email": row.email},
        "login": {"id": row.session_id, "device_name": row.device_name, "created_at": row.logged_in_at},
        "video": {"id": row.video_id, "title": row.title},
        "started_at": row.started_at,
        "expires_at": found.expires_at,
    }
    lines = [
        ("account", f"{row.email} {row.user_id}"),
        ("login", f"{row.session_id or 'over'} {row.device_name or ''}"),
        ("film", f"{row.title} {row.video_id}"),
        ("started", row.started_at),
        ("good until", found.expires_at),
    ]
    show(result, table(lines), as_json=as_json)
