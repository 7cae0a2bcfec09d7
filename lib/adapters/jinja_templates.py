"""What mails say, from the templates in mail_templates/, by Jinja.

Each kind has one template, in plain text: the subject on its first line, then paragraphs. HTML is the same
paragraphs, escaped, in the page letter.html, where the link can be clicked on.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from lib.accounts.ports import Words

FOLDER = Path(__file__).with_name("mail_templates")
_LONGEST_FACT = 100
# Before a letter: not those of versions and network addresses.
_HOST_DOT = re.compile(r"[.。．｡](?=\w*[^\W\d])")


class JinjaTemplates:
    """Args: app_url: the client application, which the mails name."""

    def __init__(self, app_url: str) -> None:
        self._app_url = app_url
        self._jinja = Environment(
            loader=FileSystemLoader(FOLDER),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def write(self, kind: str, facts: Mapping[str, str | None], link: str | None) -> Words:
        shown = {name: fact and _tame(fact) for name, fact in facts.items()}
        shown |= {"app_url": self._app_url, "link": link}
        written = self._jinja.get_template(f"{kind}.txt").render(shown)
        subject, _, text = written.partition("\n")
        paragraphs = [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]
        html = self._jinja.get_template("letter.html").render(shown, subject=subject, paragraphs=paragraphs)
        return Words(subject, text.strip() + "\n", html)


def _tame(fact: str) -> str:
    """One line, not for ever, and nothing to click on: a device's name is a stranger's to choose.

    Mail programs make links of bare names of hosts, too.
    """
    return " ".join(_HOST_DOT.sub(". ", fact.replace("://", " ")).split())[:_LONGEST_FACT]
