"""The migrations' files, without a database: one row of them, numbered as they follow each other."""

from pathlib import Path

from alembic.script import ScriptDirectory

import lib.database.migrations

FOLDER = Path(lib.database.migrations.__path__[0])


def test_each_follows_the_one_before() -> None:
    scripts = list(ScriptDirectory(str(FOLDER)).walk_revisions())
    numbers = [script.revision for script in reversed(scripts)]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    before = [script.down_revision for script in reversed(scripts)]
    assert before == [None, *numbers[:-1]]
    assert [Path(script.path).name[:4] for script in reversed(scripts)] == numbers
