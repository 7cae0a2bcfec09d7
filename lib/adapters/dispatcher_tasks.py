"""The local dispatcher as `Tasks`: stands in for Cloud Tasks on one machine, spoken to over HTTP."""

import http.client
import json
import time

from lib.adapters.plain_http import ask
from lib.config import TaskSettings
from lib.errors import UnavailableError
from lib.web.ports import Task

TIMEOUT_SECONDS = 5.0


class DispatcherTasks:
    """Hands tasks to the dispatcher of infra/local, which calls process-task with an OIDC token of its own.

    Args:
        settings: with the dispatcher's address.
        seconds: how long a call may take.
    """

    def __init__(self, settings: TaskSettings, seconds: float = TIMEOUT_SECONDS) -> None:
        self._settings = settings
        self._seconds = seconds

    def enqueue(self, task: Task) -> None:
        settings = self._settings
        body = {
            "name": task.name,
            "url": settings.url,
            "audience": settings.url,
            "service_account": settings.service_account,
            "body": {"kind": task.kind, "body": dict(task.body)},
        }
        headers = {"Content-Type": "application/json"}
        ends = time.monotonic() + self._seconds
        try:
            status, _ = ask("POST", f"{settings.dispatcher}/queue", ends, headers, json.dumps(body).encode())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UnavailableError("The local dispatcher is out of reach") from error
        if status != 409 and not 200 <= status < 300:
            raise UnavailableError("The local dispatcher refused a task")
