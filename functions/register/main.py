"""register: a new account and its first login."""

import os
from functools import partial

from lib.accounts import endpoints
from lib.accounts.outbox import Outbox
from lib.accounts.service import Accounts
from lib.adapters.argon2_hasher import Argon2Hasher
from lib.adapters.jwt_tokens import JwtTokens
from lib.adapters.task_queue import task_queue
from lib.config import Environment
from lib.database.engine import open_database
from lib.web.function import serve
from lib.web.ports import SystemClock

env = Environment(os.environ)
settings = env.accounts()
accounts = Accounts(
    open_database(env.database()),
    Argon2Hasher(settings.hashing_slots),
    JwtTokens(env.tokens()),
    SystemClock(),
    settings,
    Outbox(task_queue(env.tasks())),
)
register = serve(
    [(endpoints.REGISTER, partial(endpoints.register, accounts))],
    env.web(),
    rules={"password_min_length": settings.password_min_length},
)
