"""redeem: a gift code becomes access."""

import os
from functools import partial

from lib.accounts.store import StoredSessions
from lib.adapters.jwt_tokens import access_tokens
from lib.billing import redeeming
from lib.billing.gifts import Redemptions
from lib.billing.membership import AccountMembership
from lib.config import Environment
from lib.database.engine import open_database
from lib.web.function import serve
from lib.web.idempotency import IdempotentAnswers
from lib.web.ports import SystemClock

env, clock = Environment(os.environ), SystemClock()
database, plans = open_database(env.database()), env.plans()
redemptions = Redemptions(database, plans, AccountMembership(clock, plans), clock)
redeem = serve(
    [(redeeming.REDEEM, partial(redeeming.redeem, redemptions))],
    env.web(),
    tokens=access_tokens(env.tokens()),
    sessions=StoredSessions(database),
    idempotency=IdempotentAnswers(database),
)
