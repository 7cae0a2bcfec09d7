"""The local dispatcher as `Tasks`: stands in for Cloud Tasks on one machine, spoken to over HTTP."""

import http.client
import json
import urllib.error
import urllib.request

from lib.config import TaskSettings
from lib.errors import UnavailableError
from lib.web.ports import Task

TIMEOUT_SECONDS = 5.0


class DispatcherTasks:
    """Hands tasks to the dispatcher of infra/local, which calls process-task with an OIDC token of its own.

    Args:
        settings: with the dispatcher's address.
        seconds: how long each wait in a call may take.
    """

    def __init__(self, settings: TaskSettings, seconds: float = TIMEOUT_SECONDS) -> None:
        self._settings = settings
        self._seconds = seconds

    def enqueue(self, task: Task) -> None:
        settings = self._settings
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked with the settings
            f"{settings.dispatcher}/queue",
            method="POST",
            headers={"Content-Type": "application/json"},
            data=json.dumps(
                {
                    "name": task.name,
                    "url": settings.url,
                    "audience": settings.url,
                    "service_account": settings.service_account,
                    "body": {"kind": task.kind, "body": dict(task.body)},
                }
            ).encode(),
        )
        try:
            with urllib.request.urlopen(request, timeout=self._seconds):  # noqa: S310 - as above  # nosec B310
                return
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 409:
                    return
            raise UnavailableError("The local dispatcher refused a task") from error
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError("The local dispatcher is out of reach") from error
