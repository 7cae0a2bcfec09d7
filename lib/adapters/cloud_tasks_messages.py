"""Google's messages of Cloud Tasks, without Google's clients. Loaded with the first task.

An import of `google.cloud.tasks_v2.types` runs the lines of `google.cloud.tasks_v2` first, and these load three
clients and what they need: 250 ms of CPU beside gRPC, where the messages take 20 (docs/decisions/0022).
"""

from lib.unrun import leave_unrun

leave_unrun("google.cloud.tasks_v2")

from google.cloud.tasks_v2.types import (  # noqa: E402 - the line above is for it
    CreateTaskRequest,
    HttpMethod,
    HttpRequest,
    OidcToken,
    Task,
)

__all__ = ["CreateTaskRequest", "HttpMethod", "HttpRequest", "OidcToken", "Task"]
