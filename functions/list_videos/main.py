"""list-videos: what can be watched."""

import os
from functools import partial

from lib.adapters.playback_signers import playback_signers
from lib.config import Environment
from lib.database.engine import open_database
from lib.video import catalogue
from lib.web.function import serve
from lib.web.ports import SystemClock

env = Environment(os.environ)
signers = playback_signers(env)
videos = catalogue.Catalogue(open_database(env.database()), signers, SystemClock())
list_videos = serve([(catalogue.LIST_VIDEOS, partial(catalogue.list_videos, videos))], env.web())
