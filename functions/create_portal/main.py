"""create-portal: Stripe's page to manage card and subscription."""

import os
from functools import partial

from lib.accounts.store import StoredSessions
from lib.adapters.jwt_tokens import access_tokens
from lib.adapters.stripe_payments import StripePayments
from lib.billing import endpoints
from lib.billing.service import Portal
from lib.config import Environment
from lib.database.engine import open_database
from lib.web.function import serve

env = Environment(os.environ)
database = open_database(env.database())
portal = Portal(database, StripePayments(env.stripe(), env.app_url()))
create_portal = serve(
    [(endpoints.CREATE_PORTAL, partial(endpoints.create_portal, portal))],
    env.web(),
    tokens=access_tokens(env.tokens()),
    sessions=StoredSessions(database),
)
