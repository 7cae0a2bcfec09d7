"""Cloudflare Stream as `Videos`: six calls by `requests`, which is loaded with the first.

Its SDK is 105 MB and takes 0.3 s to import.
"""

import base64
import threading
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lib.adapters.video_answers import understood
from lib.config import CloudflareSettings
from lib.errors import FieldError, InvalidRequestError, UnavailableError
from lib.video.cloudflare_objects import of_video
from lib.video.facts import identifier
from lib.video.ports import Progress, Upload
from lib.web.operation import rfc3339

if TYPE_CHECKING:
    import requests

# Seconds to connect, to answer.
TIMEOUT_SECONDS = (3, 8)
UPLOAD_LIFE = timedelta(hours=6)
# A form of more than 200 MB is refused, and it is more than the file in it: its boundaries, the file's name.
LARGEST_FORM = 200_000_000 - 65_536
# Reserved in the account's storage until the film's own length is known.
LONGEST_FILM_SECONDS = 6 * 3600


class CloudflareVideos:
    """Direct uploads at Cloudflare Stream: a form for small files, tus for others.

    `creator` is our video's id and comes back in webhooks.
    """

    def __init__(self, settings: CloudflareSettings, seconds: tuple[float, float] = TIMEOUT_SECONDS) -> None:
        self._seconds = seconds
        self._account = f"{settings.api_base}/accounts/{settings.account_id}/stream"
        self._token = settings.api_token
        self._lock = threading.Lock()
        self._session: requests.Session | None = None

    def create_upload(self, *, video_id: uuid.UUID, title: str, size: int | None) -> Upload:
        expires_at = datetime.now(UTC) + UPLOAD_LIFE
        if size is not None and size > LARGEST_FORM:
            return self._tus(video_id, title, size, expires_at)
        wanted = {
            "maxDurationSeconds": LONGEST_FILM_SECONDS,
            "requireSignedURLs": True,
            "creator": str(video_id),
            "meta": {"name": title},
            "expiry": rfc3339(expires_at),
        }
        made = _result(self._call("POST", "/direct_upload", json=wanted))
        with understood():
            return Upload(identifier(made["uid"]), "form", _address(made["uploadURL"]), expires_at)

    def _tus(self, video_id: uuid.UUID, title: str, size: int, expires_at: datetime) -> Upload:
        metadata = {
            "maxDurationSeconds": str(LONGEST_FILM_SECONDS),
            "requiresignedurls": None,
            "expiry": rfc3339(expires_at),
            "name": title,
        }
        made = self._call(
            "POST",
            "?direct_user=true",
            expected=(413,),
            headers={
                "Tus-Resumable": "1.0.0",
                "Upload-Length": str(size),
                "Upload-Creator": str(video_id),
                "Upload-Metadata": ",".join(
                    name if value is None else f"{name} {base64.b64encode(value.encode()).decode()}"
                    for name, value in metadata.items()
                ),
            },
        )
        if made.status_code == 413:
            # 30 GB, unless Cloudflare has agreed to more (developers.cloudflare.com/stream/faq).
            raise InvalidRequestError(
                errors=[FieldError("size", "too_large", "Cloudflare Stream takes no file of that size")]
            )
        with understood():
            place = _address(made.headers["Location"])
            return Upload(identifier(made.headers["stream-media-id"]), "tus", place, expires_at)

    def progress(self, *, upload_id: str, asset_id: str | None) -> Progress:
        found = self._call("GET", f"/{upload_id}", expected=(404,))
        if found.status_code == 404:
            return Progress("removed", asset_id)
        video = _result(found)
        with understood():
            return self._progress(upload_id, video)

    def _progress(self, upload_id: str, video: Any) -> Progress:
        if video["status"]["state"] != "ready":
            return of_video(video)
        captions = self._tracks(f"/{upload_id}/captions")
        audio = self._tracks(f"/{upload_id}/audio")
        # Sound has no language there, but a label of its own for each.
        return of_video(
            video, (each.get("language") for each in captions), (each.get("label") for each in audio)
        )

    def _tracks(self, path: str) -> list[dict[str, Any]]:
        """What a list of captions or sound has that can be played by now."""
        found = _result(self._call("GET", path)) or []
        listed: list[dict[str, Any]] = found.get("audio", []) if isinstance(found, dict) else found
        return [each for each in listed if each.get("status") in (None, "ready")]

    def delete(self, *, upload_id: str, asset_id: str | None) -> bool:  # noqa: ARG002 - one id stands for both
        return self._call("DELETE", f"/{upload_id}", expected=(404,)).status_code != 404

    def _call(
        self, method: str, path: str, *, expected: Sequence[int] = (), **options: Any
    ) -> "requests.Response":
        """One request; a refusal that is expected is an answer too.

        Raises:
            UnavailableError: no answer in time, a 5xx, or asked to slow down.
            requests.HTTPError: any other refusal: a fault of ours.
        """
        import requests

        try:
            answer = self._connected().request(
                method, self._account + path, timeout=self._seconds, allow_redirects=False, **options
            )
        except requests.RequestException as error:
            raise UnavailableError("The video provider is out of reach") from error
        if answer.status_code == 429 or answer.status_code >= 500:
            raise UnavailableError("The video provider is out of reach", retry_after=5)
        if answer.status_code not in expected:
            answer.raise_for_status()
        return answer

    def _connected(self) -> "requests.Session":
        from lib.adapters.bounded_http import bounded_session

        with self._lock:
            if self._session is None:
                self._session = bounded_session(self._seconds[1])
                self._session.headers["Authorization"] = f"Bearer {self._token}"
            return self._session


def _result(answer: "requests.Response") -> Any:
    """What Cloudflare wraps its answers around."""
    with understood():
        return answer.json()["result"]


def _address(value: object) -> str:
    if not isinstance(value, str) or not value.startswith(("https://", "http://")):
        raise ValueError("not an address")
    return value
