"""mux-webhook: what Mux says of uploads and assets moves videos forward."""

import os
from functools import partial

from lib.config import Environment
from lib.database.engine import open_database
from lib.video import mux_events
from lib.web.function import WEBHOOK_BODY_BYTES, serve
from lib.web.ports import SystemClock

env = Environment(os.environ)
events = mux_events.MuxEvents(open_database(env.database()), SystemClock(), env.mux_webhook_secrets())
mux_webhook = serve(
    [(mux_events.MUX_WEBHOOK, partial(mux_events.mux_webhook, events))],
    env.web(max_body_bytes=WEBHOOK_BODY_BYTES),
)
