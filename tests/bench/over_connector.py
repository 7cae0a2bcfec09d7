"""get-playback as its own main.py wires it, with Google's connector looking at a stand-in (tests/fakes/cloud_sql_server.py).

What it cannot show is Google: the metadata server's token, the Admin API's answer, the way to them.
"""

import os
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from lib.adapters.account_syncs import ProcessTaskSyncs
from lib.adapters.jwt_tokens import access_tokens
from lib.adapters.playback_signers import playback_signers
from lib.config import Environment
from lib.database.cloud_sql import CloudSqlConnections, load_connector
from lib.database.pool import Pool
from lib.video import playback
from lib.web.function import serve
from lib.web.ports import SystemClock

if TYPE_CHECKING:
    from google.cloud.sql.connector import Connector


def connector() -> "Connector":
    from google.oauth2.credentials import Credentials

    # Not about to end, or it would be renewed.
    lasting = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None)
    token = Credentials(token=os.environ["BENCH_TOKEN"], expiry=lasting)  # type: ignore[no-untyped-call]
    return load_connector()(
        credentials=token, sqladmin_api_endpoint=os.environ["BENCH_SQL_ADMIN"], refresh_strategy="lazy"
    )


env = Environment(os.environ)
settings = env.database()
sessions = playback.Playback(
    Pool(settings, CloudSqlConnections(settings, {}, connector).connect),
    playback_signers(env),
    SystemClock(),
    env.playback(),
    ProcessTaskSyncs(env.syncs()),
)
get_playback = serve(
    [(playback.GET_PLAYBACK, partial(playback.get_playback, sessions))],
    env.web(),
    tokens=access_tokens(env.tokens()),
)
