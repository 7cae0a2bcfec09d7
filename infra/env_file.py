"""Files of settings, one `NAME=value` a line: `.env`, and the `functions.env` that `make run` writes."""

import shlex
from pathlib import Path


class EnvFileError(ValueError):
    """A line is not of this form. The message names it, and does not repeat it."""


def read_env_file(path: Path) -> dict[str, str]:
    """The settings in the file; none if there is no such file.

    Understood: comments, `export`, quotes as a shell's. Not: values over several lines, `$NAME`.

    Raises:
        EnvFileError: A line is not of this form.
    """
    if not path.exists():
        return {}
    settings = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        try:
            words = shlex.split(value, comments=True)
        except ValueError:
            words = ["", ""]
        if not equals or not name.strip().isidentifier() or len(words) > 1:
            raise EnvFileError(
                f"{path.name}, line {number}: should be NAME=value (with spaces: NAME='value')"
            )
        settings[name.strip()] = words[0] if words else ""
    return settings
