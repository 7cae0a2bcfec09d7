"""refresh: new tokens for a refresh token."""

import os
from functools import partial

from lib.accounts import endpoints
from lib.accounts.outbox import Outbox
from lib.accounts.refreshing import Refreshing
from lib.adapters.jwt_tokens import access_tokens
from lib.config import Environment
from lib.database.engine import open_database
from lib.web.function import serve
from lib.web.ports import SystemClock

env = Environment(os.environ)
refreshing = Refreshing(
    open_database(env.database()),
    access_tokens(env.tokens()),
    SystemClock(),
    env.accounts(),
    # Nobody waits for what a refresh mails.
    Outbox(None),
)
refresh = serve([(endpoints.REFRESH, partial(endpoints.refresh, refreshing))], env.web())
