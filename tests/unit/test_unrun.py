"""Packages that are imported without their own lines."""

import subprocess
import sys

from infra.service.app import ROOT


def test_a_package_that_is_not_installed_is_left_to_who_imports_it() -> None:
    """A later version of a library may do without it, or call it otherwise."""
    code = "from lib.unrun import leave_unrun; leave_unrun('google.cloud.no_such_package'); import google.cloud.no_such_package"
    tried = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (
        tried.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'google.cloud.no_such_package'"
    )
