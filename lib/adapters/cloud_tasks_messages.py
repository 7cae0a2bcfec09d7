"""Google's messages of Cloud Tasks, without Google's clients. Loaded with the first task.

An import of `google.cloud.tasks_v2.types` runs the lines of `google.cloud.tasks_v2` first, and these load three
clients and what they need: 250 ms of CPU beside gRPC, where the messages take 20 (docs/decisions/0022). So the package
is put there with its lines not run. They run when somebody asks for what only they define: whoever imports the package
after us has all of it.
"""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, cast

import google.cloud

_PACKAGE = "google.cloud.tasks_v2"


class _Unrun(ModuleType):
    def __getattr__(self, name: str) -> Any:
        self.__class__ = ModuleType  # type: ignore[assignment]  # mypy takes it for a name of its own
        cast("Any", self.__spec__).loader.exec_module(self)
        return getattr(self, name)


if _PACKAGE not in sys.modules:
    _package = importlib.util.module_from_spec(cast("ModuleSpec", importlib.util.find_spec(_PACKAGE)))
    _package.__class__ = _Unrun
    sys.modules[_PACKAGE] = _package
    google.cloud.tasks_v2 = _package  # type: ignore[attr-defined]  # as an import would

from google.cloud.tasks_v2.types import (  # noqa: E402 - the lines above are for it
    CreateTaskRequest,
    HttpMethod,
    HttpRequest,
    OidcToken,
    Task,
)

__all__ = ["CreateTaskRequest", "HttpMethod", "HttpRequest", "OidcToken", "Task"]
