"""logout: ends logins."""

import os
from functools import partial

from lib.accounts import endpoints
from lib.accounts.logging_out import Logouts
from lib.accounts.store import StoredSessions
from lib.adapters.jwt_tokens import access_tokens
from lib.config import Environment
from lib.database.engine import open_database
from lib.web.function import serve

env = Environment(os.environ)
database = open_database(env.database())
logout = serve(
    [(endpoints.LOGOUT, partial(endpoints.logout, Logouts(database)))],
    env.web(),
    tokens=access_tokens(env.tokens()),
    sessions=StoredSessions(database),
)
