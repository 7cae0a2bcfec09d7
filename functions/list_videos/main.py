"""list-videos: what can be watched."""

import os
from functools import partial

from lib.accounts.store import StoredSessions
from lib.adapters.jwt_tokens import access_tokens
from lib.adapters.playback_signers import playback_signers
from lib.config import Environment
from lib.database.engine import open_database
from lib.video import catalogue
from lib.web.function import serve
from lib.web.ports import SystemClock

env = Environment(os.environ)
signers = playback_signers(env)
database = open_database(env.database())
videos = catalogue.Catalogue(database, signers, SystemClock())
list_videos = serve(
    [(catalogue.LIST_VIDEOS, partial(catalogue.list_videos, videos))],
    env.web(),
    tokens=access_tokens(env.tokens()),
    sessions=StoredSessions(database),
)
