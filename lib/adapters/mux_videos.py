"""Mux as `Videos`, by its SDK, which is loaded with the first call."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lib.config import MuxSettings
from lib.errors import UnavailableError
from lib.video.mux_objects import of_asset, of_upload
from lib.video.ports import Progress, Upload

if TYPE_CHECKING:
    import mux_python

# The SDK waits for ever unless told otherwise on each call: seconds to connect, to answer.
TIMEOUT_SECONDS = (3, 8)
UPLOAD_LIFE = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class _Clients:
    uploads: "mux_python.DirectUploadsApi"
    assets: "mux_python.AssetsApi"


class MuxVideos:
    """Direct uploads at Mux.

    Args:
        cors_origin: from where a browser may send the file.
    """

    def __init__(self, settings: MuxSettings, cors_origin: str) -> None:
        self._settings = settings
        self._cors_origin = cors_origin
        self._lock = threading.Lock()
        self._made: _Clients | None = None

    def create_upload(self, *, video_id: uuid.UUID, title: str, size: int | None) -> Upload:  # noqa: ARG002 - all sizes are sent alike
        import mux_python

        wanted = mux_python.CreateUploadRequest(
            cors_origin=self._cors_origin,
            timeout=int(UPLOAD_LIFE.total_seconds()),
            new_asset_settings=mux_python.CreateAssetRequest(
                **self._policies(),
                passthrough=str(video_id),
                meta=mux_python.AssetMetadata(title=title, external_id=str(video_id)),
            ),
        )
        expires_at = datetime.now(UTC) + UPLOAD_LIFE
        created = _asked(self._clients().uploads.create_direct_upload, wanted).data
        return Upload(created.id, "put", created.url, expires_at)

    def _policies(self) -> dict[str, Any]:
        """Who may play it: tokens alone, or with DRM, where that is configured."""
        import mux_python

        configuration = self._settings.drm_configuration_id
        if configuration is None:
            return {"playback_policies": [mux_python.PlaybackPolicy.SIGNED]}
        protected = mux_python.CreatePlaybackIDRequest(policy="drm", drm_configuration_id=configuration)
        return {"advanced_playback_policies": [protected]}

    def progress(self, *, upload_id: str, asset_id: str | None) -> Progress:
        clients = self._clients()
        if asset_id is None:
            upload = _asked(clients.uploads.get_direct_upload, upload_id, none=(404,))
            found = Progress("removed") if upload is None else of_upload(upload.data.to_dict())
            if found.asset_id is None:
                return found
            asset_id = found.asset_id
        asset = _asked(clients.assets.get_asset, asset_id, none=(404,))
        return Progress("removed", asset_id) if asset is None else of_asset(asset.data.to_dict())

    def delete(self, *, upload_id: str, asset_id: str | None) -> bool:
        clients = self._clients()
        if asset_id is None:
            # One that still waits is closed; one that was not waiting any more (403) has an asset by now.
            _asked(clients.uploads.cancel_direct_upload, upload_id, none=(403, 404))
            upload = _asked(clients.uploads.get_direct_upload, upload_id, none=(404,))
            if upload is None:
                return False
            asset_id = of_upload(upload.data.to_dict()).asset_id
        # What it answers to a deletion is nothing.
        return (
            asset_id is None
            or _asked(clients.assets.delete_asset, asset_id, none=(404,), refused=False) is None
        )

    def _clients(self) -> _Clients:
        import mux_python

        with self._lock:
            if self._made is None:
                configuration = mux_python.Configuration(
                    username=self._settings.token_id, password=self._settings.token_secret
                )
                # urllib3 would ask three times more, each with the whole patience.
                configuration.retries = 0
                if self._settings.api_base:
                    configuration.host = self._settings.api_base
                client = mux_python.ApiClient(configuration)
                self._made = _Clients(mux_python.DirectUploadsApi(client), mux_python.AssetsApi(client))
            return self._made


def _asked(
    call: Callable[..., Any], *arguments: object, none: tuple[int, ...] = (), refused: Any = None
) -> Any:
    """One call's answer; `refused` where Mux refuses with a status of `none`.

    Raises:
        UnavailableError: no answer in time, a 5xx, or asked to slow down.
        mux_python.ApiException: any other refusal: a fault of ours.
    """
    import mux_python
    import urllib3

    try:
        return call(*arguments, _request_timeout=TIMEOUT_SECONDS)
    except urllib3.exceptions.HTTPError as error:
        raise UnavailableError("The video provider is out of reach") from error
    except mux_python.ApiException as error:
        if error.status == 429 or error.status >= 500:
            raise UnavailableError("The video provider is out of reach", retry_after=5) from error
        if error.status in none:
            return refused
        raise
