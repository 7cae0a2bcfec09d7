"""Old code runs on the new schema: a migration takes nothing away that deployed code may use.

What does take away stands right below a line `# Unused since <version>: <what>` (docs/deployment.md).
"""

import ast
import re
from pathlib import Path

import pytest

from lib.database.migrate import MIGRATIONS

LATER = sorted(path for path in (MIGRATIONS / "versions").glob("*.py") if not path.name.startswith("0001"))
MARKER = re.compile(r"\s*# Unused since \d+(\.\d+)+: \S.*")
TAKES_SQL = re.compile(
    r"\b(DROP\s+(TABLE|COLUMN|FUNCTION|VIEW|TYPE)|RENAME\s+(TO|COLUMN)|SET\s+NOT\s+NULL)\b", re.IGNORECASE
)
# A constraint or an index that is gone refuses less than before.
LOOSENS = {"drop_constraint", "drop_index"}


def _literal(call: ast.Call, name: str) -> object:
    """A keyword's value; `...` where it is there and no constant, None where it is not there."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value.value if isinstance(keyword.value, ast.Constant) else ...
    return None


def _takes_away(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute):
        return False
    name = call.func.attr
    if name == "alter_column":
        return _literal(call, "nullable") is False or any(
            _literal(call, word) is not None for word in ("new_column_name", "type_")
        )
    if name == "add_column":
        column = next((each for each in call.args if isinstance(each, ast.Call)), None)
        return (
            column is not None
            and _literal(column, "nullable") is False
            and _literal(column, "server_default") is None
        )
    if name in {"execute", "exec_driver_sql"}:
        return any(
            isinstance(part, ast.Constant)
            and isinstance(part.value, str)
            and bool(TAKES_SQL.search(part.value))
            for part in ast.walk(call)
        )
    return name.startswith(("drop_", "rename_")) and name not in LOOSENS


def refused(source: str) -> list[int]:
    """Lines of a migration that take something away without saying since when it is unused."""
    lines = source.splitlines()
    upgrade = next(
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == "upgrade"
    )
    calls = [node for node in ast.walk(upgrade) if isinstance(node, ast.Call) and _takes_away(node)]
    return [call.lineno for call in calls if not MARKER.fullmatch(lines[call.lineno - 2])]


@pytest.mark.parametrize("path", LATER, ids=lambda path: path.stem)
def test_a_migration_takes_nothing_away(path: Path) -> None:
    assert refused(path.read_text()) == []


@pytest.mark.parametrize(
    "path",
    sorted(path for path in (MIGRATIONS / "sql").glob("*.sql") if not path.name.startswith("0001")),
    ids=lambda path: path.stem,
)
def test_its_sql_takes_nothing_away(path: Path) -> None:
    assert TAKES_SQL.search(path.read_text()) is None


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ('op.drop_column("films", "title")', True),
        ('op.drop_table("films")', True),
        ('op.rename_table("films", "videos")', True),
        ('op.alter_column("films", "title", nullable=False)', True),
        ('op.alter_column("films", "title", new_column_name="name")', True),
        ('op.add_column("films", sa.Column("year", sa.Integer(), nullable=False))', True),
        ('op.execute("ALTER TABLE films DROP COLUMN title")', True),
        (
            'op.add_column("films", sa.Column("year", sa.Integer(), nullable=False, server_default="0"))',
            False,
        ),
        ('op.alter_column("films", "title", nullable=True)', False),
        ('op.drop_index("ix_films_title")', False),
    ],
)
def test_what_is_refused(line: str, bad: bool) -> None:
    assert bool(refused(f"def upgrade():\n    {line}\n")) is bad
    assert refused(f"def upgrade():\n    # Unused since 0.4: films.title\n    {line}\n") == []
