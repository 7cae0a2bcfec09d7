"""Cloud Tasks as `Tasks`: the one call that we need, over gRPC, with Google's messages and credentials.

Google's own client makes the same call, and takes five times as long to load (docs/decisions/0022). gRPC is loaded with
the first task.
"""

import json
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from lib.adapters.google_authorization import GoogleAuthorization
from lib.config import TaskSettings
from lib.errors import UnavailableError
from lib.web import log
from lib.web.ports import Task

if TYPE_CHECKING:
    import grpc

    from lib.adapters import cloud_tasks_messages

TIMEOUT_SECONDS = 5.0
HOST = "cloudtasks.googleapis.com"
_METHOD = "/google.cloud.tasks.v2.CloudTasks/CreateTask"


class CloudTasks:
    """Creates tasks that call process-task with an OIDC token.

    Args:
        settings: with a queue; with an endpoint too, a plain-text emulator is spoken to.
        seconds: how long a call may take, finding credentials included.
    """

    def __init__(self, settings: TaskSettings, seconds: float = TIMEOUT_SECONDS) -> None:
        self._settings = settings
        self._seconds = seconds
        self._lock = threading.Lock()
        self._create: Any = None

    def enqueue(self, task: Task) -> None:
        """Returns once the queue has it; a name it knows already is no error.

        Raises:
            UnavailableError: the queue is out of reach, or the credentials to call it with are.
        """
        import grpc

        # Google finds the queue's place by this header, without a look at the message.
        routing = ("x-goog-request-params", urlencode({"parent": self._settings.queue}, safe="/"))
        try:
            self._connected()(self._request(task), timeout=self._seconds, metadata=[routing])
        except grpc.RpcError as error:
            status = error.code()
            if status is grpc.StatusCode.ALREADY_EXISTS:
                return
            log.line("WARNING", "no task", {"task": task.name, "answered": status.name})
            raise UnavailableError("The task queue is out of reach") from error

    def _request(self, task: Task) -> "cloud_tasks_messages.CreateTaskRequest":
        from lib.adapters import cloud_tasks_messages as messages

        settings = self._settings
        return messages.CreateTaskRequest(
            parent=settings.queue,
            task=messages.Task(
                name=f"{settings.queue}/tasks/{task.name}",
                http_request=messages.HttpRequest(
                    url=settings.url,
                    http_method=messages.HttpMethod.POST,
                    headers={"Content-Type": "application/json"},
                    body=json.dumps({"kind": task.kind, "body": dict(task.body)}).encode(),
                    oidc_token=messages.OidcToken(
                        service_account_email=settings.service_account, audience=settings.url
                    ),
                ),
            ),
        )

    def _connected(self) -> Any:
        from lib.adapters import cloud_tasks_messages as messages

        with self._lock:
            if self._create is None:
                self._create = self._channel().unary_unary(
                    _METHOD,
                    request_serializer=messages.CreateTaskRequest.serialize,
                    response_deserializer=messages.Task.deserialize,
                )
            return self._create

    def _channel(self) -> "grpc.Channel":
        import grpc

        if self._settings.endpoint is not None:
            return grpc.insecure_channel(self._settings.endpoint)
        us = grpc.metadata_call_credentials(GoogleAuthorization(HOST))
        return grpc.secure_channel(
            f"{HOST}:443", grpc.composite_channel_credentials(grpc.ssl_channel_credentials(), us)
        )
