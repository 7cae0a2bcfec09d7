"""reconcile: on a schedule, what was left undone, and where Stripe and our rows differ."""

import os
from functools import partial

from lib.accounts.outbox import LeftMails
from lib.adapters.oidc_callers import OidcCallers
from lib.adapters.stripe_books import StripeBooks
from lib.adapters.task_queue import task_queue
from lib.billing.closures import Closures
from lib.billing.comparison import Comparison
from lib.billing.event_walk import EventWalk
from lib.billing.events import LeftEvents
from lib.billing.plan_changes import PlanChanges
from lib.billing.syncs import OverdueCheckouts
from lib.config import Environment
from lib.database.engine import open_database
from lib.database.retention import Retention
from lib.video.mending import LeftVideos
from lib.web import tasks
from lib.web.function import serve
from lib.web.ports import SystemClock

env, clock = Environment(os.environ), SystemClock()
database, queue, books = open_database(env.database()), task_queue(env.tasks()), StripeBooks(env.stripe())
# What needs nobody else comes first: it is done also while Stripe hangs.
parts = {
    "billing": LeftEvents(database, queue).reconcile,
    "checkouts": OverdueCheckouts(database, queue, clock).reconcile,
    "closures": Closures(database, queue).reconcile,
    "mail": LeftMails(database, queue).reconcile,
    "plans": PlanChanges(database, queue, env.plans(), clock).reconcile,
    "retention": Retention(database).purge,
    "video": LeftVideos(database, queue).reconcile,
    "events": EventWalk(database, books, queue, clock).reconcile,
    "subscriptions": Comparison(database, books, queue, clock).reconcile,
}
reconcile = serve(
    [(tasks.RECONCILE, partial(tasks.reconcile, parts))],
    env.web(),
    services=OidcCallers(env.scheduler_callers()),
)
