"""A video provider in memory, as `Videos`."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lib.errors import UnavailableError
from lib.video.ports import Upload


@dataclass(frozen=True)
class Announced:
    """What the provider was told about an upload."""

    video_id: uuid.UUID
    title: str
    policies: tuple[str, ...]


class FakeVideos:
    """Hands out places for files and remembers what each is for. `down` makes it unreachable."""

    def __init__(self) -> None:
        self.down = False
        self.announced: dict[str, Announced] = {}

    def create_upload(self, *, video_id: uuid.UUID, title: str) -> Upload:
        if self.down:
            raise UnavailableError("The video provider is out of reach")
        upload_id = uuid.uuid4().hex
        self.announced[upload_id] = Announced(video_id, title, ("signed",))
        expires_at = datetime.now(UTC) + timedelta(hours=6)
        return Upload(upload_id, "put", f"https://upload.invalid/{uuid.uuid4().hex}", expires_at)
