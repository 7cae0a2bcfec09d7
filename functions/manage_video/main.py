"""manage-video: an admin looks at a film, changes and deletes it."""

import os
from functools import partial

from lib.accounts.store import StoredSessions
from lib.adapters.jwt_tokens import JwtTokens
from lib.adapters.playback_signers import playback_signers
from lib.adapters.task_queue import task_queue
from lib.config import Environment
from lib.database.engine import open_database
from lib.video import managing
from lib.web.function import serve
from lib.web.ports import SystemClock

env = Environment(os.environ)
database = open_database(env.database())
management = managing.Management(database, task_queue(env.tasks()), playback_signers(env), SystemClock())
manage_video = serve(
    [
        (managing.GET_VIDEO, partial(managing.get_video, management)),
        (managing.CHANGE_VIDEO, partial(managing.change_video, management)),
        (managing.DELETE_VIDEO, partial(managing.delete_video, management)),
    ],
    env.web(),
    tokens=JwtTokens(env.tokens()),
    sessions=StoredSessions(database),
)
