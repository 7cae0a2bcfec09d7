"""A process that dies by SIGKILL at a named step of sending a mail: `python -m tests.integration.dying_mail`.

Arguments: database URL, step, mail's id, file. What the mail server takes is written to the file.
"""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from lib.accounts.mailing import Mailing
from lib.accounts.ports import Letter, Words
from lib.adapters.jinja_templates import JinjaTemplates
from lib.config import Environment
from lib.database.engine import Database

STEPS = ("claimed, not committed", "committed, not handed over", "handed over, not settled")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingTemplates(JinjaTemplates):
    """Asked for words when the mail is claimed and nothing is committed."""

    def __init__(self, step: str) -> None:
        super().__init__("https://app.example.com")
        self._step = step

    def write(self, kind: str, facts: Mapping[str, str | None], link: str | None) -> Words:
        if self._step == "claimed, not committed":
            die()
        return super().write(kind, facts, link)


class DyingMail:
    def __init__(self, step: str, taken: Path) -> None:
        self._step = step
        self._taken = taken

    def send(self, letter: Letter) -> None:
        if self._step == "committed, not handed over":
            die()
        with self._taken.open("a") as file:
            file.write(f"{letter.id}\n")
        die()


def main() -> None:
    url, step, mail_id, taken = sys.argv[1:]
    database = Database(Environment({"DATABASE_URL": url}).database())
    mailing = Mailing(database, DyingMail(step, Path(taken)), DyingTemplates(step), "https://app.example.com")
    mailing.send({"mail_id": mail_id})


if __name__ == "__main__":
    main()
