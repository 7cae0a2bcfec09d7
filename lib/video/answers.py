"""What video's functions answer, for the documentation and for tests."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import RootModel

from lib.web.answers import AnswerModel


class UploadedVideo(AnswerModel):
    id: UUID
    title: str
    status: Literal["waiting", "processing", "ready", "errored", "removed"]
    provider: Literal["mux", "cloudflare"]
    level: int
    published: bool


class UploadPlace(AnswerModel):
    protocol: Literal["put", "tus", "form"]
    url: str
    expires_at: datetime


class UploadAnswer(AnswerModel):
    video: UploadedVideo
    upload: UploadPlace


class FilmPrice(AnswerModel):
    amount: int
    """In the currency's smallest unit."""
    currency: str
    rental_hours: int | None
    """How long it may be watched once begun; null: it is bought for good."""


class ListedVideo(AnswerModel):
    id: UUID
    title: str
    description: str
    duration: float
    """Seconds."""
    level: int
    thumbnail_url: str | None
    """None at Cloudflare, where a token for the picture would open the film."""
    free: bool
    preview_url: str | None
    """HLS of the first seconds, for anybody; none at Cloudflare, or where the film has no preview."""
    trailer_id: UUID | None
    """Another video, to be opened with get-playback."""
    price: FilmPrice | None
    """What it costs by itself (create-checkout); null where it is not sold so."""
    series: str | None
    season: int | None
    episode: int | None
    captions: list[str]
    """Languages, as the provider names them."""
    audio_languages: list[str]
    available_until: datetime | None
    position: float | None
    """Seconds into the film, where the caller left it; null without a token, or where they have not begun."""
    watched_at: datetime | None


class VideosAnswer(AnswerModel):
    videos: list[ListedVideo]
    next_cursor: str | None


class ManagedVideo(AnswerModel):
    id: UUID
    title: str
    description: str
    status: Literal["waiting", "processing", "ready", "errored"]
    provider: Literal["mux", "cloudflare"]
    level: int
    published: bool
    listed: bool
    available_from: datetime | None
    available_until: datetime | None
    preview_seconds: int | None
    trailer_id: UUID | None
    series: str | None
    season: int | None
    episode: int | None
    price_amount: int | None
    price_currency: str | None
    rental_hours: int | None
    duration: float | None
    error: str | None
    """Why the file could not be made into a film."""
    captions: list[str]
    audio_languages: list[str]
    thumbnail_url: str | None
    created_at: datetime
    updated_at: datetime


class VideoAnswer(AnswerModel):
    video: ManagedVideo


class ManagedVideosAnswer(AnswerModel):
    videos: list[ManagedVideo]
    next_cursor: str | None


class VideoOrVideosAnswer(RootModel[VideoAnswer | ManagedVideosAnswer]):
    """One of them, or a page of all."""


class PlaybackTokens(AnswerModel):
    playback: str
    thumbnail: str
    storyboard: str | None
    drm: str | None
    """For the DRM's licence server, where films are protected so."""


class PlaybackEntitlement(AnswerModel):
    plan: str | None
    reason: Literal["subscription", "trial", "grace", "rental", "purchase", "gift", "staff", "free"]
    until: datetime | None


class PlaybackAnswer(AnswerModel):
    video_id: UUID
    session_id: UUID
    provider: Literal["mux", "cloudflare"]
    playback_id: str
    playback_url: str
    tokens: PlaybackTokens
    thumbnail_url: str
    storyboard_url: str | None
    """None at Cloudflare, which makes none."""
    expires_at: datetime
    refresh_after: datetime
    position: float
    """Seconds into the film."""
    entitlement: PlaybackEntitlement
