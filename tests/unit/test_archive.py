"""The functions' archive: named by its content, and holding code only."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from infra.service.app import ROOT

SCRIPT = "infra/gcp/deploy/archive.py"
# What may lie about in a working copy.
STRAYS = (
    ".env",
    "lib/.env",
    "functions/login/.env.prod",
    "lib/mux.pem",
    "functions/stripe.key",
    "lib/gcp-credentials.json",
    "lib/__pycache__/config.cpython-313.pyc",
    ".local/settings.json",
    "tests/conftest.py",
    "infra/gcp/terraform.tfstate",
    ".git/config",
)


def pack(root: Path, folder: Path) -> Path:
    """Runs the script of the tree at root."""
    told = subprocess.run(
        [sys.executable, root / SCRIPT, folder], capture_output=True, text=True, timeout=30, check=True
    )
    return folder / told.stdout.strip()


def test_the_name_changes_with_the_content_only(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    (copy / SCRIPT).parent.mkdir(parents=True)
    for name in ("main.py", "requirements.txt", ".gcloudignore", SCRIPT):
        shutil.copyfile(ROOT / name, copy / name)
    for name in ("lib", "functions"):
        shutil.copytree(ROOT / name, copy / name, copy_function=shutil.copyfile)
    for stray in STRAYS:
        (copy / stray).parent.mkdir(parents=True, exist_ok=True)
        (copy / stray).write_text("STRIPE_SECRET_KEY=")
    first = pack(ROOT, tmp_path / "first")
    assert pack(copy, tmp_path / "second").name == first.name
    (copy / "main.py").write_text("# another\n")
    assert pack(copy, tmp_path / "third").name != first.name


def test_it_holds_code_only(tmp_path: Path) -> None:
    with zipfile.ZipFile(pack(ROOT, tmp_path)) as file:
        names = file.namelist()
    assert {name.partition("/")[0] for name in names} == {"main.py", "requirements.txt", "lib", "functions"}
    assert not [name for name in names if name.endswith((".pyc", ".pem", ".key")) or "/.env" in name]
