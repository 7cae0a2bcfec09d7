"""Queries over videos."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select, true, tuple_, update

from lib.database.schema import videos
from lib.video.ports import Progress, Upload


def add(
    tx: Connection,
    *,
    video_id: uuid.UUID,
    title: str,
    description: str,
    level: int,
    published: bool,
    provider: str,
    created_by: uuid.UUID,
    upload: Upload,
) -> Row[Any]:
    return tx.execute(
        insert(videos)
        .values(
            id=video_id,
            title=title,
            description=description,
            level=level,
            published=published,
            provider=provider,
            created_by=created_by,
            upload_id=upload.id,
        )
        .returning(*videos.c)
    ).one()


def listed(
    tx: Connection, *, words: str | None, before: tuple[datetime, uuid.UUID] | None, limit: int
) -> list[Row[Any]]:
    """What viewers can see, newest first."""
    query = select(videos).where(videos.c.published, videos.c.status == "ready")
    if words:
        pattern = "%" + words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        query = query.where(or_(videos.c.title.ilike(pattern), videos.c.description.ilike(pattern)))
    if before:
        query = query.where(tuple_(videos.c.created_at, videos.c.id) < tuple_(*before))
    return list(tx.execute(query.order_by(videos.c.created_at.desc(), videos.c.id.desc()).limit(limit)))


# From which states each step may be taken. Time's arrow: webhooks come doubled and in any order.
_BEFORE: dict[str, tuple[str, ...]] = {
    "waiting": (),
    "processing": ("waiting",),
    "ready": ("waiting", "processing"),
    "errored": ("waiting", "processing"),
    "removed": ("waiting", "processing", "ready", "errored"),
}


def advance(
    tx: Connection, video_id: uuid.UUID, *, provider: str, progress: Progress, upload_id: str | None = None
) -> bool:
    """Moves a video forward; False where it is further already, unknown, or of another asset or upload."""
    facts = {"playback_id": progress.playback_id, "duration": progress.duration, "error": progress.error}
    same_asset = or_(videos.c.asset_id.is_(None), videos.c.asset_id == progress.asset_id)
    moved = tx.execute(
        update(videos)
        .where(
            videos.c.id == video_id,
            videos.c.provider == provider,
            videos.c.status.in_(_BEFORE[progress.status]),
            same_asset if progress.asset_id is not None else true(),
            videos.c.upload_id == upload_id if upload_id is not None else true(),
        )
        .values(
            status=progress.status,
            asset_id=func.coalesce(progress.asset_id, videos.c.asset_id),
            updated_at=func.now(),
            **{name: value for name, value in facts.items() if value is not None},
        )
        .returning(videos.c.id)
    )
    return moved.first() is not None
