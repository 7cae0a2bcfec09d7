"""Packages that are imported without running their own lines, which load more than anybody here needs."""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any, cast


class _Unrun(ModuleType):
    def __getattr__(self, name: str) -> Any:
        self.__class__ = ModuleType  # type: ignore[assignment]  # mypy takes it for a name of its own
        cast("Any", self.__spec__).loader.exec_module(self)
        return getattr(self, name)


def leave_unrun(package: str) -> None:
    """Puts a package where an import would, with its lines not run; its modules can be imported.

    They run when somebody asks for what only they define: whoever imports the package, before or after this, has
    all of it. One that is not installed is left to whoever imports it.
    """
    spec = None if package in sys.modules else importlib.util.find_spec(package)
    if spec is None:
        return
    parent, _, name = package.rpartition(".")
    module = importlib.util.module_from_spec(spec)
    module.__class__ = _Unrun
    sys.modules[package] = module
    setattr(importlib.import_module(parent), name, module)
