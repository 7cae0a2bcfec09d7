"""The line of films waiting to be made, one at a time."""

import asyncio
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Protocol

from infra.local.sandbox.media.transcode import Media, UnusableInputError, transcode

log = logging.getLogger(__name__)


class Shelf(Protocol):
    """Whose films they are."""

    def waiting(self) -> list[str]:
        """The films still to be made, oldest first."""
        ...

    def source(self, film_id: str) -> Path | None:
        """The uploaded file; None where there is nothing to be made any more."""
        ...

    def finish(self, film_id: str, media: Media, files: Path) -> None:
        """The film is made: `files`, a folder on the same disk, becomes its own."""
        ...

    def fail(self, film_id: str, kind: str, message: str) -> None:
        """The film could not be made: `invalid_input` or `internal_error`."""
        ...


class Ingest:
    """Makes uploaded files into films. What a stop or a crash interrupts begins again at the next start."""

    def __init__(self, shelf: Shelf, work: Path) -> None:
        """Args:
        shelf: Told of each success and failure.
        work: Folder for unfinished work; emptied at the start.
        """
        self._shelf = shelf
        self._work = work
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self._current: tuple[str, asyncio.Task[None]] | None = None

    def add(self, film_id: str) -> None:
        """Put a film at the end of the line."""
        self._waiting.put_nowait(film_id)

    def abandon(self, film_id: str) -> None:
        """Stop working on a film that has been deleted."""
        if self._current is not None and self._current[0] == film_id:
            self._current[1].cancel()

    async def run(self) -> None:
        """Work for ever; cancelled, it stops ffmpeg at once."""
        # An ffmpeg left over from a crash loses its folder and ends.
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir(parents=True)
        for film_id in self._shelf.waiting():
            self.add(film_id)
        while True:
            film_id = await self._waiting.get()
            task = asyncio.create_task(self._make(film_id))
            self._current = (film_id, task)
            try:
                # Not awaited itself: its being cancelled by `abandon` is not our being cancelled.
                await asyncio.wait([task])
            finally:
                self._current = None
                task.cancel()
                await asyncio.wait([task])
            if not task.cancelled() and (failure := task.exception()):
                log.error("film %s was lost", film_id, exc_info=failure)

    async def _make(self, film_id: str) -> None:
        source = self._shelf.source(film_id)
        if source is None:
            return
        folder = Path(tempfile.mkdtemp(dir=self._work))
        try:
            media = await transcode(source, folder)
            self._shelf.finish(film_id, media, folder)
        except UnusableInputError as error:
            self._shelf.fail(film_id, "invalid_input", str(error))
        except Exception:
            log.exception("film %s could not be made", film_id)
            self._shelf.fail(film_id, "internal_error", "The file could not be processed.")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        source.unlink(missing_ok=True)
