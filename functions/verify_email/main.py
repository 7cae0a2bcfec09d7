"""verify-email: the link mailed to an address."""

import os
from functools import partial

from lib.accounts import link_endpoints
from lib.accounts.mail_throttle import MailThrottle
from lib.accounts.outbox import Outbox
from lib.accounts.store import StoredSessions
from lib.accounts.verifying import Verification
from lib.adapters.jwt_tokens import access_tokens
from lib.adapters.task_queue import task_queue
from lib.config import Environment
from lib.database.engine import open_database
from lib.web.function import serve

env = Environment(os.environ)
database = open_database(env.database())
throttle = MailThrottle(count_loopback=env.accounts().count_loopback)
verification = Verification(database, Outbox(task_queue(env.tasks())), throttle)
verify_email = serve(
    [(link_endpoints.VERIFY_EMAIL, partial(link_endpoints.verify_email, verification))],
    env.web(),
    tokens=access_tokens(env.tokens()),
    sessions=StoredSessions(database),
)
