"""Keys and passwords that were written down: `python -m tests.secret_scan [--history]`, by detect-secrets.

Fails for each that is not explained in `HARMLESS`. With `--history` every line that was ever committed is looked at.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from detect_secrets.core.plugins.initialize import from_plugin_classname
from detect_secrets.settings import transient_settings

ROOT = Path(__file__).resolve().parents[1]
# Not by the words beside it: that finds each of our tests' passwords. Not by chance alone in what is all hashes.
DETECTORS = [
    "ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "CloudantDetector",
    "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "IbmCloudIamDetector", "JwtTokenDetector",
    "MailchimpDetector", "NpmDetector", "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector",
    "SlackDetector", "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector",
]  # fmt: skip
CHANCE = ["Base64HighEntropyString", "HexHighEntropyString"]
SETTINGS = {"plugins_used": [{"name": name} for name in (*DETECTORS, *CHANCE)]}
SKIPPED_FOLDERS = {".git", ".venv", ".local", "build", "__pycache__", "node_modules", ".hypothesis"}
# Copies whose sums stand beside them, and files that are made of sums.
SKIPPED_FILES = ("requirements.txt", "package-lock.json", ".min.js", ".min.mjs", "upchunk.mjs", ".jpg")
SKIPPED = ("functions/api_docs/assets/", "lib/accounts/common_passwords.txt", "tests/secret_scan.py")

LINK = "kU3q0c4Qm0yUu7hDk1n3vJ5bX8r2sT6wZ9aBcDeFgHi"
# Where something looks like a secret, and what of it -> why it is none.
HARMLESS = {
    (".env.example", "password"): "an example's",
    ("docs/settings.md", "password"): "an example's",
    ("README.md", "AAZg8ezOTHPgZwlsNd9EzpAShIGU_hIu"): "a cursor in an example",
    (
        "README.md",
        "PyCAHmVRElOXinln1hymqNjLRGDCs1JQrlmOfUnut5hd",
    ): "a playback id of the sandbox in an example",
    ("docker-compose.yml", "streamly"): "of the local stack, whose database listens to nobody outside",
    (
        "functions/api_docs/openapi.json",
        LINK,
    ): "an example of a link",
    ("infra/local/postgres.py", "PASSWORD"): "the place of one in a sentence",
    ("infra/local/postgres.py", "{password}"): "the place of one that is made up at the first start",
    ("lib/accounts/link_endpoints.py", LINK): "an example of a link",
    ("lib/billing/gifts.py", "0123456789ABCDEFGHJKMNPQRSTVWXYZ"): "the letters of gift codes",
    ("lib/config.py", "password"): "the place of one in a sentence",
    ("lib/web/function.py", "0123456789abcdef"): "the digits of a trace",
    ("tests/contract/test_playback_signer.py", "BEGIN RSA PRIVATE KEY"): "a head without a key",
    (
        "tests/contract/test_playback_signer.py",
        "5d5bc37ffcf54c9b82e996823bffbb81",
    ): "a video of Cloudflare's docs",
    ("tests/integration/test_cli.py", "secret-word"): "made up, for a log that must not show it",
    ("tests/integration/test_logs.py", "4bf92f3577b34da6a3ce929d0e0e4736"): "a trace of W3C's examples",
    ("tests/unit/conftest.py", "none"): "of a database that nobody connects to",
    ("tests/unit/test_compose.py", "p"): "made up",
    ("tests/unit/test_compose.py", "{password}"): "the place of one",
    ("tests/unit/test_config.py", "hidden"): "made up",
    ("tests/unit/test_config.py", "p%3A%2F"): "made up",
    ("tests/unit/test_config.py", "p"): "made up",
    ("tests/unit/test_config.py", "BEGIN RSA PRIVATE KEY"): "a head without a key",
    ("tests/unit/test_function_map.py", "password"): "made up",
    ("tests/unit/test_settings_doc.py", "p"): "made up",
    ("tests/unit/test_settings_doc.py", "password"): "made up",
    ("tests/unit/test_function.py", "0af7651916cd43dd8448eb211c80319c"): "a trace of W3C's examples",
}


def lines_of_files() -> Iterator[tuple[str, str, str]]:
    for path in sorted(ROOT.rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        if path.is_file() and not is_skipped(name):
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                yield f"{name}:{number}", name, line


def lines_of_history() -> Iterator[tuple[str, str, str]]:
    """Every line that a commit added, with the file it was added to."""
    command = [
        "git",
        "log",
        "--all",
        "--no-color",
        "-p",
        "--unified=0",
        "--no-ext-diff",
        "--format=commit %h",
    ]
    commit, name = "", ""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, errors="replace") as git:
        for line in git.stdout or ():
            if line.startswith("commit "):
                commit = line.split()[1]
            elif line.startswith("+++ "):
                name = line[6:].strip()
            elif line.startswith("+") and not is_skipped(name):
                yield f"{commit} {name}", name, line[1:]
    if git.returncode:
        sys.exit("git log failed")


def is_skipped(name: str) -> bool:
    parts = name.split("/")
    cache = any(part in SKIPPED_FOLDERS or part.endswith("_cache") for part in parts)
    return cache or name.endswith(SKIPPED_FILES) or name.startswith(SKIPPED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--history", action="store_true", help="every line that was ever committed")
    lines = lines_of_history() if parser.parse_args().history else lines_of_files()
    found: dict[tuple[str, str], str] = {}
    number = 0
    with transient_settings(SETTINGS):
        detectors: list[Any] = [from_plugin_classname(plugin["name"]) for plugin in SETTINGS["plugins_used"]]
        for place, name, line in lines:
            number += 1
            # The longest lines are of generated files: whatever is in them stands in a source, too.
            for detector in detectors if len(line) < 2000 else ():
                for secret in detector.analyze_line(filename=place, line=line, line_number=number):
                    value = secret.secret_value or ""
                    if (name, value) not in HARMLESS:
                        found.setdefault((name, value), f"{place}: {secret.type}")
    print(f"secrets: {number} lines, {len(found)} not explained")
    for (_, value), what in found.items():
        print(f"  {what}: {value[:4]}… ({len(value)} characters)")
    if found:
        sys.exit("Take it out, and renew it if it was one; or say in tests/secret_scan.py why it is none.")


if __name__ == "__main__":
    main()
