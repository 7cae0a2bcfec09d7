"""reset-password: a link by mail, and a new password with it."""

import os
from functools import partial

from lib.accounts import link_endpoints
from lib.accounts.mail_throttle import MailThrottle
from lib.accounts.outbox import Outbox
from lib.accounts.resetting import Resets
from lib.adapters.argon2_hasher import password_hasher
from lib.adapters.task_queue import task_queue
from lib.config import Environment
from lib.database.engine import open_database
from lib.web.function import serve

env = Environment(os.environ)
settings = env.accounts()
resets = Resets(
    open_database(env.database()),
    password_hasher(settings.hashing_slots),
    Outbox(task_queue(env.tasks())),
    MailThrottle(count_loopback=settings.count_loopback),
)
reset_password = serve(
    [(link_endpoints.RESET_PASSWORD, partial(link_endpoints.reset_password, resets))],
    env.web(),
    rules={"password_min_length": settings.password_min_length},
)
