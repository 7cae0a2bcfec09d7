"""process-task: what the queue brings, done in one transaction each."""

import os
from functools import partial

from lib.accounts.mail_tasks import MAIL
from lib.accounts.mailing import Mailing
from lib.adapters.jinja_templates import JinjaTemplates
from lib.adapters.oidc_callers import OidcCallers
from lib.adapters.smtp_mail import SmtpMail
from lib.adapters.stripe_payments import StripePayments
from lib.adapters.video_providers import video_providers
from lib.billing.closures import CLOSE_CUSTOMER, Cancellations
from lib.billing.kinds import STRIPE_EVENT, SYNC_ACCOUNT
from lib.billing.processing import StripeEvents
from lib.billing.sync import Sync
from lib.billing.syncs import AccountSyncs
from lib.config import Environment
from lib.database.engine import open_database
from lib.video.mending import CHECK_VIDEO, PURGE_VIDEO, VideoTasks
from lib.web import tasks
from lib.web.function import serve
from lib.web.ports import SystemClock

# What get-playback may ask for, without a queue in between.
DIRECT = frozenset({SYNC_ACCOUNT})

env = Environment(os.environ)
database = open_database(env.database())
payments = StripePayments(env.stripe(), env.app_url())
sync = Sync(payments, env.plans(), env.access(), SystemClock())
mailing = Mailing(database, SmtpMail(env.mail()), JinjaTemplates(env.app_url()), env.app_url())
videos = VideoTasks(database, video_providers(env), SystemClock())
kinds = {
    STRIPE_EVENT: StripeEvents(database, payments, sync).process,
    SYNC_ACCOUNT: AccountSyncs(database, sync).process,
    CLOSE_CUSTOMER: Cancellations(database, payments).cancel_everything,
    MAIL: mailing.send,
    CHECK_VIDEO: videos.check,
    PURGE_VIDEO: videos.purge,
}
process_task = serve(
    [(tasks.PROCESS_TASK, partial(tasks.process_task, kinds, env.queue_account(), DIRECT))],
    env.web(),
    services=OidcCallers(env.task_callers()),
)
