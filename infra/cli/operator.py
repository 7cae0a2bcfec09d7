"""Who operates, and what on: the one place of the command line that reads the environment."""

import os
import pwd
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from infra.env_file import read_env_file
from lib.config import Environment
from lib.database.engine import Database

REPOSITORY = Path(__file__).resolve().parents[2]
_DATABASES = ("DATABASE_URL", "INSTANCE_CONNECTION_NAME")


class Operator:
    """The settings in force and what is built of them, each when it is first asked for.

    The settings are those of the environment. Where that names no database they are those that `make run`
    wrote: all or none, since half of each would be a mixture of two installations.
    """

    def __init__(self, given: Mapping[str, str] = os.environ) -> None:
        self.given = given
        folder = Path(given.get("STREAMLY_LOCAL_DIR") or REPOSITORY / ".local")
        self._file = folder / "functions.env"

    @cached_property
    def settings(self) -> Environment:
        """Raises EnvFileError."""
        if any(self.given.get(name) for name in _DATABASES) or not self._file.exists():
            return Environment(self.given)
        return Environment(read_env_file(self._file))

    @cached_property
    def database(self) -> Database:
        """Raises ConfigError."""
        return Database(self.settings.database())

    @cached_property
    def actor(self) -> str:
        """As the audit log calls them: by the account they are logged in with on this machine."""
        return f"operator:{pwd.getpwuid(os.getuid()).pw_name}"

    def close(self) -> None:
        if "database" in self.__dict__:
            self.database.dispose()
