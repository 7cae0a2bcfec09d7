"""account: what the caller has, pays for and is logged in with."""

import os
from functools import partial

from lib.accounts import endpoints
from lib.accounts.service import Overviews
from lib.accounts.store import StoredSessions
from lib.adapters.jwt_tokens import JwtTokens
from lib.billing.membership import AccountMembership
from lib.config import Environment
from lib.database.engine import open_database
from lib.web.function import serve
from lib.web.ports import SystemClock

env = Environment(os.environ)
database = open_database(env.database())
overviews = Overviews(database, AccountMembership(SystemClock(), env.plans()))
account = serve(
    [(endpoints.ACCOUNT, partial(endpoints.account, overviews))],
    env.web(),
    tokens=JwtTokens(env.tokens()),
    sessions=StoredSessions(database),
)
