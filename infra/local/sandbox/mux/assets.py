"""Assets and their playback ids."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from infra.local.sandbox.media.transcode import Media
from infra.local.sandbox.mux.events import Events
from infra.local.sandbox.mux.identifiers import new_id
from infra.local.sandbox.mux.refusals import invalid_parameters, not_found
from infra.local.sandbox.state import Document, State

_ASSET = "mux.asset"
_PLAYBACK_ID = "mux.playback_id"
_MOST_PLAYBACK_IDS = 100


@dataclass(frozen=True)
class Playback:
    """What a playback id leads to."""

    id: str
    policy: str
    """`public`, `signed` or `drm`."""
    asset: Document

    @property
    def signed(self) -> bool:
        """Whether it takes a token to see it."""
        return self.policy != "public"


class Assets:
    """The environment's assets; each one's files lie in a folder of its own."""

    def __init__(
        self, state: State, events: Events, folder: Path, sources: Path, clock: Callable[[], float]
    ) -> None:
        """Args:
        folder: Where each asset's files get a folder.
        sources: Folder of the uploaded files, each named after its upload.
        """
        self._state = state
        self._events = events
        self._folder = folder
        self._sources = sources
        self._clock = clock
        folder.mkdir(parents=True, exist_ok=True)

    def folder_of(self, asset_id: str) -> Path:
        """Where the asset's files are once it is ready."""
        return self._folder / asset_id

    def create(self, upload: Document) -> Document:
        """The asset an upload asked for, `preparing`; called inside the upload's transaction."""
        wanted = upload["new_asset_settings"]
        policies = wanted.get("playback_policies") or wanted.get("playback_policy") or []
        ids = [{"policy": policy} for policy in policies] + wanted.get("advanced_playback_policies", [])
        asset: Document = {
            "id": new_id(),
            "status": "preparing",
            "created_at": str(int(self._clock())),
            "upload_id": upload["id"],
            "ingest_type": "on_demand_direct_upload",
            "playback_ids": [{"id": new_id(), **each} for each in ids],
            "progress": {"state": "ingesting", "progress": 0},
            "mp4_support": wanted.get("mp4_support", "none"),
            "master_access": wanted.get("master_access", "none"),
            "max_resolution_tier": wanted.get("max_resolution_tier", "1080p"),
            "encoding_tier": wanted.get("encoding_tier", "baseline"),
            "video_quality": wanted.get("video_quality", "basic"),
            "normalize_audio": wanted.get("normalize_audio", False),
        }
        asset |= {name: wanted[name] for name in ("passthrough", "meta") if name in wanted}
        if upload.get("test") or wanted.get("test"):
            asset["test"] = True
        self._state.put(_ASSET, asset["id"], asset)
        for playback_id in asset["playback_ids"]:
            self._state.put(_PLAYBACK_ID, playback_id["id"], playback_id | {"asset_id": asset["id"]})
        return asset

    def get(self, asset_id: str) -> Document:
        """The asset as the API shows it.

        Raises:
            MuxError: 404.
        """
        asset = self._state.get(_ASSET, asset_id)
        if asset is None:
            raise not_found()
        return asset

    def all(self) -> list[Document]:
        """Every asset, newest first."""
        return self._state.all(_ASSET)[::-1]

    def waiting(self) -> list[str]:
        """The assets still to be made, oldest first."""
        return [asset["id"] for asset in self._state.all(_ASSET) if asset["status"] == "preparing"]

    def source(self, asset_id: str) -> Path | None:
        """The uploaded file; None where the asset is made already, or was deleted while it waited."""
        asset = self._state.get(_ASSET, asset_id)
        if asset is None or asset["status"] != "preparing":
            return None
        return self._sources / str(asset["upload_id"])

    def update(self, asset_id: str, changes: Document) -> Document:
        """Change `passthrough`, `meta` or both; the parts of `meta` not named stay.

        Raises:
            MuxError: 404.
        """
        asset = self.get(asset_id)
        meta = asset.get("meta", {}) | changes.get("meta", {})
        return self._save(asset | changes | ({"meta": meta} if meta else {}), "video.asset.updated")

    def finish(self, asset_id: str, media: Media, files: Path) -> None:
        """The asset is `ready`: `files`, a folder on the same disk, becomes its own."""
        asset = self.get(asset_id)
        # There is one already if a crash came between the rename and the note that it is ready.
        shutil.rmtree(self.folder_of(asset_id), ignore_errors=True)
        files.rename(self.folder_of(asset_id))
        self._save(asset | _described(media), "video.asset.ready")

    def fail(self, asset_id: str, kind: str, message: str) -> None:
        """The file could not be made into a video: the asset is `errored`."""
        failed = {
            "status": "errored",
            "errors": {"type": kind, "messages": [message]},
            "progress": {"state": "errored", "progress": -1},
        }
        self._save(self.get(asset_id) | failed, "video.asset.errored")

    def delete(self, asset_id: str) -> None:
        """Forget the asset, its playback ids and its files, the uploaded one too.

        Raises:
            MuxError: 404.
        """
        asset = self.get(asset_id)
        with self._state.transaction():
            self._state.delete(_ASSET, asset_id)
            for playback_id in asset["playback_ids"]:
                self._state.delete(_PLAYBACK_ID, playback_id["id"])
            self._events.tell("video.asset.deleted", "asset", asset)
        shutil.rmtree(self.folder_of(asset_id), ignore_errors=True)
        (self._sources / asset["upload_id"]).unlink(missing_ok=True)

    def keep_tracks(self, asset_id: str, tracks: list[Document], *told: tuple[str, Document]) -> None:
        """The asset's tracks are these from now on; each of `told` is a type of event and the track it is of."""
        with self._state.transaction():
            self._state.put(_ASSET, asset_id, self.get(asset_id) | {"tracks": tracks})
            for event_type, track in told:
                self._events.tell(event_type, "track", track | {"asset_id": asset_id})

    def add_playback_id(self, asset_id: str, policy: str) -> Document:
        """A further playback id `{id, policy}`.

        Raises:
            MuxError: 404; 400 when there are too many.
        """
        asset = self.get(asset_id)
        if len(asset["playback_ids"]) >= _MOST_PLAYBACK_IDS:
            raise invalid_parameters(f"an asset has at most {_MOST_PLAYBACK_IDS} playback IDs")
        added = {"id": new_id(), "policy": policy}
        with self._state.transaction():
            self._state.put(_PLAYBACK_ID, added["id"], added | {"asset_id": asset_id})
            self._save(asset | {"playback_ids": [*asset["playback_ids"], added]}, "video.asset.updated")
        return added

    def playback_id(self, asset_id: str, playback_id: str) -> Document:
        """One playback id `{id, policy}` of the asset.

        Raises:
            MuxError: 404.
        """
        for each in self.get(asset_id)["playback_ids"]:
            if each["id"] == playback_id:
                return cast("Document", each)
        raise not_found()

    def remove_playback_id(self, asset_id: str, playback_id: str) -> None:
        """Take a playback id away; what was signed for it dies with it.

        Raises:
            MuxError: 404.
        """
        self.playback_id(asset_id, playback_id)
        asset = self.get(asset_id)
        rest = [each for each in asset["playback_ids"] if each["id"] != playback_id]
        with self._state.transaction():
            self._state.delete(_PLAYBACK_ID, playback_id)
            self._save(asset | {"playback_ids": rest}, "video.asset.updated")

    def playback(self, playback_id: str) -> Playback:
        """What a playback id leads to.

        Raises:
            MuxError: 404.
        """
        found = self._state.get(_PLAYBACK_ID, playback_id)
        if found is None:
            raise not_found()
        return Playback(playback_id, found["policy"], self.get(found["asset_id"]))

    def _save(self, asset: Document, event_type: str) -> Document:
        with self._state.transaction():
            self._state.put(_ASSET, asset["id"], asset)
            self._events.tell(event_type, "asset", asset)
        return asset


def _described(media: Media) -> Document:
    """What a finished asset says of its content, in Mux's terms."""
    tracks: list[Document] = [
        {
            "id": new_id(),
            "type": "video",
            "duration": media.duration,
            "max_width": media.width,
            "max_height": media.height,
            "max_frame_rate": media.frame_rate,
        }
    ]
    if media.has_audio:
        tracks.append(
            {
                "id": new_id(),
                "type": "audio",
                "status": "ready",
                "primary": True,
                "name": "Default",
                "language_code": "und",
                "duration": media.duration,
                "max_channels": 2,
                "max_channel_layout": "stereo",
            }
        )
    return {
        "status": "ready",
        "duration": media.duration,
        "aspect_ratio": media.aspect_ratio,
        "max_stored_resolution": "HD" if min(media.width, media.height) >= 720 else "SD",
        "resolution_tier": "720p",
        "max_stored_frame_rate": media.frame_rate,
        "tracks": tracks,
        "progress": {"state": "completed", "progress": 100},
    }
