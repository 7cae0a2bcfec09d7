"""What video needs from outside."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Upload:
    """Where a file may be sent, and how: `put` (chunked PUT), `tus` or `form`."""

    id: str
    protocol: str
    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a video stands at its provider, by the provider's word.

    `ready` comes with asset, playback id and duration, `errored` with a reason. Languages are those of
    the captions and of the sound, as the provider names them (`en`, `pt-BR`).
    """

    status: str
    asset_id: str | None = None
    playback_id: str | None = None
    duration: float | None = None
    error: str | None = None
    captions: tuple[str, ...] = ()
    audio_languages: tuple[str, ...] = ()


class Videos(Protocol):
    """The video provider: places for files, and what became of them.

    Raises:
        UnavailableError: from any method, where the provider is out of reach or asks to slow down.
    """

    def create_upload(self, *, video_id: uuid.UUID, title: str, size: int | None) -> Upload:
        """A place for one file, whose video will be playable with signed tokens only.

        Args:
            size: of the file in bytes, where it is known: it may decide how the file is to be sent.

        Raises:
            InvalidRequestError: the provider takes no file of that size.
        """
        ...

    def progress(self, *, upload_id: str, asset_id: str | None) -> Progress:
        """How far an upload, and what was made of it, has come; `removed` if it is gone."""
        ...

    def delete(self, *, upload_id: str, asset_id: str | None) -> bool:
        """Makes sure that nothing is left of an upload and of what was made of it. Bears repeating.

        Returns:
            Whether the provider knew of any such thing.
        """
        ...


@dataclass(frozen=True, slots=True)
class SignedPlayback:
    """Everything a player needs, good until the time it was signed for. None: the provider has none."""

    playback_url: str
    thumbnail_url: str
    storyboard_url: str | None
    playback_token: str
    thumbnail_token: str
    storyboard_token: str | None
    drm_token: str | None = None
    """For the DRM's licences, where films are protected so."""


class AccountSyncs(Protocol):
    """Somebody who can compare an account with what it has paid, right now."""

    def sync(self, user_id: uuid.UUID) -> bool:
        """Whether that came about, within two seconds. Raises nothing: a refusal can still be given."""
        ...


class PlaybackSigner(Protocol):
    """Signs what a provider's edge checks. No network."""

    longest: timedelta
    """No token may be made to live longer."""

    def sign(
        self, playback_id: str, *, expires_at: datetime, trace: str, client: str = "web"
    ) -> SignedPlayback:
        """URLs and tokens for one viewer.

        Args:
            trace: opaque; travels inside the video's token.
            client: `web`, `native` or `cast`: what plays it, where the provider tells them apart.
        """
        ...

    def thumbnail_url(self, playback_id: str, *, expires_at: datetime) -> str | None:
        """A signed picture, for lists that anybody may see; asked again with the same end it costs no
        signature. None where a token for the picture would open the film too."""
        ...

    def preview_url(self, playback_id: str, *, seconds: int, expires_at: datetime) -> str | None:
        """The first so many seconds of the film, for anybody, kept like `thumbnail_url`; None where a token
        cannot be made for a part."""
        ...
