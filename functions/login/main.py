"""login: email and password for access and refresh tokens."""

import os
from functools import partial

from lib.accounts import endpoints
from lib.accounts.logging_in import Logins
from lib.adapters.argon2_hasher import password_hasher
from lib.adapters.jwt_tokens import access_tokens
from lib.config import Environment
from lib.database.pool import open_pool
from lib.web.function import serve
from lib.web.ports import SystemClock

env = Environment(os.environ)
settings = env.accounts()
logins = Logins(
    open_pool(env.database()),
    password_hasher(settings.hashing_slots),
    access_tokens(env.tokens()),
    SystemClock(),
    settings,
)
login = serve([(endpoints.LOGIN, partial(endpoints.login, logins))], env.web())
