"""The operator's command line within the tests' own process."""

import json
from collections.abc import Mapping
from typing import Any

from click.testing import CliRunner, Result

from infra.cli.program import program


class CommandLine:
    """`python -m infra.cli` within this process, with these settings and no others."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.settings = dict(settings)
        self._runner = CliRunner()

    def run(self, *words: str, given: str = "", **settings: str) -> Result:
        # What is in the tests' own environment and could be taken for a setting goes.
        cleared: dict[str, str | None] = dict.fromkeys(("DATABASE_URL", "INSTANCE_CONNECTION_NAME"))
        env = cleared | self.settings | settings
        return self._runner.invoke(program, words, input=given, env=env)

    def json(self, *words: str, **options: Any) -> dict[str, Any]:
        """The result of a command that succeeds, read from standard output alone."""
        done = self.run(*words, "--json", **options)
        assert done.exit_code == 0, done.output
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def fails(self, code: int, *words: str, **options: Any) -> str:
        """What it says on standard error. Nothing is on standard output, and no traceback anywhere."""
        done = self.run(*words, **options)
        assert (done.exit_code, done.stdout) == (code, ""), done.output
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.stderr
