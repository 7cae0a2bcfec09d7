"""stripe-webhook: Stripe's events into the inbox, and a task for each."""

import os
from functools import partial

from lib.adapters.task_queue import task_queue
from lib.billing import receiving
from lib.config import Environment
from lib.database.pool import open_pool
from lib.web.function import WEBHOOK_BODY_BYTES, serve
from lib.web.ports import SystemClock

env = Environment(os.environ)
inbox = receiving.StripeInbox(
    open_pool(env.database()), task_queue(env.tasks()), SystemClock(), env.stripe_webhook_secrets()
)
stripe_webhook = serve(
    [(receiving.STRIPE_WEBHOOK, partial(receiving.stripe_webhook, inbox))],
    env.web(max_body_bytes=WEBHOOK_BODY_BYTES),
)
