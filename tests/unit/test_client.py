"""The client's files are what they are said to be, and ask nobody else for anything.

That they are not in the cloud's archive or image: test_archive.py, test_image.py.
"""

import hashlib
import json
import re
from pathlib import Path

import pytest

from infra.local.page_files import PAGES, VIEWS, VIEWS_BELOW, page_file

FUNCTIONS = Path(__file__).resolve().parents[2] / "functions"
VENDOR = PAGES / "vendor"
OWN = sorted(
    path
    for path in PAGES.rglob("*")
    if path.suffix in (".js", ".css", ".html", ".svg") and path.parent != VENDOR
)


def test_vendored_files_are_the_packages() -> None:
    table = re.findall(
        r"^\| (\S+) \| \S+@[\d.]+, .*\| ([0-9a-f]{64}) \|$", (VENDOR / "README.md").read_text(), re.MULTILINE
    )
    copied = {path.name: path for path in VENDOR.iterdir() if path.suffix in (".js", ".mjs")}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in copied.items()} == dict(
        table
    )
    for name in copied:
        assert (VENDOR / f"{name.split('.')[0]}.LICENSE").is_file(), name


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    addresses = re.findall(r"https?://\S+", path.read_text())
    assert [address for address in addresses if not address.startswith("http://www.w3.org/2000/svg")] == []


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_nothing_needs_a_policy_less_strict(path: Path) -> None:
    text = path.read_text()
    assert not re.search(
        r"\binnerHTML\b|insertAdjacentHTML|document\.write|\beval\(|new Function|style=", text
    )
    assert not re.search(r"<script(?![^>]* src=)|<style|\son[a-z]+=\"", text)


def test_every_view_has_its_address_at_the_gateway() -> None:
    routed = set(re.findall(r'^route\("([^"]+)"', (PAGES / "main.js").read_text(), re.MULTILINE))
    below = {pattern for pattern in routed if ":" in pattern}
    assert {path.encode() for path in routed - below} == VIEWS
    assert {pattern.split(":")[0].encode() for pattern in below} == set(VIEWS_BELOW)


def test_every_module_is_served() -> None:
    for path in OWN:
        for found in re.findall(r'(?:from|import)\s*\(?"(\.[^"]+)"', path.read_text()):
            target = (path.parent / found).resolve().relative_to(PAGES)
            assert page_file(f"/pages/{target.as_posix()}".encode()) is not None, (path.name, found)


def test_a_views_address_is_asked_of_no_function() -> None:
    """`/verify-email` is both: the page by GET, the function by POST."""
    described = json.loads((FUNCTIONS / "api_docs" / "openapi.json").read_text())["paths"]
    assert [path for path in described if "get" in described[path] and path.encode() in VIEWS] == []
