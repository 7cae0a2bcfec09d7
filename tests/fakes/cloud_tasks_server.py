"""Cloud Tasks' CreateTask over gRPC, strict where the emulator from PyPI is lenient; calls nobody."""

import threading
from concurrent import futures
from dataclasses import dataclass

import grpc
from google.cloud import tasks_v2

_METHOD = "/google.cloud.tasks.v2.CloudTasks/CreateTask"


@dataclass(frozen=True)
class Received:
    """A call as it came over the wire."""

    message: bytes
    metadata: dict[str, str | bytes]


class CloudTasksServer:
    """One queue. It remembers every name for ever and refuses it the second time.

    Args:
        queue: its full name; every other is refused as not found.
        tls: what it shows its callers; it speaks plain text without.
    """

    def __init__(self, queue: str, tls: grpc.ServerCredentials | None = None) -> None:
        self.received: list[Received] = []
        """All calls, the refused ones too."""
        self.tasks: list[tasks_v2.Task] = []
        self._names: set[str] = set()
        self.refusal: grpc.StatusCode | None = None
        """What every call is refused with, where set."""
        self.answers = threading.Event()
        """While clear, no call is answered."""
        self.answers.set()
        self._queue = queue
        self._server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[_Handlers(self)])
        anywhere = "127.0.0.1:0"
        port = (
            self._server.add_secure_port(anywhere, tls) if tls else self._server.add_insecure_port(anywhere)
        )
        self.endpoint = f"127.0.0.1:{port}"

    def __enter__(self) -> "CloudTasksServer":
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.answers.set()
        self._server.stop(grace=None).wait(10)

    def forget(self) -> None:
        """The names that were used."""
        self._names.clear()

    def create(self, message: bytes, context: grpc.ServicerContext) -> tasks_v2.Task:
        self.received.append(Received(message, dict(context.invocation_metadata())))
        self.answers.wait(30)
        request = tasks_v2.CreateTaskRequest.deserialize(message)
        task: tasks_v2.Task = request.task
        if self.refusal is not None:
            context.abort(self.refusal, "refused, as the test wishes")
        if request.parent != self._queue:
            context.abort(grpc.StatusCode.NOT_FOUND, "Queue does not exist.")
        if not task.name.startswith(f"{self._queue}/tasks/") or not task.http_request.url:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Task.name or its target is malformed.")
        if task.name in self._names:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, "The task cannot be created: its name was used.")
        self._names.add(task.name)
        self.tasks.append(task)
        return task


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    def __init__(self, server: CloudTasksServer) -> None:
        self._create = grpc.unary_unary_rpc_method_handler(
            server.create, response_serializer=tasks_v2.Task.serialize
        )

    def service(self, details: grpc.HandlerCallDetails) -> object:
        return self._create if details.method == _METHOD else None
