"""Captions and further sound of an asset.

What Mux would fetch from the URL is taken to be there and good: the sandbox fetches nothing. Its playlists have the
captions, which say their own name all through the film, and none of the sound.
"""

from infra.local.sandbox.mux.assets import Assets
from infra.local.sandbox.mux.identifiers import new_id
from infra.local.sandbox.mux.refusals import invalid_parameters, not_found
from infra.local.sandbox.state import Document

_OF_TEXT = ("text_type", "closed_captions")


class Tracks:
    """Adds tracks to assets and takes them away, and tells of both."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    def add(self, asset_id: str, wanted: Document) -> Document:
        """A new track, `preparing` in the answer and ready right after.

        Raises:
            MuxError: 404; 400 where a part is missing or does not fit, or the asset is not ready.
        """
        asset, type_ = self._assets.get(asset_id), wanted.get("type")
        needed = ["url", "type", "language_code", *(["text_type"] if type_ == "text" else [])]
        if missing := [name for name in needed if name not in wanted]:
            raise invalid_parameters(*(f"{name} is required" for name in missing))
        if type_ == "audio" and (strange := [name for name in _OF_TEXT if name in wanted]):
            raise invalid_parameters(*(f"{name} is of text tracks only" for name in strange))
        if not wanted["url"].startswith(("http://", "https://")):
            raise invalid_parameters("url is none that could be fetched")
        if asset["status"] != "ready":
            raise invalid_parameters(f"the asset is {asset['status']}, not ready")
        track = {name: value for name, value in wanted.items() if name != "url"}
        track |= {"id": new_id(), "name": wanted.get("name", wanted["language_code"])}
        if any((each["type"], each.get("name")) == (type_, track["name"]) for each in asset["tracks"]):
            raise invalid_parameters(f"there is a {type_} track of this name")
        if type_ == "text":
            track |= {"text_source": "uploaded", "closed_captions": wanted.get("closed_captions", False)}
        else:
            track |= {"primary": False}
        preparing, ready = track | {"status": "preparing"}, track | {"status": "ready"}
        self._assets.keep_tracks(
            asset_id,
            [*asset["tracks"], ready],
            ("video.asset.track.created", preparing),
            ("video.asset.track.ready", ready),
        )
        return preparing

    def remove(self, asset_id: str, track_id: str) -> None:
        """Take a track away.

        Raises:
            MuxError: 404; 400 for the picture, or the sound of the file itself.
        """
        tracks = self._assets.get(asset_id).get("tracks", [])
        gone = next((track for track in tracks if track["id"] == track_id), None)
        if gone is None:
            raise not_found()
        if gone["type"] == "video" or gone.get("primary"):
            raise invalid_parameters("this track cannot be deleted")
        rest = [track for track in tracks if track["id"] != track_id]
        self._assets.keep_tracks(asset_id, rest, ("video.asset.track.deleted", gone))
