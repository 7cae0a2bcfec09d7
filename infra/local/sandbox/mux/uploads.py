"""Direct uploads: the objects, and the resumable protocol their URLs speak."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from infra.local.sandbox.media.ingest import Ingest
from infra.local.sandbox.mux.assets import Assets
from infra.local.sandbox.mux.events import Events
from infra.local.sandbox.mux.identifiers import new_id
from infra.local.sandbox.mux.refusals import MuxError, invalid_parameters, not_found
from infra.local.sandbox.state import Document, State

_UPLOAD = "mux.upload"
_URL = "mux.upload_url"
_PUBLIC = ("id", "status", "timeout", "url", "cors_origin", "new_asset_settings", "asset_id", "test")
_MOST_BYTES = 2 * 1024**3
_SECONDS_BETWEEN_LOOKS = 5
_CONTENT_RANGE = re.compile(r"bytes (?:(?P<first>\d{1,15})-(?P<last>\d{1,15})|\*)/(?P<total>\d{1,15}|\*)")


@dataclass(frozen=True)
class ContentRange:
    """`bytes first-last/total`; a status query (`bytes */total`) has neither first nor last."""

    first: int | None
    last: int | None
    total: int | None

    @classmethod
    def parse(cls, header: str) -> "ContentRange":
        """Read the header.

        Raises:
            MuxError: 400.
        """
        found = _CONTENT_RANGE.fullmatch(header)
        if found is None:
            raise invalid_parameters(f"Content-Range cannot be understood: {header!r}")
        first, last, total = (
            None if value in (None, "*") else int(value) for value in found.group("first", "last", "total")
        )
        if first is not None and last is not None and (last < first or (total is not None and last >= total)):
            raise invalid_parameters(f"Content-Range contradicts itself: {header!r}")
        return cls(first, last, total)


@dataclass(frozen=True)
class Progress:
    """How far an upload is: bytes held, and whether that is all of them."""

    received: int
    complete: bool


class Uploads:
    """The environment's direct uploads. The bytes held are the size of the file on disk, nothing else."""

    def __init__(
        self,
        state: State,
        events: Events,
        assets: Assets,
        ingest: Ingest,
        *,
        folder: Path,
        url_prefix: str,
        clock: Callable[[], float],
    ) -> None:
        """Args:
        folder: Where the files are gathered, each named after its upload.
        url_prefix: What an upload's URL begins with; its secret follows.
        clock: Current time in Unix seconds.
        """
        self._state = state
        self._events = events
        self._assets = assets
        self._ingest = ingest
        self._folder = folder
        self._url_prefix = url_prefix
        self._clock = clock
        self._writing: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def create(self, wanted: Document) -> Document:
        """A new upload, `waiting`; its URL needs no credentials and cannot be guessed."""
        upload_id, secret = new_id(), new_id(64)
        upload: Document = {
            "id": upload_id,
            "status": "waiting",
            "timeout": wanted.get("timeout", 3600),
            "url": f"{self._url_prefix}/{secret}",
            "new_asset_settings": wanted.get("new_asset_settings", {}),
            "created_at": self._clock(),
            "total": None,
        }
        upload |= {name: wanted[name] for name in ("cors_origin", "test") if name in wanted}
        with self._state.transaction():
            self._state.put(_URL, secret, {"upload_id": upload_id})
            self._save(upload, "video.upload.created")
        return _public(upload)

    def get(self, upload_id: str) -> Document:
        """The upload as the API shows it.

        Raises:
            MuxError: 404.
        """
        return _public(self._current(upload_id))

    def all(self) -> list[Document]:
        """Every upload, newest first."""
        return [_public(self._timed(upload)) for upload in reversed(self._state.all(_UPLOAD))]

    def cancel(self, upload_id: str) -> Document:
        """Close an upload that is still waiting.

        Raises:
            MuxError: 404; 403 when it is not waiting any more.
        """
        upload = self._current(upload_id)
        if upload["status"] != "waiting":
            raise MuxError(403, "invalid_state", f"The upload is {upload['status']}, not waiting.")
        upload["status"] = "cancelled"
        self._save(upload, "video.upload.cancelled")
        self._drop_file(upload_id)
        return _public(upload)

    def of_url(self, secret: str) -> Document:
        """The upload, with all that is known of it, whose URL ends in this secret.

        Raises:
            MuxError: 404.
        """
        found = self._state.get(_URL, secret)
        if found is None:
            raise not_found()
        return self._current(found["upload_id"])

    async def expire(self) -> None:
        """Time out what was not uploaded in time, for ever."""
        while True:
            for upload in self._state.all(_UPLOAD):
                self._timed(upload)
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)

    def progress(self, upload: Document, span: ContentRange) -> Progress:
        """The answer to a status query; it also completes an upload whose last byte came just before a crash.

        Raises:
            MuxError: 400 for another total; 410 for an upload that is over without a file.
        """
        if upload["status"] != "asset_created":
            self._check_open(upload)
            self._check_total(upload, span)
            if upload["id"] not in self._writing and upload["total"] == self._received(upload["id"]):
                self._complete(upload)
        complete = upload["status"] == "asset_created"
        return Progress(upload["total"] if complete else self._received(upload["id"]), complete)

    async def receive(
        self, upload: Document, span: ContentRange | None, length: int | None, body: AsyncIterator[bytes]
    ) -> Progress:
        """Take one PUT: a chunk, or without a span the whole file. What arrives of a broken one is kept.

        Args:
            upload: From `of_url`.
            span: The parsed Content-Range, if there was one.
            length: Content-Length, None if not told.
            body: The bytes.

        Raises:
            MuxError: 400 for lengths that do not fit, 409 for a finished upload, 410 for one that is over
                without a file, 413, 416 for a chunk beyond what is held, 503 while another PUT is under way.
        """
        whole = span is None
        span = span or ContentRange(0, None if length is None else length - 1, length)
        if upload["status"] == "asset_created":
            # The answer to the last chunk may have been lost, and the client sends it once more.
            if not whole and span.total == upload["total"] and span.last == upload["total"] - 1:
                return Progress(upload["total"], True)
            raise MuxError(409, "conflict", "The upload is complete.")
        self._check_open(upload)
        if max(span.total or 0, span.last or 0) > _MOST_BYTES:
            raise _too_large()
        if whole:
            upload["total"] = None
        else:
            self._check_total(upload, span)
        size = None if span.last is None or span.first is None else span.last - span.first + 1
        if length is not None and size is not None and length != size:
            raise invalid_parameters(f"Content-Range speaks of {size} bytes, Content-Length of {length}")
        with self._alone(upload["id"]):
            await self._write(upload, span, size, body, afresh=whole)
            # Bytes take their time; meanwhile the upload may have been cancelled or timed out.
            self._check_open(self._current(upload["id"]))
            received = self._received(upload["id"])
            if span.total is None and whole:
                upload["total"] = received
            if upload["total"] != received:
                return Progress(received, False)
            self._complete(upload)
            return Progress(received, True)

    async def _write(
        self,
        upload: Document,
        span: ContentRange,
        size: int | None,
        body: AsyncIterator[bytes],
        *,
        afresh: bool,
    ) -> None:
        first, held = span.first or 0, 0 if afresh else self._received(upload["id"])
        if first > held:
            raise MuxError(
                416,
                "invalid_range",
                f"The chunk begins at byte {first}, but only {held} bytes are held.",
                headers=range_header(held),
            )
        if span.total is not None and upload["total"] is None:
            upload["total"] = span.total
            self._state.put(_UPLOAD, upload["id"], upload)
        most = _MOST_BYTES if size is None else size
        position = first
        with (self._folder / upload["id"]).open("wb" if afresh else "ab") as file:
            async for piece in body:
                if position + len(piece) - first > most:
                    file.truncate(held)
                    if size is None:
                        raise _too_large()
                    raise invalid_parameters("the body is longer than Content-Range says")
                # Bytes held already are skipped: a chunk is sent again when its answer was lost.
                file.write(piece[max(0, held - position) :])
                position += len(piece)

    def _alone(self, upload_id: str) -> "_Alone":
        if upload_id in self._writing:
            raise MuxError(
                503, "unavailable", "Another PUT to this URL is under way.", headers={"Retry-After": "1"}
            )
        return _Alone(self._writing, upload_id)

    def _complete(self, upload: Document) -> None:
        """All bytes are there: the asset begins."""
        with self._state.transaction():
            asset = self._assets.create(upload)
            upload.update(status="asset_created", asset_id=asset["id"])
            self._save(upload, "video.upload.asset_created")
            self._events.tell("video.asset.created", "asset", asset)
        self._ingest.add(asset["id"])

    def _current(self, upload_id: str) -> Document:
        upload = self._state.get(_UPLOAD, upload_id)
        if upload is None:
            raise not_found()
        return self._timed(upload)

    def _timed(self, upload: Document) -> Document:
        """The upload, timed out if it is time. Mux has no event for that: whoever cares has to ask."""
        if upload["status"] == "waiting" and self._clock() >= upload["created_at"] + upload["timeout"]:
            upload["status"] = "timed_out"
            self._state.put(_UPLOAD, upload["id"], upload)
            self._drop_file(upload["id"])
        return upload

    def _check_open(self, upload: Document) -> None:
        if upload["status"] != "waiting":
            raise MuxError(410, "gone", f"The upload is {upload['status']}.")

    def _check_total(self, upload: Document, span: ContentRange) -> None:
        if span.total is not None and upload["total"] not in (None, span.total):
            raise invalid_parameters(f"the total was {upload['total']} bytes before, now it is {span.total}")

    def _received(self, upload_id: str) -> int:
        file = self._folder / upload_id
        return file.stat().st_size if file.exists() else 0

    def _drop_file(self, upload_id: str) -> None:
        (self._folder / upload_id).unlink(missing_ok=True)

    def _save(self, upload: Document, event_type: str) -> None:
        with self._state.transaction():
            self._state.put(_UPLOAD, upload["id"], upload)
            self._events.tell(event_type, "upload", _public(upload))


class _Alone:
    """Holds an upload for one PUT."""

    def __init__(self, busy: set[str], upload_id: str) -> None:
        self._busy = busy
        self._upload_id = upload_id

    def __enter__(self) -> None:
        self._busy.add(self._upload_id)

    def __exit__(self, *_: object) -> None:
        self._busy.discard(self._upload_id)


def range_header(received: int) -> dict[str, str]:
    """`Range` as the protocol tells what is held; nothing held, no header."""
    return {"Range": f"bytes=0-{received - 1}"} if received else {}


def _public(upload: Document) -> Document:
    return {name: upload[name] for name in _PUBLIC if name in upload}


def _too_large() -> MuxError:
    return MuxError(413, "too_large", f"An upload has at most {_MOST_BYTES} bytes.")
