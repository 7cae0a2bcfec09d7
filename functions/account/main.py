"""account: what the caller has, pays for and is logged in with; changing it; leaving."""

import os
from functools import partial

from lib.accounts import account as endpoints
from lib.accounts.changing import Changes
from lib.accounts.closing import Closing
from lib.accounts.confirming import CurrentPassword
from lib.accounts.email_changes import EmailChanges
from lib.accounts.exporting import Exports
from lib.accounts.mail_throttle import MailThrottle
from lib.accounts.outbox import Outbox
from lib.accounts.overview import Overviews
from lib.accounts.store import StoredSessions
from lib.adapters.argon2_hasher import password_hasher
from lib.adapters.jwt_tokens import access_tokens
from lib.adapters.task_queue import task_queue
from lib.billing.closures import Closures
from lib.billing.membership import AccountMembership
from lib.config import Environment
from lib.database.engine import open_database
from lib.web.function import serve
from lib.web.ports import SystemClock

env = Environment(os.environ)
settings = env.accounts()
database = open_database(env.database())
hasher = password_hasher(settings.hashing_slots)
current = CurrentPassword(database, hasher)
overviews = Overviews(database, AccountMembership(SystemClock(), env.plans()))
queue = task_queue(env.tasks())
outbox = Outbox(queue)
throttle = MailThrottle(count_loopback=settings.count_loopback)
changes = Changes(database, hasher, current, outbox, EmailChanges(outbox), throttle)
closing = Closing(database, current, Closures(database, queue))
account = serve(
    [
        (endpoints.ACCOUNT, partial(endpoints.account, overviews, Exports(database))),
        (endpoints.CHANGE_ACCOUNT, partial(endpoints.change, changes)),
        (endpoints.DELETE_ACCOUNT, partial(endpoints.delete, closing)),
    ],
    env.web(),
    tokens=access_tokens(env.tokens()),
    sessions=StoredSessions(database),
    rules={"password_min_length": settings.password_min_length},
)
