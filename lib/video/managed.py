"""manage-video, looked at: one film with all there is to know of it, or page after page of all films, whatever their state."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, cast, literal, select, tuple_
from sqlalchemy.dialects.postgresql import TSQUERY

from lib.database.engine import Database
from lib.database.schema import videos
from lib.errors import FieldError, InvalidRequestError, MalformedRequestError, VideoNotFoundError
from lib.video import store
from lib.video.paging import CURSOR, LIMIT, LONGEST_TEXT, check_alone, check_texts, limit_of, read, written
from lib.video.ports import PlaybackSigner
from lib.video.search import beginnings
from lib.web.operation import Answer, Call, Operation, Query, Who, as_uuid, rfc3339
from lib.web.ports import Clock

# One hour at least, once cut to the hour.
_PICTURE_LIFE = timedelta(hours=2)
_STATUSES = ("waiting", "processing", "ready", "errored")

GET_VIDEO = Operation(
    function="manage-video",
    method="GET",
    tag="Video",
    summary="All about a video, or all videos (admin)",
    description="Without `video_id` all films that are not deleted, newest first: drafts, those that wait for their file, those "
    "that failed.",
    who=Who.ADMIN,
    query=(
        Query("video_id", "The video; goes alone", shortest=1),
        Query("q", "Words to look for, as in list-videos", longest=LONGEST_TEXT),
        Query("status", "Only those that are so far", choices=_STATUSES),
        LIMIT,
        CURSOR,
    ),
    answers={200: "lib.video.answers:VideoOrVideosAnswer"},
    refusals=(MalformedRequestError, VideoNotFoundError),
)


class ManagedVideos:
    """Shows videos to their admins.

    Args:
        signers: provider -> signer, for the picture.
    """

    def __init__(self, database: Database, signers: Mapping[str, PlaybackSigner], clock: Clock) -> None:
        self._database = database
        self._signers = signers
        self._clock = clock

    def look(self, video_id: uuid.UUID | None) -> dict[str, Any]:
        """Raises VideoNotFoundError."""
        with self._database.transaction() as tx:
            return self.shown(found(store.find(tx, video_id)))

    def page(
        self, *, words: str | None, status: str | None, cursor: str | None, limit: int
    ) -> dict[str, Any]:
        """A page and where the next begins.

        Raises:
            MalformedRequestError: the cursor is none of ours.
        """
        after = read(cursor, (datetime, uuid.UUID))
        with self._database.transaction() as tx:
            # One more than asked for tells whether there is a next page.
            rows = _page(tx, words=words, status=status, after=after, limit=limit + 1)
        page = rows[:limit]
        next_cursor = written((page[-1].created_at, page[-1].id)) if len(rows) > limit else None
        return {"videos": [self.shown(row) for row in page], "next_cursor": next_cursor}

    def shown(self, row: Row[Any]) -> dict[str, Any]:
        """The video as admins see it."""
        thumbnail = None
        if row.playback_id is not None and row.provider in self._signers:
            # To the hour, so that for an hour each picture has one URL, which is signed once.
            expires_at = (self._clock.now() + _PICTURE_LIFE).replace(minute=0, second=0, microsecond=0)
            thumbnail = self._signers[row.provider].thumbnail_url(row.playback_id, expires_at=expires_at)
        plain = [
            "title",
            "description",
            "status",
            "provider",
            "level",
            "published",
            "listed",
            "preview_seconds",
            "series",
            "season",
            "episode",
            "price_amount",
            "price_currency",
            "rental_hours",
            "duration",
            "error",
        ]
        times = ("available_from", "available_until", "created_at", "updated_at")
        video: dict[str, Any] = {"id": str(row.id)}
        video |= {name: getattr(row, name) for name in plain}
        video |= {name: rfc3339(getattr(row, name)) for name in times}
        video |= {name: list(getattr(row, name)) for name in ("captions", "audio_languages")}
        return video | {
            "trailer_id": None if row.trailer_id is None else str(row.trailer_id),
            "thumbnail_url": thumbnail,
        }


def _page(
    tx: Connection, *, words: str | None, status: str | None, after: tuple[Any, ...] | None, limit: int
) -> list[Row[Any]]:
    query = select(*store.COLUMNS).where(videos.c.deleted_at.is_(None), videos.c.status != "removed")
    if words is not None:
        wanted = beginnings(tx, words)
        if wanted is None:
            return []
        query = query.where(videos.c.search.op("@@")(cast(literal(wanted), TSQUERY)))
    if status is not None:
        query = query.where(videos.c.status == status)
    if after is not None:
        query = query.where(tuple_(videos.c.created_at, videos.c.id) < tuple_(*map(literal, after)))
    return list(tx.execute(query.order_by(videos.c.created_at.desc(), videos.c.id.desc()).limit(limit)))


def found(row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise VideoNotFoundError
    return row


def asked(call: Call) -> uuid.UUID | None:
    """The video asked for: None for an id that is none.

    Raises:
        InvalidRequestError: none was asked for.
    """
    asked = call.query.get("video_id", "")
    if not asked:
        raise InvalidRequestError(errors=[FieldError("video_id", "required", "Field required")])
    video_id = as_uuid(asked)
    if video_id is not None:
        call.notes["video_id"] = str(video_id)
    return video_id


def get_video(films: ManagedVideos, call: Call) -> Answer:
    query, errors = call.query, list[FieldError]()
    limit = limit_of(query, errors)
    check_texts(query, errors)
    check_alone(query, errors)
    if query.get("status") not in (None, *_STATUSES):
        errors.append(FieldError("status", "unknown_value", f"should be one of {', '.join(_STATUSES)}"))
    if errors:
        raise InvalidRequestError(errors=errors)
    if "video_id" in query:
        return Answer(200, {"video": films.look(asked(call))}, private=True)
    page = films.page(
        words=query.get("q") or None,
        status=query.get("status"),
        cursor=query.get("cursor") or None,
        limit=limit,
    )
    return Answer(200, page, private=True)
