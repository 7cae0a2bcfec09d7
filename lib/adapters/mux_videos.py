"""Mux as `Videos`, by its SDK, which is loaded with the first call."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lib.adapters.video_answers import understood
from lib.config import MuxSettings
from lib.errors import UnavailableError
from lib.video.facts import identifier
from lib.video.mux_objects import of_asset, of_upload
from lib.video.ports import Progress, Upload

if TYPE_CHECKING:
    import mux_python

# The SDK waits for ever unless told otherwise on each call: seconds to connect, to answer.
TIMEOUT_SECONDS = (3, 8)
UPLOAD_LIFE = timedelta(hours=6)
_REFUSED = object()


@dataclass(frozen=True, slots=True)
class _Clients:
    uploads: "mux_python.DirectUploadsApi"
    assets: "mux_python.AssetsApi"


class MuxVideos:
    """Direct uploads at Mux.

    Args:
        cors_origin: from where a browser may send the file.
        seconds: to connect, and to answer in full.
    """

    def __init__(
        self, settings: MuxSettings, cors_origin: str, seconds: tuple[float, float] = TIMEOUT_SECONDS
    ) -> None:
        self._seconds = seconds
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
        created = self._asked(self._clients().uploads.create_direct_upload, wanted)
        with understood():
            return Upload(identifier(created["id"]), "put", str(created["url"]), expires_at)

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
            upload = self._asked(clients.uploads.get_direct_upload, upload_id, none=(404,))
            with understood():
                found = Progress("removed") if upload is None else of_upload(upload)
            if found.asset_id is None:
                return found
            asset_id = found.asset_id
        asset = self._asked(clients.assets.get_asset, asset_id, none=(404,))
        with understood():
            return Progress("removed", asset_id) if asset is None else of_asset(asset)

    def delete(self, *, upload_id: str, asset_id: str | None) -> bool:
        clients = self._clients()
        if asset_id is None:
            # One that still waits is closed; one that was not waiting any more (403) has an asset by now.
            self._called(clients.uploads.cancel_direct_upload, upload_id, none=(403, 404))
            upload = self._asked(clients.uploads.get_direct_upload, upload_id, none=(404,))
            if upload is None:
                return False
            with understood():
                asset_id = of_upload(upload).asset_id
        # What it answers to a deletion is nothing.
        return (
            asset_id is None
            or self._called(clients.assets.delete_asset, asset_id, none=(404,)) is not _REFUSED
        )

    def _clients(self) -> _Clients:
        import certifi
        import mux_python

        from lib.adapters.bounded_http import bounded_pools

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
                # In place of the SDK's own, which bound neither a whole answer nor its size.
                client.rest_client.pool_manager = bounded_pools(
                    self._seconds[1], retries=0, ca_certs=certifi.where()
                )
                self._made = _Clients(mux_python.DirectUploadsApi(client), mux_python.AssetsApi(client))
            return self._made

    def _asked(self, call: Callable[..., Any], *arguments: object, none: tuple[int, ...] = ()) -> Any:
        """What one call's answer tells of the thing asked for, as a dict; None where it was refused with a status of
        `none`, and only there: who answers nothing at all has not said that a film is gone."""
        answer = self._called(call, *arguments, none=none)
        with understood():
            return None if answer is _REFUSED else answer.data.to_dict()

    def _called(self, call: Callable[..., Any], *arguments: object, none: tuple[int, ...] = ()) -> Any:
        """One call's answer; `_REFUSED` where Mux refuses with a status of `none`.

        Raises:
            UnavailableError: no answer in time, none that makes sense, a 5xx, or asked to slow down.
            mux_python.ApiException: any other refusal: a fault of ours.
        """
        import mux_python
        import urllib3

        try:
            with understood():
                return call(*arguments, _request_timeout=self._seconds)
        except urllib3.exceptions.HTTPError as error:
            raise UnavailableError("The video provider is out of reach") from error
        except mux_python.ApiException as error:
            if error.status == 429 or error.status >= 500:
                raise UnavailableError("The video provider is out of reach", retry_after=5) from error
            if error.status in none:
                return _REFUSED
            raise
