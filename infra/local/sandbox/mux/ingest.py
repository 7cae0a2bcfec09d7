"""The line of assets waiting to be made, one at a time."""

import asyncio
import logging
import shutil
import tempfile
from pathlib import Path

from infra.local.sandbox.mux.assets import Assets
from infra.local.sandbox.mux.refusals import MuxError
from infra.local.sandbox.mux.transcode import UnusableInputError, transcode
from infra.local.sandbox.state import Document

log = logging.getLogger(__name__)


class Ingest:
    """Makes uploaded files into assets. What a stop or a crash interrupts begins again at the next start."""

    def __init__(self, assets: Assets, sources: Path, work: Path) -> None:
        """Args:
        assets: Told of each success and failure.
        sources: Folder of the uploaded files, each named after its upload.
        work: Folder for unfinished work; emptied at the start.
        """
        self._assets = assets
        self._sources = sources
        self._work = work
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self._current: tuple[str, asyncio.Task[None]] | None = None

    def add(self, asset_id: str) -> None:
        """Put an asset at the end of the line."""
        self._waiting.put_nowait(asset_id)

    def abandon(self, asset: Document) -> None:
        """Stop working on an asset that has been deleted, and drop its source."""
        if self._current is not None and self._current[0] == asset["id"]:
            self._current[1].cancel()
        (self._sources / asset["upload_id"]).unlink(missing_ok=True)

    async def run(self) -> None:
        """Work for ever; cancelled, it stops ffmpeg at once."""
        # An ffmpeg left over from a crash loses its folder and ends.
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir(parents=True)
        for asset in self._assets.preparing():
            self.add(asset["id"])
        while True:
            asset_id = await self._waiting.get()
            task = asyncio.create_task(self._make(asset_id))
            self._current = (asset_id, task)
            try:
                # Not awaited itself: its being cancelled by `abandon` is not our being cancelled.
                await asyncio.wait([task])
            finally:
                self._current = None
                task.cancel()
                await asyncio.wait([task])
            if not task.cancelled() and (failure := task.exception()):
                log.error("asset %s was lost", asset_id, exc_info=failure)

    async def _make(self, asset_id: str) -> None:
        try:
            asset = self._assets.get(asset_id)
        except MuxError:
            return  # deleted while it waited
        if asset["status"] != "preparing":
            return
        source = self._sources / asset["upload_id"]
        folder = Path(tempfile.mkdtemp(dir=self._work))
        try:
            media = await transcode(source, folder)
            self._assets.finish(asset_id, media, folder)
        except UnusableInputError as error:
            self._assets.fail(asset_id, "invalid_input", str(error))
        except Exception:
            log.exception("asset %s could not be made", asset_id)
            self._assets.fail(asset_id, "internal_error", "The asset could not be processed.")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        source.unlink(missing_ok=True)
