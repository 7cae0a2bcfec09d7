"""What viewers fetch: playlists, segments and pictures, below a token that stands in the path."""

import base64
import ipaddress
import json
import re
from collections.abc import Callable
from typing import Any

import jwt
from jwt.algorithms import RSAAlgorithm
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from infra.local.sandbox.cloudflare.refusals import CloudflareError, forbidden, not_found
from infra.local.sandbox.cloudflare.videos import Videos
from infra.local.sandbox.media.captions import Captions, offered, playlist
from infra.local.sandbox.media.transcode import INIT, MULTIVARIANT, RENDITION, SEGMENT, Media
from infra.local.sandbox.state import Document

_PLAYLIST = "application/vnd.apple.mpegurl"
_LONGEST_SECONDS = 24 * 3600
_CAPTIONS = re.compile(r"captions-([A-Za-z0-9-]+)\.(m3u8|vtt)")
_OPEN = {"Access-Control-Allow-Origin": "*", "Cache-Control": "private, max-age=0"}


class Tokens:
    """Checks tokens with the public half of the installation's one signing key."""

    def __init__(self, key_id: str, jwk: str, clock: Callable[[], float]) -> None:
        whole = json.loads(base64.b64decode(jwk))
        self._key_id = key_id
        self._key: Any = RSAAlgorithm.from_jwk({name: whole[name] for name in ("kty", "n", "e")})
        self._clock = clock

    def verify(self, token: str, address: str) -> str:
        """The uid that a token opens now, for a viewer at this address.

        Raises:
            CloudflareError: 403, with the reason.
        """
        options = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "sub", "jti")}
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(token, self._key, algorithms=["RS256"], options=options)  # type: ignore[arg-type]
        except jwt.InvalidTokenError as error:
            raise forbidden(f"the token is invalid: {error}") from error
        if not header.get("kid") == claims.get("kid") == self._key_id:
            raise forbidden("the token names no signing key of this account")
        now, expires = self._clock(), claims.get("exp")
        if not isinstance(expires, int) or not now < expires <= now + _LONGEST_SECONDS:
            raise forbidden("the token has expired, never expires, or lives longer than 24 hours")
        if claims.get("nbf", 0) > now:
            raise forbidden("the token is not valid yet")
        if not _allowed(claims.get("accessRules", []), address):
            raise forbidden("an access rule of the token keeps this viewer out")
        return str(claims.get("sub"))


def _allowed(rules: list[Document], address: str) -> bool:
    """The first rule that fits decides; none keeps nobody out. Here nobody is in any country."""
    for rule in rules:
        fits = rule["type"] == "any" or (
            rule["type"] == "ip.src"
            and any(ipaddress.ip_address(address) in ipaddress.ip_network(each) for each in rule["ip"])
        )
        if fits:
            return bool(rule["action"] == "allow")
    return True


class Stream:
    """Serves what `transcode` made. Everything lies below the token, so it is checked each time."""

    def __init__(self, videos: Videos, tokens: Tokens) -> None:
        self._videos = videos
        self._tokens = tokens

    async def manifest(self, request: Request) -> Response:
        """GET `/stream/{token}/manifest/{name}`: a playlist, or a segment or captions that it names."""
        video = self._video(request)
        folder, name = self._videos.folder_of(video["uid"]), request.path_params["name"]
        tracks = {each["language"]: each for each in video.get("tracks", {}).get("captions", [])}
        if name == "video.m3u8":
            told = [Captions(each, tracks[each]["label"], f"captions-{each}.m3u8") for each in tracks]
            return _playlist(offered((folder / MULTIVARIANT).read_text(), told))
        captions = _CAPTIONS.fullmatch(name)
        if captions and captions[1] in tracks:
            if captions[2] == "m3u8":
                return _playlist(playlist(Media.read(folder), f"captions-{captions[1]}.vtt"))
            return FileResponse(folder / name, media_type="text/vtt", headers=_OPEN)
        if name == RENDITION:
            return _playlist((folder / RENDITION).read_text())
        if (name == INIT or SEGMENT.fullmatch(name)) and (folder / name).is_file():
            return FileResponse(folder / name, media_type="video/mp4", headers=_OPEN)
        raise not_found()

    async def thumbnail(self, request: Request) -> Response:
        """GET `/stream/{token}/thumbnails/thumbnail.jpg`."""
        folder = self._videos.folder_of(self._video(request)["uid"])
        return FileResponse(folder / "thumbnail.jpg", media_type="image/jpeg", headers=_OPEN)

    def _video(self, request: Request) -> Document:
        named = request.path_params["token"]
        forwarded = request.headers.get("x-forwarded-for", "").split(",")[0].strip()
        address = forwarded or (request.client.host if request.client else "127.0.0.1")
        if "." not in named:
            # The uid itself opens what needs no token.
            video = self._videos.get(named)
            if video["requireSignedURLs"]:
                raise forbidden("this video takes a token")
        else:
            video = self._videos.get(self._tokens.verify(named, address))
        if video["status"]["state"] != "ready":
            raise CloudflareError(404, 10003, "The video is not ready")
        return video


def _playlist(text: str) -> Response:
    return Response(text, media_type=_PLAYLIST, headers=_OPEN)
