"""Mux as `Videos`, by its SDK, which is loaded with the first upload."""

import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lib.config import MuxSettings
from lib.errors import UnavailableError
from lib.video.ports import Upload

if TYPE_CHECKING:
    import mux_python

# The SDK waits for ever unless told otherwise on each call: seconds to connect, to answer.
TIMEOUT_SECONDS = (3, 8)
UPLOAD_LIFE = timedelta(hours=6)


class MuxVideos:
    """Direct uploads at Mux.

    Args:
        cors_origin: from where a browser may send the file.
    """

    def __init__(self, settings: MuxSettings, cors_origin: str) -> None:
        self._settings = settings
        self._cors_origin = cors_origin
        self._lock = threading.Lock()
        self._uploads: mux_python.DirectUploadsApi | None = None

    def create_upload(self, *, video_id: uuid.UUID, title: str) -> Upload:
        import mux_python
        import urllib3

        wanted = mux_python.CreateUploadRequest(
            cors_origin=self._cors_origin,
            timeout=int(UPLOAD_LIFE.total_seconds()),
            new_asset_settings=mux_python.CreateAssetRequest(
                playback_policies=[mux_python.PlaybackPolicy.SIGNED],
                passthrough=str(video_id),
                meta=mux_python.AssetMetadata(title=title, external_id=str(video_id)),
            ),
        )
        expires_at = datetime.now(UTC) + UPLOAD_LIFE
        try:
            created = self._connected().create_direct_upload(wanted, _request_timeout=TIMEOUT_SECONDS).data
        except urllib3.exceptions.HTTPError as error:
            raise UnavailableError("The video provider is out of reach") from error
        except mux_python.ApiException as error:
            if error.status == 429 or error.status >= 500:
                raise UnavailableError("The video provider is out of reach", retry_after=5) from error
            raise
        return Upload(created.id, "put", created.url, expires_at)

    def _connected(self) -> "mux_python.DirectUploadsApi":
        import mux_python

        with self._lock:
            if self._uploads is None:
                configuration = mux_python.Configuration(
                    username=self._settings.token_id, password=self._settings.token_secret
                )
                if self._settings.api_base:
                    configuration.host = self._settings.api_base
                self._uploads = mux_python.DirectUploadsApi(mux_python.ApiClient(configuration))
            return self._uploads
