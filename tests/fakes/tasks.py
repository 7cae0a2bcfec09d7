"""A queue in memory, as `Tasks`."""

from lib.errors import UnavailableError
from lib.web.ports import Task


class FakeTasks:
    """Remembers every name it has seen, as Cloud Tasks does. `down` makes it unreachable."""

    def __init__(self) -> None:
        self.down = False
        self.queued: list[Task] = []
        self._names: set[str] = set()

    def enqueue(self, task: Task) -> None:
        if self.down:
            raise UnavailableError("The task queue is out of reach")
        if task.name not in self._names:
            self._names.add(task.name)
            self.queued.append(task)
