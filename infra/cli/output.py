"""What the commands share: options, and how a result is shown."""

import contextlib
import json
import sys
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import click

from infra.cli.operator import Operator
from lib.web.operation import rfc3339

operator = click.make_pass_decorator(Operator)
json_option = click.option("--json", "as_json", is_flag=True, help="The result as one JSON document.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Tell what would be done; change nothing.")


def show(result: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """The result on standard output: as JSON, or in words."""
    click.echo(json.dumps(result, indent=2, default=_plain) if as_json else "\n".join(lines))


def table(rows: Iterable[Iterable[object]]) -> list[str]:
    """Rows as lines, their columns below each other; None is a dash."""
    cells = [["–" if cell is None else str(_plain(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def log_aside() -> contextlib.AbstractContextManager[object]:
    """Services log to standard output, where a result is to be alone: for the block they log beside it."""
    return contextlib.redirect_stdout(sys.stderr)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return rfc3339(value)
    return str(value) if isinstance(value, uuid.UUID) else value
