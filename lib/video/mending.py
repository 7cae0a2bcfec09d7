"""What is done for videos without a client: asking about those nothing was heard of, looking over those that are ready,
removing deleted ones.

reconcile finds them and makes tasks; process-task, which holds the providers' keys, does the work. Every step bears
repeating, and none is taken by what a task says: only by what the row says when it runs.
"""

import time
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Row

from lib.database.engine import Database
from lib.errors import UnavailableError
from lib.video import store
from lib.video.mux_objects import NOT_UPLOADED
from lib.video.ports import Progress, Videos
from lib.web import log
from lib.web.operation import as_uuid
from lib.web.ports import Clock, Task, Tasks

CHECK_VIDEO = "check-video"
PURGE_VIDEO = "purge-video"
# Providers tell within seconds, films are made in minutes.
LATE_AFTER = timedelta(minutes=10)
# A task that was not done in this time is taken to be lost.
LEFT_AFTER = timedelta(minutes=5)
AT_ONCE = 20
# Of those that are ready so many with each reconcile, each again after an hour at the soonest: 7,200 films a day.
LOOKED_OVER = 5
LOOK_AGAIN_AFTER = timedelta(hours=1)
# A task asks Mux, which answers five times a second, once or twice; Cloudflare, which answers four times, it asks up to
# four times, but only of a film that is ready. Where a film is gone, or its asset was never heard of, there are more
# questions, four at most: too many of those are refused, and the queue asks again.
SECONDS_BETWEEN = 0.5
# An upload's place lives for six hours; a provider that has no file by then will get none.
UPLOAD_PATIENCE = timedelta(hours=7)


class VideoTasks:
    """The work itself: process-task's kinds for videos."""

    def __init__(self, database: Database, providers: Mapping[str, Videos], clock: Clock) -> None:
        self._database = database
        self._providers = providers
        self._clock = clock

    def check(self, body: Mapping[str, Any]) -> None:
        """Ask the provider how far a video has come, or whether a ready one is as it was; its webhook may not have told.

        Raises:
            UnavailableError: it is out of reach, or seems to be somebody else's.
        """
        video_id = as_uuid(body.get("video_id", ""))
        with self._database.transaction() as tx:
            video = store.to_check(tx, video_id)
        if video is None or video_id is None:
            return
        if video.status == "ready" and video.provider not in self._providers:
            # Nothing waits for it.
            return
        provider = self._provider(video.provider)
        progress = provider.progress(upload_id=video.upload_id, asset_id=video.asset_id)
        if progress.status == "removed":
            self._confirm(provider, video)
        if progress.status == "waiting" and self._clock.now() - video.created_at > UPLOAD_PATIENCE:
            progress = Progress("errored", error=NOT_UPLOADED)
        with self._database.transaction() as tx:
            if video.status != "ready" or progress.status == "removed":
                moved = store.advance(tx, video_id, provider=video.provider, progress=progress)
                if moved and video.status == "ready":
                    log.line("WARNING", "video gone at its provider", {"video_id": str(video_id)})
            elif progress.status == "ready":
                store.take_languages(tx, video_id, progress)

    def _confirm(self, provider: Videos, gone: Row[Any]) -> None:
        """A provider that has no such film should have another one that is ready. With another account's key it has none,
        and would have us believe so of each.

        Raises:
            UnavailableError: it has not.
        """
        with self._database.transaction() as tx:
            other = store.another_ready(tx, gone)
        if other is None:
            return
        if provider.progress(upload_id=other.upload_id, asset_id=other.asset_id).status == "removed":
            raise UnavailableError(f"{gone.provider} knows none of our films")

    def purge(self, body: Mapping[str, Any]) -> None:
        """Remove a deleted video from its provider.

        Raises:
            UnavailableError: it is out of reach, or seems to be somebody else's.
        """
        video_id = as_uuid(body.get("video_id", ""))
        with self._database.transaction() as tx:
            video = store.to_purge(tx, video_id)
        if video is None or video_id is None:
            return
        provider = self._provider(video.provider)
        if not provider.delete(upload_id=video.upload_id, asset_id=video.asset_id):
            self._confirm(provider, video)
        with self._database.transaction() as tx:
            store.purged(tx, video_id)

    def _provider(self, name: str) -> Videos:
        provider = self._providers.get(name)
        if provider is None:
            # Set up again one day, perhaps: until then the row waits.
            raise UnavailableError(f"{name} is not set up here")
        return provider


class LeftVideos:
    """Finds what was left, and makes tasks of it: reconcile's work for video.

    Args:
        pause: seconds between two tasks, so that together they ask no provider faster than it answers.
    """

    def __init__(self, database: Database, tasks: Tasks, pause: float = SECONDS_BETWEEN) -> None:
        self._database = database
        self._tasks = tasks
        self._pause = pause

    def reconcile(self) -> dict[str, int]:
        """How many were found, and how many tasks the queue took."""
        with self._database.transaction() as tx:
            # Half of them at most: those that cannot be done come again and again.
            purges = store.take_due_purges(tx, older=LEFT_AFTER, limit=AT_ONCE // 2)
            late = store.take_late(tx, older=LATE_AFTER, limit=AT_ONCE - len(purges))
            room = min(LOOKED_OVER, AT_ONCE - len(purges) - len(late))
            ready = store.take_ready(tx, older=LOOK_AGAIN_AFTER, limit=room)
        found = [(PURGE_VIDEO, each) for each in purges] + [(CHECK_VIDEO, each) for each in late + ready]
        taken = 0
        for kind, video_id in found:
            if taken:
                time.sleep(self._pause)
            if not enqueue(self._tasks, kind, video_id):
                # The queue is out of reach: the others would only wait for it in turn.
                break
            taken += 1
        return {
            "videos_late": len(late),
            "purges_due": len(purges),
            "videos_looked_over": len(ready),
            "tasks_enqueued": taken,
        }


def enqueue(tasks: Tasks, kind: str, video_id: uuid.UUID) -> bool:
    """A task about a video; False where the queue was out of reach, which is logged: reconcile finds the row."""
    try:
        tasks.enqueue(Task(uuid.uuid4().hex, kind, {"video_id": str(video_id)}))
    except UnavailableError as error:
        log.line("ERROR", "video left for reconcile", {"video_id": str(video_id), "error": log.places(error)})
        return False
    return True
