"""Every gcloud command of the documentation and the scripts, by gcloud's own parser; and what it would upload.

`make gcloud-check` where gcloud is installed; nothing is called, no account is needed. The first check finds commands and
flags that do not exist, the second compares the list of `gcloud meta list-files-for-upload` with the archive's.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from infra.gcp.deploy.archive import ROOT, packed

PAGES = ["README.md", "docs/**/*.md", "infra/gcp/*.md", "infra/gcp/**/*.sh", "cloudbuild.yaml", "Makefile"]
# The parser wants a project's id where one is named.
PROJECTS = re.compile(r"\$\(PROJECT\)|\$\{?project\}?|\$PROJECT_ID|\bPROJECT\b")


def commands() -> Iterator[tuple[str, str]]:
    """Page and command; a command ends where the shell or the sentence takes over."""
    for pattern in PAGES:
        for page in sorted(ROOT.glob(pattern)):
            text = page.read_text().replace("\\\n", " ")
            for found in re.findall(r"(?:^\s*|`|\$\(|! )(gcloud [a-z][^`\n|]*)", text, re.MULTILINE):
                # A command in $(…) ends with its bracket, unless it has one of its own.
                words = re.split(r" (?:>|&&|2>|<)|;|>/", found)[0].strip()
                ended = words[: words.rindex(")")] if words.count("(") < words.count(")") else words
                yield page.relative_to(ROOT).as_posix(), PROJECTS.sub("demo-project", " ".join(ended.split()))


def main() -> int:
    pages = {command: page for page, command in commands()}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump([{"command_string": command} for command in pages], file)
        file.flush()
        told = subprocess.run(  # noqa: S603 - gcloud of the machine, over our own text
            ["gcloud", "meta", "lint-gcloud-commands", f"--commands-file={file.name}"],  # noqa: S607
            stdout=subprocess.PIPE,
            text=True,
            timeout=300,
            check=True,
        )
    answers = {answer["command_string"]: answer for answer in json.loads(told.stdout)}
    wrong = [f"no word on {command}" for command in pages if command not in answers]
    wrong += [
        f"{pages[command]}: {command}: {answer['error_message'].strip()}"
        for command, answer in answers.items()
        if not answer["success"]
    ]
    uploaded = subprocess.run(  # noqa: S603 - as above
        ["gcloud", "meta", "list-files-for-upload", ROOT],  # noqa: S607
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    ).stdout.split()
    kept = {path.relative_to(ROOT).as_posix() for path in packed(ROOT)}
    wrong += [f"gcloud and the archive differ: {name}" for name in sorted(set(uploaded) ^ kept)]
    sys.stdout.write(
        "\n".join([*wrong, f"{len(pages)} commands, {len(kept)} files, {len(wrong)} wrong"]) + "\n"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
