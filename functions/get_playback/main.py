"""get-playback: signed URLs for who may watch."""

import os
from functools import partial

from lib.adapters.account_syncs import ProcessTaskSyncs
from lib.adapters.jwt_tokens import access_tokens
from lib.adapters.playback_signers import playback_signers
from lib.config import Environment
from lib.database.pool import open_pool
from lib.video import playback
from lib.web.function import serve
from lib.web.ports import SystemClock

env = Environment(os.environ)
signers = playback_signers(env)
sessions = playback.Playback(
    open_pool(env.database()), signers, SystemClock(), env.playback(), ProcessTaskSyncs(env.syncs())
)
get_playback = serve(
    [(playback.GET_PLAYBACK, partial(playback.get_playback, sessions))],
    env.web(),
    tokens=access_tokens(env.tokens()),
)
