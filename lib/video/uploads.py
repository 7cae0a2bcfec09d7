"""upload-asset: an admin announces a film and gets a place to send its file to."""

import uuid
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints
from sqlalchemy import Row

from lib.database.engine import Database
from lib.errors import FieldError, InvalidRequestError, InvalidTokenError
from lib.video import store
from lib.video.ports import Upload, Videos
from lib.web.bodies import WHOLE, Body, Text, Words
from lib.web.operation import Answer, Call, Operation, Who, rfc3339


class UploadAssetBody(Body):
    title: Words
    description: Annotated[Text, StringConstraints(max_length=5000)] = ""
    level: Annotated[int, Field(ge=0, le=1000), WHOLE] = 1
    provider: Literal["mux", "cloudflare"] | None = None
    filename: Annotated[Text, StringConstraints(min_length=1, max_length=255)] | None = None
    publish: bool = True
    size: Annotated[int, Field(ge=1, le=2**40), WHOLE] | None = None
    """Bytes."""


UPLOAD_ASSET = Operation(
    function="upload-asset",
    method="POST",
    tag="Video",
    summary="Announce a video and get a place to upload its file to (admin)",
    who=Who.ADMIN,
    body=UploadAssetBody,
    answers={201: "lib.video.answers:UploadAnswer"},
    idempotent=True,
)


class Uploads:
    """Announces videos.

    Args:
        providers: those that are set up; the first is used where the body names none.
    """

    def __init__(self, database: Database, providers: Mapping[str, Videos]) -> None:
        self._database = database
        self._providers = providers

    def announce(
        self,
        user_id: uuid.UUID,
        body: UploadAssetBody,
        *,
        attempt: uuid.UUID | None = None,
        address: str = "",
    ) -> tuple[Row[Any], Upload]:
        """A video that waits for its file.

        The provider is asked first and the row written after: a crash in between leaves an upload that
        nobody knows, which ends by itself, and never a row that waits for nothing.

        Args:
            attempt: becomes the video's id: announced again after a crash that left a row and no answer, it is the
                same video, with a new place.

        Raises:
            InvalidRequestError: the provider is not set up here, or takes no file of that size.
            UnavailableError: it is out of reach.
            InvalidTokenError: the account was deleted while the provider was asked.
        """
        name: str = body.provider or next(iter(self._providers))
        provider = self._providers.get(name)
        if provider is None:
            raise InvalidRequestError(
                errors=[FieldError("provider", "not_configured", "This provider is not set up")]
            )
        video_id = attempt or uuid.uuid4()
        upload = provider.create_upload(video_id=video_id, title=body.title, size=body.size)
        with self._database.transaction() as tx:
            if not store.is_there(tx, user_id):
                raise InvalidTokenError
            video = store.add(
                tx,
                video_id=video_id,
                title=body.title,
                description=body.description,
                level=body.level,
                published=body.publish,
                provider=name,
                created_by=user_id,
                upload=upload,
            )
            if video is not None and video.created_at == video.updated_at:
                told = {"video_id": str(video_id), "provider": name}
                store.record(tx, "video_announced", told, user_id=user_id, address=address)
        if video is None:
            # The key was used before, longer ago than it is kept.
            return self.announce(user_id, body, address=address)
        return video, upload


def upload_asset(uploads: Uploads, call: Call) -> Answer:
    video, upload = uploads.announce(
        call.user().user_id, call.body, attempt=call.attempt, address=call.address
    )
    call.notes["video_id"] = str(video.id)
    body = {
        "video": {
            "id": str(video.id),
            "title": video.title,
            "status": video.status,
            "provider": video.provider,
            "level": video.level,
            "published": video.published,
        },
        "upload": {
            "protocol": upload.protocol,
            "url": upload.url,
            "expires_at": rfc3339(upload.expires_at),
        },
    }
    return Answer(201, body, private=True)
