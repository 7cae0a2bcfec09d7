"""The two ways a file comes: one form, or tus 1.0.0 in pieces."""

import shutil
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from infra.local.sandbox.cloudflare.refusals import CloudflareError, bad_request
from infra.local.sandbox.cloudflare.videos import Videos
from infra.local.sandbox.media.ingest import Ingest

# The whole of it, with what a form has around its file.
_LARGEST_FORM = 200_000_000
_LEAST_CHUNK = 5 * 1024**2
_CHUNK_UNIT = 256 * 1024
TUS = {"Tus-Resumable": "1.0.0"}
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, Upload-Offset, Upload-Length, Tus-Resumable, stream-media-id",
}


class Uploads:
    """Takes files at the one-time addresses, without credentials."""

    def __init__(self, videos: Videos, ingest: Ingest) -> None:
        self._videos = videos
        self._ingest = ingest
        self._writing: set[str] = set()

    async def preflight(self, request: Request) -> Response:
        """OPTIONS at any of them."""
        asked = request.headers.get("access-control-request-headers", "*")
        methods = {
            "Access-Control-Allow-Methods": "POST, HEAD, PATCH, OPTIONS",
            "Access-Control-Allow-Headers": asked,
            "Access-Control-Max-Age": "3600",
        }
        return Response(status_code=204, headers={**_CORS, **methods, **TUS})

    async def form(self, request: Request) -> Response:
        """POST `/upload/{uid}`, multipart with one part `file`."""
        uid = request.path_params["uid"]
        self._videos.awaiting_file(uid, "form")
        if int(request.headers.get("content-length", "0")) > _LARGEST_FORM:
            raise CloudflareError(413, 10006, "A form takes at most 200 MB")
        async with request.form(max_files=1, max_fields=10) as parts:
            file = parts.get("file")
            if not isinstance(file, UploadFile):
                raise bad_request("the form has no part named file")
            self._videos.awaiting_file(uid, "form")
            with self._videos.file_of(uid).open("wb") as target:
                shutil.copyfileobj(file.file, target)
        if self._videos.file_of(uid).stat().st_size > _LARGEST_FORM:
            raise CloudflareError(413, 10006, "A form takes at most 200 MB")
        self._complete(uid)
        return Response(status_code=200, headers=_CORS)

    async def tus_offset(self, request: Request) -> Response:
        """HEAD `/tus/{uid}`: how much is held."""
        self._version(request)
        video = self._videos.get(request.path_params["uid"])
        if video["upload"]["protocol"] != "tus":
            raise bad_request("this is no tus upload")
        length = video["upload"]["length"]
        held = length if video["status"]["state"] != "pendingupload" else self._held(video["uid"])
        headers = {"Upload-Offset": str(held), "Upload-Length": str(length), "Cache-Control": "no-store"}
        return Response(status_code=200, headers={**_CORS, **TUS, **headers})

    async def tus_piece(self, request: Request) -> Response:
        """PATCH `/tus/{uid}`: the piece from `Upload-Offset` on."""
        self._version(request)
        uid = request.path_params["uid"]
        video = self._videos.awaiting_file(uid, "tus")
        length, held = video["upload"]["length"], self._held(uid)
        if request.headers.get("content-type") != "application/offset+octet-stream":
            raise CloudflareError(415, 10005, "A piece is application/offset+octet-stream")
        if request.headers.get("upload-offset") != str(held):
            raise CloudflareError(409, 10005, f"Upload-Offset is not {held}", headers=TUS)
        if uid in self._writing:
            raise CloudflareError(423, 10005, "Another piece is under way", headers=TUS)
        told = int(request.headers.get("content-length", "0"))
        last = held + told == length
        if told and not last and (told < _LEAST_CHUNK or told % _CHUNK_UNIT):
            raise bad_request("a piece has at least 5 MiB, in multiples of 256 KiB, unless it is the last")
        self._writing.add(uid)
        try:
            await self._append(request, uid, length - held)
        finally:
            self._writing.discard(uid)
        received = self._held(uid)
        if received == length:
            self._complete(uid)
        return Response(status_code=204, headers={**_CORS, **TUS, "Upload-Offset": str(received)})

    async def _append(self, request: Request, uid: str, room: int) -> None:
        with self._videos.file_of(uid).open("ab") as target:
            try:
                async for piece in request.stream():
                    if len(piece) > room:
                        raise CloudflareError(413, 10006, "The upload is longer than its Upload-Length")
                    target.write(piece)
                    room -= len(piece)
            except ClientDisconnect:
                # What came is kept: the client asks how much and goes on from there.
                return

    def _complete(self, uid: str) -> None:
        self._videos.uploaded(uid)
        self._ingest.add(uid)

    def _held(self, uid: str) -> int:
        file = self._videos.file_of(uid)
        return file.stat().st_size if file.exists() else 0

    @staticmethod
    def _version(request: Request) -> None:
        if request.headers.get("tus-resumable") != "1.0.0":
            raise CloudflareError(412, 10005, "Tus-Resumable is not 1.0.0", headers={"Tus-Version": "1.0.0"})


def cross_origin(response: Any) -> Any:
    """A refusal that a script of another origin may read too."""
    response.headers.update(_CORS)
    return response
