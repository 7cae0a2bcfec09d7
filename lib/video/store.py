"""A video's row: how it is made, changed, moved forward and deleted."""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, false, func, insert, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert as upsert

from lib.database.schema import audit_log, playback_sessions, sessions, users, videos
from lib.video.ports import Progress, Upload

# As long as an Idempotency-Key is kept.
ANNOUNCED_AGAIN = timedelta(hours=24)
# All but what only searching needs.
COLUMNS = tuple(column for column in videos.c if column.name != "search")


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
) -> Row[Any] | None:
    """The new video. One that was announced under this id within the day, and of which nobody has heard, gets its
    place anew; None where the id is any other's."""
    new = upsert(videos)
    return tx.execute(
        new.values(
            id=video_id,
            title=title,
            description=description,
            level=level,
            published=published,
            provider=provider,
            created_by=created_by,
            upload_id=upload.id,
        )
        .on_conflict_do_update(
            index_elements=[videos.c.id],
            set_={"upload_id": new.excluded.upload_id, "updated_at": func.now()},
            where=and_(
                videos.c.status == "waiting",
                videos.c.deleted_at.is_(None),
                videos.c.provider == provider,
                videos.c.created_at > func.now() - ANNOUNCED_AGAIN,
            ),
        )
        .returning(*COLUMNS)
    ).first()


def find(tx: Connection, video_id: uuid.UUID | None, *, lock: bool = False) -> Row[Any] | None:
    """A video that is not deleted."""
    query = select(*COLUMNS).where(videos.c.id == video_id, _there())
    return tx.execute(query.with_for_update() if lock else query).first()


def change(tx: Connection, video_id: uuid.UUID, values: Mapping[str, object]) -> Row[Any]:
    statement = update(videos).where(videos.c.id == video_id).values(updated_at=func.now(), **values)
    return tx.execute(statement.returning(*COLUMNS)).one()


def _there() -> Any:
    return and_(videos.c.deleted_at.is_(None), videos.c.status != "removed")


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
    """Moves a video forward; False where it is further already, unknown, or of another asset or upload.

    `upload_id` is the upload that the news is of, where news come unasked: of another one they are believed only if
    they are of the asset that is known already.

    What appears at the provider after its video was purged is to be purged too.
    """
    same_asset = or_(videos.c.asset_id.is_(None), videos.c.asset_id == progress.asset_id)
    # News of no asset are of no known one: `==` would ask whether there is none.
    known_asset = false() if progress.asset_id is None else videos.c.asset_id == progress.asset_id
    its_own = and_(
        videos.c.id == video_id,
        videos.c.provider == provider,
        same_asset if progress.asset_id is not None else true(),
        true() if upload_id is None else or_(videos.c.upload_id == upload_id, known_asset),
    )
    asset_id = func.coalesce(progress.asset_id, videos.c.asset_id)
    facts: dict[str, object] = {"error": progress.error} if progress.error else {}
    if progress.status == "ready":
        facts |= {
            "playback_id": progress.playback_id,
            "duration": progress.duration,
            "captions": list(progress.captions),
            "audio_languages": list(progress.audio_languages),
            # What a webhook could not tell is asked with the next look over the films that are ready.
            "checked_at": None,
        }
    moved = tx.execute(
        update(videos)
        .where(its_own, videos.c.status.in_(_BEFORE[progress.status]))
        .values(status=progress.status, asset_id=asset_id, updated_at=func.now(), **facts)
        .returning(videos.c.id)
    )
    if moved.first() is not None:
        return True
    if progress.status in ("processing", "ready"):
        tx.execute(
            update(videos)
            .where(its_own, videos.c.purged_at.is_not(None))
            .values(asset_id=asset_id, purged_at=None, purge_at=func.now(), checked_at=None)
        )
    return False


def to_delete(tx: Connection, video_id: uuid.UUID | None) -> Row[Any] | None:
    """A video to be deleted, locked: also one that is deleted but not gone from the provider yet."""
    query = select(*COLUMNS).where(videos.c.id == video_id, videos.c.status != "removed")
    return tx.execute(query.with_for_update()).first()


def delete(tx: Connection, video_id: uuid.UUID, *, delay: timedelta) -> None:
    """From now on it is gone for everybody, and at the provider after the delay."""
    now = func.now()
    tx.execute(
        update(videos)
        .where(videos.c.id == video_id)
        .values(deleted_at=func.coalesce(videos.c.deleted_at, now), purge_at=now + delay, updated_at=now)
    )


def restore(tx: Connection, video_id: uuid.UUID) -> bool:
    """Takes a deletion back; False where there is none, or it is too late."""
    back = tx.execute(
        update(videos)
        .where(
            videos.c.id == video_id,
            videos.c.deleted_at.is_not(None),
            videos.c.purge_at > func.now(),
            videos.c.status != "removed",
        )
        .values(deleted_at=None, purge_at=None, updated_at=func.now())
        .returning(videos.c.id)
    )
    return back.first() is not None


def to_purge(tx: Connection, video_id: uuid.UUID | None) -> Row[Any] | None:
    """A video whose time at the provider is over."""
    return tx.execute(
        select(*COLUMNS).where(
            videos.c.id == video_id, videos.c.purge_at <= func.now(), videos.c.purged_at.is_(None)
        )
    ).first()


def purged(tx: Connection, video_id: uuid.UUID) -> None:
    """It is gone at the provider."""
    tx.execute(
        update(videos)
        .where(videos.c.id == video_id, videos.c.deleted_at.is_not(None))
        .values(status="removed", purged_at=func.now(), updated_at=func.now())
    )


def to_check(tx: Connection, video_id: uuid.UUID | None) -> Row[Any] | None:
    """A video of which its provider may have something to tell."""
    return tx.execute(
        select(*COLUMNS).where(
            videos.c.id == video_id,
            videos.c.status.in_(("waiting", "processing", "ready")),
            videos.c.deleted_at.is_(None),
        )
    ).first()


def another_ready(tx: Connection, video: Row[Any]) -> Row[Any] | None:
    """Any other film of the same provider that should be there."""
    ready = (videos.c.provider == video.provider, videos.c.status == "ready", videos.c.deleted_at.is_(None))
    others = select(*COLUMNS).where(*ready, videos.c.id != video.id)
    return tx.execute(others.order_by(func.random()).limit(1)).first()


def take_languages(tx: Connection, video_id: uuid.UUID, progress: Progress) -> None:
    """Captions and sound of a ready film, as they are by now."""
    told = {"captions": list(progress.captions), "audio_languages": list(progress.audio_languages)}
    tx.execute(
        update(videos)
        .where(
            videos.c.id == video_id,
            videos.c.status == "ready",
            videos.c.asset_id == progress.asset_id,
            or_(*(videos.c[name].is_distinct_from(tags) for name, tags in told.items())),
        )
        .values(updated_at=func.now(), **told)
    )


def look_again(tx: Connection, *, provider: str, asset_id: str) -> bool:
    """A ready film is asked about with the next look over them; False where there is none of this asset."""
    film = (videos.c.provider == provider, videos.c.asset_id == asset_id, videos.c.status == "ready")
    marked = update(videos).where(*film).values(checked_at=None).returning(videos.c.id)
    return tx.execute(marked).first() is not None


def take_late(tx: Connection, *, older: timedelta, limit: int) -> list[uuid.UUID]:
    """Videos of which nothing was heard for so long; they are not taken again for as long."""
    asked = func.coalesce(videos.c.checked_at, videos.c.updated_at)
    late = (
        videos.c.status.in_(("waiting", "processing")),
        videos.c.deleted_at.is_(None),
        asked < func.now() - older,
    )
    return _take(tx, late, asked, limit)


def take_ready(tx: Connection, *, older: timedelta, limit: int) -> list[uuid.UUID]:
    """Ready films that were not looked at for so long, the longest not looked at first."""
    due = (
        videos.c.status == "ready",
        videos.c.deleted_at.is_(None),
        or_(videos.c.checked_at.is_(None), videos.c.checked_at < func.now() - older),
    )
    return _take(tx, due, videos.c.checked_at.nulls_first(), limit)


def take_due_purges(tx: Connection, *, older: timedelta, limit: int) -> list[uuid.UUID]:
    """Deleted videos whose time has come; they are not taken again for a while."""
    due = (
        videos.c.deleted_at.is_not(None),
        videos.c.purged_at.is_(None),
        videos.c.purge_at <= func.now(),
        or_(videos.c.checked_at.is_(None), videos.c.checked_at < func.now() - older),
    )
    return _take(tx, due, videos.c.purge_at, limit)


def _take(tx: Connection, conditions: tuple[Any, ...], order: Any, limit: int) -> list[uuid.UUID]:
    taken = (
        select(videos.c.id)
        .where(*conditions)
        .order_by(order)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("taken")
    )
    statement = update(videos).where(videos.c.id == taken.c.id).values(checked_at=func.now())
    return list(tx.execute(statement.returning(videos.c.id)).scalars())


def traced(tx: Connection, playback_session_id: uuid.UUID) -> Row[Any] | None:
    """Whose a playback session is: account, login (None when that is long over) and film."""
    opened = playback_sessions
    query: Select[Any] = (
        select(
            *opened.c,
            users.c.email,
            videos.c.title,
            sessions.c.device_name,
            sessions.c.created_at.label("logged_in_at"),
        )
        .join(users, users.c.id == opened.c.user_id)
        .join(videos, videos.c.id == opened.c.video_id)
        .outerjoin(sessions, sessions.c.id == opened.c.session_id)
        .where(opened.c.id == playback_session_id)
    )
    return tx.execute(query).first()


def is_there(tx: Connection, user_id: uuid.UUID) -> bool:
    """Whether somebody has an account, which then stays until this is committed."""
    there = select(users.c.id).where(users.c.id == user_id).with_for_update(read=True, key_share=True)
    return tx.execute(there).first() is not None


def record(
    tx: Connection,
    kind: str,
    detail: Mapping[str, Any],
    *,
    user_id: uuid.UUID | None = None,
    actor: str | None = None,
    address: str = "",
) -> None:
    """A line in the audit log, of what a user did, or else an `actor` by another name."""
    line = insert(audit_log).values(
        kind=kind,
        user_id=user_id,
        actor=actor or f"user:{user_id}",
        detail=dict(detail),
        address=address or None,
    )
    tx.execute(line)
