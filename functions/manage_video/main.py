"""manage-video: an admin looks at films, changes and deletes them."""

import os
from functools import partial

from lib.accounts.store import StoredSessions
from lib.adapters.jwt_tokens import access_tokens
from lib.adapters.playback_signers import playback_signers
from lib.adapters.task_queue import task_queue
from lib.config import Environment
from lib.database.engine import open_database
from lib.video import managed, managing
from lib.web.function import serve
from lib.web.ports import SystemClock

env = Environment(os.environ)
database = open_database(env.database())
films = managed.ManagedVideos(database, playback_signers(env), SystemClock())
management = managing.Management(database, task_queue(env.tasks()), films)
manage_video = serve(
    [
        (managed.GET_VIDEO, partial(managed.get_video, films)),
        (managing.CHANGE_VIDEO, partial(managing.change_video, management)),
        (managing.DELETE_VIDEO, partial(managing.delete_video, management)),
    ],
    env.web(),
    tokens=access_tokens(env.tokens()),
    sessions=StoredSessions(database),
)
