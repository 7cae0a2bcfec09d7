"""Packs what Cloud Functions runs: `python infra/gcp/deploy/archive.py FOLDER` writes FOLDER/functions-<sha256>.zip.

What goes in is what .gcloudignore leaves: its allow-list is read, not repeated. The same files give the same bytes
on every machine (order, times and modes are fixed, nothing is compressed: zlib's versions differ), so the name
changes when the code does, and only then. Prints the name.
"""

import hashlib
import io
import sys
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def packed(root: Path) -> Iterator[Path]:
    """The files that .gcloudignore keeps, sorted.

    Raises:
        ValueError: .gcloudignore has a line of a kind that is not known here.
    """
    lines = (line.strip() for line in (root / ".gcloudignore").read_text().splitlines())
    kept: list[str] = []
    refused: list[str] = []
    for line in lines:
        if line.startswith("!/"):
            kept.append(line[2:].rstrip("/"))
        elif "/" not in line.rstrip("/") and line and not line.startswith(("#", "!")):
            refused.append(line.rstrip("/"))
        elif line and line != "/*" and not line.startswith("#"):
            raise ValueError(f".gcloudignore: {line}")
    for name in kept:
        top = root / name
        for path in sorted([top, *top.rglob("*")]):
            parts = path.relative_to(root).parts
            if path.is_file() and not any(fnmatch(part, pattern) for part in parts for pattern in refused):
                yield path


def archive(root: Path) -> bytes:
    """The zip file's bytes."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_STORED) as file:
        for path in sorted(packed(root), key=lambda path: path.relative_to(root).as_posix()):
            # The earliest time that a zip file knows.
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            file.writestr(entry, path.read_bytes())
    return memory.getvalue()


def main(folder: Path) -> None:
    content = archive(ROOT)
    name = f"functions-{hashlib.sha256(content).hexdigest()}.zip"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
