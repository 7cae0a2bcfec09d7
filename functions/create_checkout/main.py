"""create-checkout: a Stripe page to pay for a plan."""

import os
from functools import partial

from lib.accounts.store import StoredSessions
from lib.adapters.jwt_tokens import access_tokens
from lib.adapters.stripe_payments import StripePayments
from lib.billing import endpoints
from lib.billing.service import Checkouts
from lib.billing.sync import Sync
from lib.config import Environment
from lib.database.engine import open_database
from lib.web.function import serve
from lib.web.idempotency import IdempotentAnswers
from lib.web.ports import SystemClock

env, clock = Environment(os.environ), SystemClock()
database, plans = open_database(env.database()), env.plans()
payments = StripePayments(env.stripe(), env.app_url(), checkout=env.checkout())
sync = Sync(payments, plans, env.access(), clock)
checkouts = Checkouts(database, payments, sync, plans, clock)
create_checkout = serve(
    [(endpoints.CREATE_CHECKOUT, partial(endpoints.create_checkout, checkouts))],
    env.web(),
    tokens=access_tokens(env.tokens()),
    sessions=StoredSessions(database),
    idempotency=IdempotentAnswers(database),
)
