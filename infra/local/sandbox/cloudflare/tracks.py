"""Captions and further sound of a video.

Captions are kept as they come, and are in the playlists; sound is taken to be behind its URL, for the sandbox fetches
nothing, and is in none. Cloudflare tells nobody of them: who wants to know asks.
"""

import re
import secrets
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from infra.local.sandbox.cloudflare.bodies import json_of, result
from infra.local.sandbox.cloudflare.refusals import CloudflareError, bad_request
from infra.local.sandbox.cloudflare.videos import Videos
from infra.local.sandbox.state import Document

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_LARGEST_CAPTIONS = 10_000_000


class Tracks:
    """`/captions` and `/audio` of a video."""

    def __init__(self, videos: Videos) -> None:
        self._videos = videos

    async def list_captions(self, request: Request) -> Response:
        return result(self._kept(request, "captions"))

    async def put_captions(self, request: Request) -> Response:
        """Captions in a language, in place of those there were."""
        language = request.path_params["language"]
        if not _LANGUAGE.fullmatch(language):
            raise bad_request("the language is no BCP 47 tag")
        if int(request.headers.get("content-length", "0")) > _LARGEST_CAPTIONS:
            raise CloudflareError(413, 10005, "Captions have at most 10 MB")
        async with request.form(max_files=1, max_fields=1) as parts:
            file = parts.get("file")
            text = await file.read() if isinstance(file, UploadFile) else b""
        if not text.lstrip(b"\xef\xbb\xbf").startswith(b"WEBVTT"):
            raise bad_request("the form has no part named file that is WebVTT")
        made = {"language": language, "label": language, "generated": False, "status": "ready"}
        others = [each for each in self._kept(request, "captions") if each["language"] != language]
        self._keep(request, "captions", [*others, made])
        folder = self._videos.folder_of(request.path_params["uid"])
        (folder / f"captions-{language}.vtt").write_bytes(text)
        return result(made)

    async def delete_captions(self, request: Request) -> Response:
        self._without(request, "captions", "language", request.path_params["language"])
        return result("")

    async def list_audio(self, request: Request) -> Response:
        """Without the sound that came with the video's own file."""
        return result({"audio": self._kept(request, "audio")})

    async def copy_audio(self, request: Request) -> Response:
        """A further track, `queued` in the answer and ready right after."""
        wanted = await json_of(request)
        if not isinstance(wanted, dict) or set(wanted) != {"url", "label"}:
            raise bad_request("a track has a url and a label")
        if not all(isinstance(value, str) and value for value in wanted.values()):
            raise bad_request("url and label are texts")
        tracks = self._kept(request, "audio")
        if any(each["label"] == wanted["label"] for each in tracks):
            raise bad_request("there is a track of this label")
        track = {"uid": secrets.token_hex(16), "label": wanted["label"], "default": False}
        self._keep(request, "audio", [*tracks, track | {"status": "ready"}])
        return result(track | {"status": "queued"})

    async def delete_audio(self, request: Request) -> Response:
        self._without(request, "audio", "uid", request.path_params["audio"])
        return result("ok")

    def _kept(self, request: Request, kind: str) -> list[Document]:
        tracks: list[Document] = self._videos.get(request.path_params["uid"]).get("tracks", {}).get(kind, [])
        return tracks

    def _without(self, request: Request, kind: str, name: str, value: Any) -> None:
        tracks = self._kept(request, kind)
        rest = [each for each in tracks if each[name] != value]
        if len(rest) == len(tracks):
            raise CloudflareError(404, 10003, "Not Found")
        self._keep(request, kind, rest)

    def _keep(self, request: Request, kind: str, tracks: list[Document]) -> None:
        self._videos.keep_tracks(request.path_params["uid"], kind, tracks)
