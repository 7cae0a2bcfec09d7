"""register: a new account and its first login."""

import os
from functools import partial

from lib.accounts import endpoints
from lib.accounts.registering import Registrations
from lib.adapters.argon2_hasher import password_hasher
from lib.adapters.jwt_tokens import access_tokens
from lib.adapters.task_queue import task_queue
from lib.config import Environment
from lib.database.pool import open_pool
from lib.web.function import serve
from lib.web.ports import SystemClock

env = Environment(os.environ)
settings = env.accounts()
registrations = Registrations(
    open_pool(env.database()),
    password_hasher(settings.hashing_slots),
    access_tokens(env.tokens()),
    SystemClock(),
    settings,
    task_queue(env.tasks()),
)
register = serve(
    [(endpoints.REGISTER, partial(endpoints.register, registrations))],
    env.web(),
    rules={"password_min_length": settings.password_min_length},
)
