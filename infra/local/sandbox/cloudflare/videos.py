"""The account's videos: one document each, from the place to upload to until the film."""

import json
import secrets
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from infra.local.sandbox.cloudflare.refusals import CloudflareError, bad_request, not_found
from infra.local.sandbox.deliveries import Channel, Deliveries
from infra.local.sandbox.media.transcode import Media
from infra.local.sandbox.state import Document, State

#: Name of the channel in `Deliveries`.
CHANNEL = "cloudflare"
_VIDEO = "cloudflare.video"
# What a document knows beside what the API shows.
_OWN = ("upload", "tracks")


class Videos:
    """Videos and their files. `upload` of a document is how its file comes: protocol, expiry, length; `tracks` its
    captions and further sound."""

    def __init__(
        self,
        state: State,
        deliveries: Deliveries,
        channel: Channel,
        folder: Path,
        stream_base: str,
        clock: Callable[[], float],
    ) -> None:
        """Args:
        folder: Of all files: uploads below `uploads/`, films below `films/`.
        stream_base: What playback addresses begin with.
        """
        self._state = state
        self._deliveries = deliveries
        self._folder = folder
        self._stream_base = stream_base
        self._clock = clock
        for name in ("uploads", "films"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        deliveries.register(channel)

    def create(self, *, wanted: Document, upload: Document) -> Document:
        """A video that waits for its file."""
        uid, now = secrets.token_hex(16), self._now()
        video: Document = {
            "uid": uid,
            "creator": wanted.get("creator"),
            "thumbnail": f"{self._stream_base}/{uid}/thumbnails/thumbnail.jpg",
            "thumbnailTimestampPct": wanted.get("thumbnailTimestampPct", 0),
            "readyToStream": False,
            "status": {"state": "pendingupload", "errorReasonCode": "", "errorReasonText": ""},
            "meta": wanted.get("meta", {}),
            "created": now,
            "modified": now,
            "size": -1,
            "preview": f"{self._stream_base}/{uid}/watch",
            "allowedOrigins": wanted.get("allowedOrigins", []),
            "requireSignedURLs": wanted.get("requireSignedURLs", False),
            "uploaded": None,
            "uploadExpiry": wanted.get("expiry"),
            "maxSizeBytes": None,
            "maxDurationSeconds": wanted["maxDurationSeconds"],
            "duration": -1,
            "input": {"width": -1, "height": -1},
            "playback": {
                "hls": f"{self._stream_base}/{uid}/manifest/video.m3u8",
                "dash": f"{self._stream_base}/{uid}/manifest/video.mpd",
            },
            "watermark": None,
            "upload": upload,
            "tracks": {},
        }
        self._save(video)
        return video

    def get(self, uid: str) -> Document:
        """All that is known of a video.

        Raises:
            CloudflareError: 404.
        """
        video = self._state.get(_VIDEO, uid)
        if video is None:
            raise not_found()
        return video

    def all(self) -> list[Document]:
        """Every video, newest first."""
        return self._state.all(_VIDEO)[::-1]

    def awaiting_file(self, uid: str, protocol: str) -> Document:
        """A video whose file may be sent now, in this way.

        Raises:
            CloudflareError: 404; 400 when a file is there already, or the place has expired.
        """
        video = self.get(uid)
        if video["upload"]["protocol"] != protocol:
            raise not_found()
        if video["status"]["state"] != "pendingupload":
            raise bad_request("the upload is complete")
        expiry = video["uploadExpiry"]
        if expiry is not None and datetime.fromisoformat(expiry).timestamp() <= self._clock():
            raise CloudflareError(403, 10000, "The upload URL has expired")
        return video

    def file_of(self, uid: str) -> Path:
        """Where the uploaded file is gathered."""
        return self._folder / "uploads" / uid

    def folder_of(self, uid: str) -> Path:
        """Where the film's files are once it is ready."""
        return self._folder / "films" / uid

    def uploaded(self, uid: str) -> None:
        """The file is there, whole."""
        now = self._now()
        size = self.file_of(uid).stat().st_size
        self._save(
            self.get(uid) | {"status": _state("queued"), "uploaded": now, "modified": now, "size": size}
        )

    def keep_tracks(self, uid: str, kind: str, tracks: list[Document]) -> None:
        """The video's `captions` or `audio` are these from now on. Cloudflare tells nobody of it.

        Raises:
            CloudflareError: 404; 400 when it is not ready.
        """
        video = self.get(uid)
        if video["status"]["state"] != "ready":
            raise bad_request("the video is not ready")
        self._save(video | {"tracks": video.get("tracks", {}) | {kind: tracks}})

    def delete(self, uid: str) -> None:
        """Forget a video and its files. Cloudflare tells nobody of it.

        Raises:
            CloudflareError: 404.
        """
        self.get(uid)
        self._state.delete(_VIDEO, uid)
        self.file_of(uid).unlink(missing_ok=True)
        shutil.rmtree(self.folder_of(uid), ignore_errors=True)

    # -- as a shelf, for `Ingest` --------------------------------------------------------------------------

    def waiting(self) -> list[str]:
        return [video["uid"] for video in self._state.all(_VIDEO) if video["status"]["state"] == "queued"]

    def source(self, uid: str) -> Path | None:
        video = self._state.get(_VIDEO, uid)
        return self.file_of(uid) if video and video["status"]["state"] == "queued" else None

    def finish(self, uid: str, media: Media, files: Path) -> None:
        if media.duration > self.get(uid)["maxDurationSeconds"]:
            self._failed(
                uid, "ERR_DURATION_EXCEED_CONSTRAINT", "The video is longer than was reserved for it."
            )
            return
        # There is one already if a crash came between the rename and the note that it is ready.
        shutil.rmtree(self.folder_of(uid), ignore_errors=True)
        files.rename(self.folder_of(uid))
        ready: Document = {
            "readyToStream": True,
            "status": {**_state("ready"), "pctComplete": "100.000000"},
            "duration": media.duration,
            "input": {"width": media.width, "height": media.height},
            "modified": self._now(),
        }
        self._tell(self.get(uid) | ready)

    def fail(self, uid: str, kind: str, message: str) -> None:
        self._failed(uid, "ERR_NON_VIDEO" if kind == "invalid_input" else "ERR_UNKNOWN", message)

    def _failed(self, uid: str, code: str, message: str) -> None:
        status = {"state": "error", "errorReasonCode": code, "errorReasonText": message}
        self._tell(self.get(uid) | {"status": status, "modified": self._now()})

    def _tell(self, video: Document) -> None:
        """Keep it and send the account's webhook: the whole video, without an id of the event or a type."""
        with self._state.transaction():
            self._save(video)
            self._deliveries.enqueue(
                CHANNEL,
                event_id=f"{video['uid']}-{video['status']['state']}",
                event_type=video["status"]["state"],
                body=json.dumps(shown(video)),
            )

    def _save(self, video: Document) -> None:
        self._state.put(_VIDEO, video["uid"], video)

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat().replace("+00:00", "Z")


def shown(video: Document) -> Document:
    """The video as the API and the webhook show it."""
    return {name: value for name, value in video.items() if name not in _OWN}


def _state(name: str) -> Document:
    return {"state": name, "errorReasonCode": "", "errorReasonText": ""}
