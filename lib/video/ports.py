"""What video needs from outside."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Upload:
    """Where a file may be sent, and how: `put` (chunked PUT), `tus` or `form`."""

    id: str
    protocol: str
    url: str
    expires_at: datetime


class Videos(Protocol):
    """The video provider's side of an upload."""

    def create_upload(self, *, video_id: uuid.UUID, title: str) -> Upload:
        """A place for one file, whose video will be playable with signed tokens only.

        Raises:
            UnavailableError: the provider is out of reach or asks to slow down.
        """
        ...


@dataclass(frozen=True, slots=True)
class SignedPlayback:
    """Everything a player needs, good until the time it was signed for."""

    playback_url: str
    thumbnail_url: str
    storyboard_url: str
    playback_token: str
    thumbnail_token: str
    storyboard_token: str


class PlaybackSigner(Protocol):
    """Signs what a provider's edge checks. No network."""

    def sign(self, playback_id: str, *, expires_at: datetime, trace: str) -> SignedPlayback:
        """URLs and tokens for one viewer. `trace` is opaque and travels inside the video's token."""
        ...

    def thumbnail_url(self, playback_id: str, *, expires_at: datetime) -> str:
        """A signed picture, for lists. Asked again with the same end it costs no signature."""
        ...
