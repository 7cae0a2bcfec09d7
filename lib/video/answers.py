"""What video's functions answer, for the documentation and for tests."""

from datetime import datetime
from typing import Literal
from uuid import UUID

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


class VideosAnswer(AnswerModel):
    videos: list[ListedVideo]
    next_cursor: str | None


class PlaybackTokens(AnswerModel):
    playback: str
    thumbnail: str
    storyboard: str | None


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
