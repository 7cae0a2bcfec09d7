"""docs/api.md's table of refusals against lib/errors.py."""

import re
from pathlib import Path

from lib import errors
from lib.errors import Refusal

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
# What is answered when something breaks: no refusal, hence no class.
FAULT = ("500", "internal_error")


def test_the_table_holds_every_refusal_and_no_other() -> None:
    listed = re.findall(r"^\| (\d{3}) \| `(\w+)` \| .+ \|$", PAGE.read_text(), re.MULTILINE)
    classes = [
        found
        for found in vars(errors).values()
        if isinstance(found, type) and issubclass(found, Refusal) and found is not Refusal
    ]
    assert sorted(listed) == sorted([*((str(found.status), found.code) for found in classes), FAULT])
