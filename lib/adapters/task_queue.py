"""Which queue the settings name."""

from lib.config import TaskSettings
from lib.web.ports import Tasks


def task_queue(settings: TaskSettings) -> Tasks:
    """Cloud Tasks where there is a queue, the local dispatcher where there is none."""
    if settings.queue:
        from lib.adapters.cloud_tasks import CloudTasks

        return CloudTasks(settings)
    from lib.adapters.dispatcher_tasks import DispatcherTasks

    return DispatcherTasks(settings)
