"""cloudflare-webhook: what Cloudflare Stream says of videos moves them forward."""

import os
from functools import partial

from lib.config import Environment
from lib.database.engine import open_database
from lib.video import cloudflare_events
from lib.web.function import WEBHOOK_BODY_BYTES, serve
from lib.web.ports import SystemClock

env = Environment(os.environ)
events = cloudflare_events.CloudflareEvents(
    open_database(env.database()), SystemClock(), env.cloudflare_webhook_secrets()
)
cloudflare_webhook = serve(
    [(cloudflare_events.CLOUDFLARE_WEBHOOK, partial(cloudflare_events.cloudflare_webhook, events))],
    env.web(max_body_bytes=WEBHOOK_BODY_BYTES),
)
