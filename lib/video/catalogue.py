"""list-videos: what can be watched, newest first. Public, and without a model library."""

import base64
import binascii
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row

from lib.database.engine import Database
from lib.errors import FieldError, InvalidRequestError, MalformedRequestError
from lib.video import store
from lib.video.ports import PlaybackSigner
from lib.web.operation import Answer, Call, Operation, Query, Who
from lib.web.ports import Clock

# Six hours at least, once cut to the hour.
THUMBNAIL_LIFE = timedelta(hours=7)
_LONGEST_QUERY = 200
_EPOCH = datetime.fromtimestamp(0, UTC)

LIST_VIDEOS = Operation(
    function="list-videos",
    method="GET",
    tag="Video",
    summary="Published videos, newest first",
    who=Who.ANYONE,
    query=(
        Query("q", "Words to look for in title and description"),
        Query("limit", "How many at most, 1 to 100 (20)", kind="integer"),
        Query("cursor", "`next_cursor` of the page before"),
    ),
    answers={200: "lib.video.answers:VideosAnswer"},
    refusals=(MalformedRequestError,),
)


class Catalogue:
    """Lists videos.

    Args:
        signers: provider -> signer, for the thumbnails.
    """

    def __init__(self, database: Database, signers: Mapping[str, PlaybackSigner], clock: Clock) -> None:
        self._database = database
        self._signers = signers
        self._clock = clock

    def page(self, *, words: str | None, cursor: str | None, limit: int) -> dict[str, Any]:
        """A page and where the next begins.

        Raises:
            MalformedRequestError: the cursor is none of ours.
        """
        before = _position(cursor) if cursor else None
        with self._database.transaction() as tx:
            # One more than asked for tells whether there is a next page.
            rows = store.listed(tx, words=words, before=before, limit=limit + 1)
        # To the hour, so that for an hour each picture has one URL, which is signed once.
        expires_at = (self._clock.now() + THUMBNAIL_LIFE).replace(minute=0, second=0, microsecond=0)
        videos = [self._video(row, expires_at) for row in rows[:limit]]
        return {"videos": videos, "next_cursor": _cursor(rows[limit - 1]) if len(rows) > limit else None}

    def _video(self, row: Row[Any], expires_at: datetime) -> dict[str, Any]:
        return {
            "id": str(row.id),
            "title": row.title,
            "description": row.description,
            "duration": row.duration,
            "level": row.level,
            "thumbnail_url": self._signers[row.provider].thumbnail_url(
                row.playback_id, expires_at=expires_at
            ),
            "free": row.level == 0,
        }


def _cursor(row: Row[Any]) -> str:
    # In whole numbers: from 2038 on a float of seconds no longer tells all microseconds apart.
    micros = (row.created_at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(micros.to_bytes(8, "big") + row.id.bytes).decode()


def _position(cursor: str) -> tuple[datetime, uuid.UUID]:
    try:
        raw = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        if len(raw) != 24:
            raise ValueError
        moment = _EPOCH + timedelta(microseconds=int.from_bytes(raw[:8], "big"))
        return moment, uuid.UUID(bytes=raw[8:])
    except (ValueError, OverflowError, binascii.Error):
        raise MalformedRequestError("This cursor is not one of ours") from None


def list_videos(catalogue: Catalogue, call: Call) -> Answer:
    asked = call.query.get("limit", "20")
    errors = []
    if not re.fullmatch("[0-9]{1,3}", asked) or not 1 <= int(asked) <= 100:
        errors.append(FieldError("limit", "out_of_range", "should be a whole number from 1 to 100"))
    words = call.query.get("q") or None
    if words and (len(words) > _LONGEST_QUERY or "\x00" in words):
        errors.append(FieldError("q", "too_long", f"should have up to {_LONGEST_QUERY} characters"))
    if errors:
        raise InvalidRequestError(errors=errors)
    page = catalogue.page(words=words, cursor=call.query.get("cursor") or None, limit=int(asked))
    return Answer(200, page, private=True)
