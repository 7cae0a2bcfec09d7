"""reconcile: on a schedule, what was left undone."""

import os
from functools import partial

from lib.adapters.oidc_callers import OidcCallers
from lib.adapters.task_queue import task_queue
from lib.billing.closures import Closures
from lib.billing.events import LeftEvents
from lib.config import Environment
from lib.database.engine import open_database
from lib.database.retention import Retention
from lib.web import tasks
from lib.web.function import serve

env = Environment(os.environ)
database = open_database(env.database())
queue = task_queue(env.tasks())
parts = {
    "billing": LeftEvents(database, queue).reconcile,
    "closures": Closures(database, queue).reconcile,
    "retention": Retention(database).purge,
}
reconcile = serve(
    [(tasks.RECONCILE, partial(tasks.reconcile, parts))],
    env.web(),
    services=OidcCallers(env.scheduler_callers()),
)
