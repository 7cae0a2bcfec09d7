"""The task of a mail: made after the commit of what causes the mail."""

import uuid
from datetime import timedelta
from typing import Final

from lib.errors import UnavailableError
from lib.web import log
from lib.web.ports import Task, Tasks

MAIL: Final = "mail"
# A task that was not done in this time is taken to be lost.
LEFT_AFTER = timedelta(seconds=30)


def enqueue_mail(tasks: Tasks, mail_id: uuid.UUID, number: int = 1) -> bool:
    """A task for the mail; False where the queue was out of reach, which is logged: reconcile finds the row.

    The id is random, which spreads tasks over the queue; the number makes the name new, since the queue
    remembers the names it has seen.
    """
    try:
        tasks.enqueue(Task(f"{mail_id.hex}-{number}", MAIL, {"mail_id": str(mail_id)}))
    except UnavailableError as error:
        log.line("ERROR", "mail left for reconcile", {"mail_id": str(mail_id), "error": log.places(error)})
        return False
    return True
