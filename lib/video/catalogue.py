"""list-videos: what can be watched. Public, and without a model library; with a token it knows how far one got."""

import re
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from lib.database.engine import Database
from lib.errors import FieldError, InvalidRequestError, InvalidTokenError, MalformedRequestError
from lib.video import search
from lib.video.paging import CURSOR, LIMIT, LONGEST_TEXT, check_alone, check_texts, limit_of, read, written
from lib.video.ports import PlaybackSigner
from lib.video.search import Wish
from lib.web.operation import Answer, Call, Operation, Query, Who, as_uuid, rfc3339
from lib.web.ports import Clock

# Six hours at least, once cut to the hour.
PICTURE_LIFE = timedelta(hours=7)
_HIGHEST_LEVEL = 1000

LIST_VIDEOS = Operation(
    function="list-videos",
    method="GET",
    tag="Video",
    summary="Published videos, newest first",
    description="With a token each says how far one got (`position`, `watched_at`). A series comes in its own order; words find "
    "titles, series and descriptions that have words beginning so, or else nearly so.",
    who=Who.EITHER,
    query=(
        Query("video_id", "Only this one, listed or not, if it can be watched; goes alone"),
        Query("q", "Words to look for", longest=LONGEST_TEXT),
        LIMIT,
        CURSOR,
        Query("level", "Only those of this level", kind="integer", least=0, most=_HIGHEST_LEVEL),
        Query("free", "`true`: only those that need no plan, which is level 0", choices=("true",)),
        Query("series", "Only those of this series, by season and episode", longest=LONGEST_TEXT),
        Query(
            "list",
            "With a token: `continue` (begun and not finished) or `history` (begun), last watched first",
            choices=("continue", "history"),
        ),
    ),
    answers={200: "lib.video.answers:VideosAnswer", 304: None},
    refusals=(MalformedRequestError,),
)


class Catalogue:
    """Lists videos.

    Args:
        signers: provider -> signer, for pictures and previews.
    """

    def __init__(self, database: Database, signers: Mapping[str, PlaybackSigner], clock: Clock) -> None:
        self._database = database
        self._signers = signers
        self._clock = clock

    def page(
        self, wish: Wish, *, cursor: str | None, limit: int, user_id: uuid.UUID | None = None
    ) -> dict[str, Any]:
        """A page and where the next begins.

        Raises:
            MalformedRequestError: the cursor is none of ours, or of another kind of list.
        """
        after = read(cursor, (int, int, uuid.UUID) if wish.series is not None else (datetime, uuid.UUID))
        with self._database.transaction() as tx:
            # One more than asked for tells whether there is a next page.
            rows = search.page(tx, wish, after=after, limit=limit + 1)
            more = len(rows) > limit
            if not rows and after is None and wish.words is not None:
                rows, more = search.nearly(tx, wish, limit=limit), False
            rows = rows[:limit]
            seen = {} if user_id is None else search.progress(tx, user_id, [row.id for row in rows])
        next_cursor = written(search.place(rows[-1], wish)) if more else None
        return self._answer([(row, seen.get(row.id)) for row in rows], next_cursor)

    def one(self, video_id: uuid.UUID | None, *, user_id: uuid.UUID | None = None) -> dict[str, Any]:
        """A page with this film alone, or with none where viewers cannot see it now."""
        with self._database.transaction() as tx:
            row = search.one(tx, video_id)
            found = [] if row is None else [row]
            seen = {} if user_id is None else search.progress(tx, user_id, [each.id for each in found])
        return self._answer([(each, seen.get(each.id)) for each in found], None)

    def watched(
        self, user_id: uuid.UUID, *, unfinished: bool, cursor: str | None, limit: int
    ) -> dict[str, Any]:
        """What somebody has begun, last watched first.

        Raises:
            MalformedRequestError: as `page`.
        """
        after = read(cursor, (datetime, uuid.UUID))
        with self._database.transaction() as tx:
            rows = search.watched(tx, user_id, unfinished=unfinished, after=after, limit=limit + 1)
        page = rows[:limit]
        next_cursor = written((page[-1].watched_at, page[-1].id)) if len(rows) > limit else None
        return self._answer([(row, row) for row in page], next_cursor)

    def _answer(
        self, rows: list[tuple[Row[Any], Row[Any] | None]], next_cursor: str | None
    ) -> dict[str, Any]:
        # To the hour, so that for an hour each picture has one URL, which is signed once.
        expires_at = (self._clock.now() + PICTURE_LIFE).replace(minute=0, second=0, microsecond=0)
        return {
            "videos": [self._video(row, seen, expires_at) for row, seen in rows],
            "next_cursor": next_cursor,
        }

    def _video(self, row: Row[Any], seen: Row[Any] | None, expires_at: datetime) -> dict[str, Any]:
        thumbnail_url, preview_url = self._pictures(row, expires_at)
        return {
            "id": str(row.id),
            "title": row.title,
            "description": row.description,
            "duration": row.duration,
            "level": row.level,
            "thumbnail_url": thumbnail_url,
            "free": row.level == 0,
            "preview_url": preview_url,
            "trailer_id": None if row.trailer_id is None else str(row.trailer_id),
            "price": None
            if row.price_amount is None
            else {
                "amount": row.price_amount,
                "currency": row.price_currency,
                "rental_hours": row.rental_hours,
            },
            "series": row.series,
            "season": row.season,
            "episode": row.episode,
            "captions": list(row.captions),
            "audio_languages": list(row.audio_languages),
            "available_until": rfc3339(row.available_until),
            "position": None if seen is None else seen.position,
            "watched_at": None if seen is None else rfc3339(seen.watched_at),
        }

    def _pictures(self, row: Row[Any], expires_at: datetime) -> tuple[str | None, str | None]:
        """The film's thumbnail and its preview, where there is one."""
        signer = self._signers.get(row.provider)
        if signer is None:
            # Its provider is not set up any more: that takes the other films from nobody.
            return None, None
        # As with the film itself: no address outlives its time.
        expires_at = min(expires_at, row.available_until or expires_at)
        thumbnail = signer.thumbnail_url(row.playback_id, expires_at=expires_at)
        if row.preview_seconds is None:
            return thumbnail, None
        seconds = row.preview_seconds
        return thumbnail, signer.preview_url(row.playback_id, seconds=seconds, expires_at=expires_at)


def list_videos(catalogue: Catalogue, call: Call) -> Answer:
    query, caller, errors = call.query, call.caller, list[FieldError]()
    limit = limit_of(query, errors)
    check_texts(query, errors)
    level = query.get("level") or None
    if level is not None and not (re.fullmatch("[0-9]{1,4}", level) and int(level) <= _HIGHEST_LEVEL):
        errors.append(
            FieldError("level", "out_of_range", f"should be a whole number from 0 to {_HIGHEST_LEVEL}")
        )
    if query.get("free") not in (None, "true") or (query.get("free") and level not in (None, "0")):
        errors.append(FieldError("free", "unknown_value", "should be true, or left out; free is level 0"))
    if query.get("list") not in (None, "continue", "history"):
        errors.append(FieldError("list", "unknown_value", "should be continue or history, or left out"))
    check_alone(query, errors)
    if errors:
        raise InvalidRequestError(errors=errors)
    user_id = caller.user_id if caller else None
    if "video_id" in query:
        page = catalogue.one(as_uuid(query["video_id"]), user_id=user_id)
        return Answer(200, page, private=True, tagged=True)
    cursor = query.get("cursor") or None
    if query.get("list"):
        if caller is None:
            raise InvalidTokenError
        unfinished = query["list"] == "continue"
        page = catalogue.watched(caller.user_id, unfinished=unfinished, cursor=cursor, limit=limit)
    else:
        wish = Wish(
            words=query.get("q") or None,
            level=0 if query.get("free") else None if level is None else int(level),
            series=query.get("series") or None,
        )
        page = catalogue.page(wish, cursor=cursor, limit=limit, user_id=user_id)
    return Answer(200, page, private=True, tagged=True)
