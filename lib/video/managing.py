"""manage-video: an admin publishes, changes and deletes a film. How one looks at it: managed.py."""

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from lib.database.engine import Database
from lib.errors import FieldError, InvalidRequestError, VideoNotFoundError
from lib.video import store
from lib.video.managed import ManagedVideos, asked, found
from lib.video.mending import PURGE_VIDEO, enqueue
from lib.web.bodies import WHOLE, Body, Text, Words
from lib.web.operation import Answer, Call, Operation, Query, Who, as_uuid
from lib.web.ports import Tasks

# How long a deletion can be taken back (`make ops ARGS="video restore …"`).
PURGED_AFTER = timedelta(days=7)


def _written(value: object) -> object:
    if not isinstance(value, str) or not re.match("[0-9]{4}-", value):
        raise PydanticCustomError("datetime_type", "should be a time like 2026-11-23T12:00:00Z")
    return value


# Without bounds one of the year 1 or 9999 in a far zone is no time at all in UTC.
Time = Annotated[
    AwareDatetime,
    Field(
        strict=False,
        ge=datetime(1970, 1, 1, tzinfo=UTC),
        lt=datetime(3000, 1, 1, tzinfo=UTC),
        json_schema_extra={"pattern": "^(19[789]|2[0-9]{2})[0-9]-"},
    ),
    # A number, in quotes too, would be taken for seconds since 1970.
    BeforeValidator(_written),
]


def _without_defaults(schema: dict[str, Any]) -> None:
    """What is not named stays as it is: there is no default, whatever stands in its place here."""
    for described in schema["properties"].values():
        described.pop("default", None)


class ChangeVideoBody(Body):
    """What is not named stays; null takes away what may be without."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    title: Words = ""
    description: Annotated[Text, StringConstraints(max_length=5000)] = ""
    level: Annotated[int, Field(ge=0, le=1000), WHOLE] = 0
    published: bool = False
    listed: bool = True
    """Whether list-videos shows it; a trailer need not be."""
    available_from: Time | None = None
    available_until: Time | None = None
    preview_seconds: Annotated[int, Field(ge=1, le=86400), WHOLE] | None = None
    """Anybody may watch the first so many seconds."""
    trailer_id: str | None = None
    """Another video."""
    series: Words | None = None
    season: Annotated[int, Field(ge=0, le=10000), WHOLE] | None = None
    episode: Annotated[int, Field(ge=0, le=100000), WHOLE] | None = None
    price_amount: Annotated[int, Field(ge=1, le=99_999_999), WHOLE] | None = None
    """What the film costs by itself, in the currency's smallest unit; null: it is not sold by itself."""
    price_currency: Annotated[str, StringConstraints(pattern="^[a-z]{3}$")] | None = None
    rental_hours: Annotated[int, Field(ge=1, le=8760), WHOLE] | None = None
    """How long it may be watched once it was begun; null: it is bought for good."""


_VIDEO_ID = Query("video_id", "The video", required=True)
CHANGE_VIDEO = Operation(
    function="manage-video",
    method="PATCH",
    tag="Video",
    summary="Change, publish or withdraw a video (admin)",
    who=Who.ADMIN,
    query=(_VIDEO_ID,),
    body=ChangeVideoBody,
    answers={200: "lib.video.answers:VideoAnswer"},
    refusals=(VideoNotFoundError,),
)
DELETE_VIDEO = Operation(
    function="manage-video",
    method="DELETE",
    tag="Video",
    summary="Delete a video (admin)",
    description="From now on nobody gets to watch it. It is removed from its provider after seven days, until when an "
    "operator can bring it back; at once with `purge=now`, or where it was never ready.",
    who=Who.ADMIN,
    query=(
        _VIDEO_ID,
        Query("purge", "`now`: remove it from its provider at once, for good", choices=("now",)),
    ),
    answers={204: None},
    refusals=(VideoNotFoundError,),
)


class Management:
    """Changes and deletes videos.

    Args:
        films: shows what a change made of a video.
    """

    def __init__(self, database: Database, tasks: Tasks, films: ManagedVideos) -> None:
        self._database = database
        self._tasks = tasks
        self._films = films

    def change(
        self, video_id: uuid.UUID | None, body: ChangeVideoBody, *, user_id: uuid.UUID, address: str = ""
    ) -> dict[str, Any]:
        """Changes what the body names.

        Args:
            user_id: who does, from which address.

        Raises:
            VideoNotFoundError: there is none.
            InvalidRequestError: it would not fit with what stays.
        """
        changes = {name: getattr(body, name) for name in body.model_fields_set}
        if "trailer_id" in changes and changes["trailer_id"] is not None:
            changes["trailer_id"] = as_uuid(changes["trailer_id"]) or uuid.UUID(int=0)
        with self._database.transaction() as tx:
            row = found(store.find(tx, video_id, lock=True))
            _check({**row._mapping, **changes}, set(changes))  # noqa: SLF001 - so SQLAlchemy names what is public
            trailer = changes.get("trailer_id")
            if trailer is not None and (trailer == row.id or store.find(tx, trailer) is None):
                raise _wrong(("trailer_id", "unknown_video", "There is no such other video"))
            if changes:
                row = store.change(tx, row.id, changes)
                told = {"video_id": str(row.id), "fields": sorted(changes)}
                store.record(tx, "video_changed", told, user_id=user_id, address=address)
        return self._films.shown(row)

    def delete(
        self, video_id: uuid.UUID | None, *, purge_now: bool, user_id: uuid.UUID, address: str = ""
    ) -> None:
        """Deletes a video; asked again, at most sooner. Raises VideoNotFoundError."""
        with self._database.transaction() as tx:
            row = found(store.to_delete(tx, video_id))
            at_once = purge_now or row.status != "ready"
            if row.deleted_at is None or at_once:
                delay = timedelta() if at_once else PURGED_AFTER
                store.delete(tx, row.id, delay=delay)
                told = {"video_id": str(row.id), "purge": "now" if at_once else "later"}
                store.record(tx, "video_deleted", told, user_id=user_id, address=address)
        if at_once:
            enqueue(self._tasks, PURGE_VIDEO, row.id)


def _check(video: Mapping[str, Any], changed: set[str]) -> None:
    """What a video would be, as a whole: refused here, where the field can be named.

    Raises:
        InvalidRequestError: naming the fields at fault.
    """
    errors = []
    begin: datetime | None = video["available_from"]
    end: datetime | None = video["available_until"]
    if begin and end and end <= begin:
        field = "available_until" if "available_until" in changed else "available_from"
        errors.append((field, "out_of_range", "available_until should be after available_from"))
    if video["series"] is None:
        errors += [
            (name, "without_series", "needs a series")
            for name in ("season", "episode")
            if video[name] is not None
        ]
    if (video["price_amount"] is None) != (video["price_currency"] is None):
        missing = "price_amount" if video["price_amount"] is None else "price_currency"
        errors.append((missing, "required", "A price has an amount and a currency"))
    if video["rental_hours"] is not None and video["price_amount"] is None:
        errors.append(("rental_hours", "without_price", "needs a price"))
    if errors:
        raise _wrong(*errors)


def _wrong(*errors: tuple[str, str, str]) -> InvalidRequestError:
    return InvalidRequestError(errors=[FieldError(*error) for error in errors])


def change_video(management: Management, call: Call) -> Answer:
    user_id = call.user().user_id
    video = management.change(asked(call), call.body, user_id=user_id, address=call.address)
    return Answer(200, {"video": video}, private=True)


def delete_video(management: Management, call: Call) -> Answer:
    purge = call.query.get("purge")
    if purge not in (None, "now"):
        raise _wrong(("purge", "unknown_value", "should be now, or left out"))
    user_id = call.user().user_id
    management.delete(asked(call), purge_now=purge == "now", user_id=user_id, address=call.address)
    return Answer(204)
