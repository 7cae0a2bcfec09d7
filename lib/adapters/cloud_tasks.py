"""Cloud Tasks as `Tasks`. The client, slow to import, is loaded with the first task."""

import json
import threading
from typing import TYPE_CHECKING

from lib.config import TaskSettings
from lib.errors import UnavailableError
from lib.web.ports import Task

if TYPE_CHECKING:
    from google.cloud.tasks_v2 import CloudTasksClient

TIMEOUT_SECONDS = 5.0


class CloudTasks:
    """Creates tasks that call process-task with an OIDC token.

    Args:
        settings: with a queue; with an endpoint too, a plain-text emulator is spoken to.
        seconds: how long a call may take.
    """

    def __init__(self, settings: TaskSettings, seconds: float = TIMEOUT_SECONDS) -> None:
        self._settings = settings
        self._seconds = seconds
        self._lock = threading.Lock()
        self._client: CloudTasksClient | None = None

    def enqueue(self, task: Task) -> None:
        """Returns once the queue has it; a name it knows already is no error.

        Raises:
            UnavailableError: the queue is out of reach, or the credentials to call it with are.
        """
        from google.api_core import exceptions
        from google.auth.exceptions import GoogleAuthError
        from google.cloud import tasks_v2

        settings = self._settings
        request = tasks_v2.CreateTaskRequest(
            parent=settings.queue,
            task=tasks_v2.Task(
                name=f"{settings.queue}/tasks/{task.name}",
                http_request=tasks_v2.HttpRequest(
                    url=settings.url,
                    http_method=tasks_v2.HttpMethod.POST,
                    headers={"Content-Type": "application/json"},
                    body=json.dumps({"kind": task.kind, "body": dict(task.body)}).encode(),
                    oidc_token=tasks_v2.OidcToken(
                        service_account_email=settings.service_account, audience=settings.url
                    ),
                ),
            ),
        )
        try:
            self._connected().create_task(request, timeout=self._seconds)
        except exceptions.AlreadyExists:
            return
        except (exceptions.GoogleAPICallError, exceptions.RetryError, GoogleAuthError) as error:
            raise UnavailableError("The task queue is out of reach") from error

    def _connected(self) -> "CloudTasksClient":
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> "CloudTasksClient":
        from google.cloud import tasks_v2

        if self._settings.endpoint is None:
            return tasks_v2.CloudTasksClient()
        import grpc
        from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

        channel = grpc.insecure_channel(self._settings.endpoint)
        return tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
