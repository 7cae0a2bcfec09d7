"""A video provider in memory, as `Videos`."""

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from lib.errors import UnavailableError
from lib.video.ports import Progress, Upload


@dataclass(frozen=True)
class Announced:
    """What the provider was told about an upload."""

    video_id: uuid.UUID
    title: str
    policies: tuple[str, ...]


class FakeVideos:
    """Hands out places for files, remembers what each is for and what it became.

    `down` makes it unreachable; `calls` lists what was asked of it.
    """

    def __init__(self) -> None:
        self.down = False
        self.announced: dict[str, Announced] = {}
        self.uploads: dict[str, Progress] = {}
        self.calls: list[tuple[str, str]] = []

    def create_upload(self, *, video_id: uuid.UUID, title: str, size: int | None) -> Upload:
        upload_id = uuid.uuid4().hex
        self._asked("create_upload", upload_id)
        self.announced[upload_id] = Announced(video_id, title, ("signed",))
        self.uploads[upload_id] = Progress("waiting")
        expires_at = datetime.now(UTC) + timedelta(hours=6)
        return Upload(upload_id, "put", f"https://upload.invalid/{uuid.uuid4().hex}", expires_at)

    def progress(self, *, upload_id: str, asset_id: str | None) -> Progress:
        self._asked("progress", upload_id)
        return self.uploads.get(upload_id, Progress("removed", asset_id))

    def delete(self, *, upload_id: str, asset_id: str | None) -> bool:
        self._asked("delete", upload_id)
        return self.uploads.pop(upload_id, None) is not None

    def send(self, upload_id: str, *, film: bool = True) -> int:
        """The file arrives, a film of two seconds or none, and is made at once; the status of the answer."""
        if upload_id not in self.uploads:
            return 404
        asset_id = f"asset-of-{upload_id}"
        self.uploads[upload_id] = (
            Progress("ready", asset_id, f"playback-of-{upload_id}", 2.0)
            if film
            else Progress("errored", asset_id, error="Not a film")
        )
        return 200

    def film(self, film: Progress) -> Progress:
        """What a film is like by now, of which this was told once."""
        return self.uploads[self._upload_of(film)]

    def tracks(self, film: Progress, **languages: tuple[str, ...]) -> None:
        """A film's captions or sound are these from now on."""
        self.uploads[self._upload_of(film)] = replace(self.film(film), **languages)  # type: ignore[arg-type]

    def _upload_of(self, film: Progress) -> str:
        return next(name for name, told in self.uploads.items() if told.asset_id == film.asset_id)

    def _asked(self, call: str, upload_id: str) -> None:
        self.calls.append((call, upload_id))
        if self.down:
            raise UnavailableError("The video provider is out of reach")
