"""confirm-checkout: back from the payment page, access is there."""

import os
from functools import partial

from lib.accounts.store import StoredSessions
from lib.adapters.jwt_tokens import access_tokens
from lib.adapters.stripe_payments import StripePayments
from lib.billing import endpoints
from lib.billing.membership import AccountMembership
from lib.billing.service import Confirmations
from lib.billing.sync import Sync
from lib.config import Environment
from lib.database.engine import open_database
from lib.web.function import serve
from lib.web.ports import SystemClock

env, clock = Environment(os.environ), SystemClock()
database, plans = open_database(env.database()), env.plans()
sync = Sync(StripePayments(env.stripe(), env.app_url()), plans, env.access(), clock)
confirmations = Confirmations(database, sync, AccountMembership(clock, plans))
confirm_checkout = serve(
    [(endpoints.CONFIRM_CHECKOUT, partial(endpoints.confirm_checkout, confirmations))],
    env.web(),
    tokens=access_tokens(env.tokens()),
    sessions=StoredSessions(database),
)
