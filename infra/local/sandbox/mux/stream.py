"""What viewers fetch: playlists, segments and images, for those who may."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from infra.local.sandbox.media.captions import Captions, offered, playlist
from infra.local.sandbox.media.transcode import INIT, MULTIVARIANT, RENDITION, SEGMENT, TILE_COLUMNS, Media
from infra.local.sandbox.mux.assets import Assets, Playback
from infra.local.sandbox.mux.refusals import MuxError, forbidden, invalid_parameters, not_found
from infra.local.sandbox.mux.tokens import SigningKeys
from infra.local.sandbox.state import Document, State

_PLAYLIST = "application/vnd.apple.mpegurl"
#: Seconds the child URLs of a public playlist live; those of a signed one die with its token.
_PUBLIC_SECONDS = 12 * 3600
_OPEN = {"Access-Control-Allow-Origin": "*", "Cache-Control": "private, max-age=0"}
_CACHED = _OPEN | {"Cache-Control": "private, max-age=3600"}
_LICENCES = ("widevine", "fairplay", "playready")
_CAPTIONS = re.compile(r"captions-(\w+)\.(m3u8|vtt)")
_IMAGES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}


@dataclass(frozen=True)
class Right:
    """What one viewer may see: until when (Unix seconds), and of which part of the film (seconds)."""

    expires: int
    start: float = 0
    end: float = 1e9


class ChildUrls:
    """Signs the URLs inside playlists, so that a segment is worth no more than the token behind it."""

    def __init__(self, state: State, prefix: str, clock: Callable[[], float]) -> None:
        kept = state.get("mux.secret", "child_urls")
        if kept is None:
            kept = {"key": secrets.token_hex(32)}
            state.put("mux.secret", "child_urls", kept)
        self._key = bytes.fromhex(kept["key"])
        self._prefix = prefix
        self._clock = clock

    def url(self, playback_id: str, name: str, right: Right) -> str:
        """The full URL of one file of the stream."""
        query = urlencode(
            {
                "expires": right.expires,
                "start": right.start,
                "end": right.end,
                "signature": self._signature(playback_id, name, right),
            }
        )
        return f"{self._prefix}/{playback_id}/{name}?{query}"

    def right(self, request: Request) -> Right:
        """What a child URL still allows.

        Raises:
            MuxError: 403.
        """
        query, path = request.query_params, request.path_params
        try:
            right = Right(int(query["expires"]), float(query["start"]), float(query["end"]))
        except (KeyError, ValueError) as error:
            raise forbidden("the URL is not signed") from error
        expected = self._signature(path["playback_id"], path["name"], right)
        if not hmac.compare_digest(expected.encode(), query.get("signature", "").encode()):
            raise forbidden("the URL's signature is wrong")
        if right.expires <= self._clock():
            raise forbidden("the URL has expired")
        return right

    def _signature(self, playback_id: str, name: str, right: Right) -> str:
        signed = f"{playback_id}/{name}:{right.expires}:{right.start}:{right.end}"
        return hmac.new(self._key, signed.encode(), hashlib.sha256).hexdigest()


class Stream:
    """Serves what `transcode` made."""

    def __init__(
        self,
        assets: Assets,
        keys: SigningKeys,
        children: ChildUrls,
        image_prefix: str,
        clock: Callable[[], float],
    ) -> None:
        """Args:
        image_prefix: What the URL of an image begins with; playback id and name follow.
        """
        self._assets = assets
        self._keys = keys
        self._children = children
        self._image_prefix = image_prefix
        self._clock = clock

    async def multivariant(self, request: Request) -> Response:
        """GET `/stream/{playback_id}.m3u8?token=`."""
        playback = self._assets.playback(request.path_params["playback_id"])
        right = self._right(request, playback, "v")
        text = self._read(playback, MULTIVARIANT)
        text = text.replace(RENDITION, self._children.url(playback.id, RENDITION, right))
        tracks = [
            Captions(
                track["language_code"],
                track["name"],
                self._children.url(playback.id, f"captions-{track['id']}.m3u8", right),
            )
            for track in _captions(playback)
        ]
        return Response(offered(text, tracks), media_type=_PLAYLIST, headers=_OPEN)

    async def child(self, request: Request) -> Response:
        """GET `/stream/{playback_id}/{name}?expires=&start=&end=&signature=`: a playlist, a segment or captions."""
        name = request.path_params["name"]
        right = self._children.right(request)
        playback = self._assets.playback(request.path_params["playback_id"])
        if name == RENDITION:
            return Response(self._rendition(playback, right), media_type=_PLAYLIST, headers=_OPEN)
        if captions := _CAPTIONS.fullmatch(name):
            return self._track(playback, captions[1], captions[2], right)
        if name != INIT and not SEGMENT.fullmatch(name):
            raise not_found()
        self._check_ready(playback)
        file = self._assets.folder_of(playback.asset["id"]) / name
        if not file.is_file():
            raise not_found()
        return FileResponse(file, media_type="video/mp4", headers=_CACHED)

    async def image(self, request: Request) -> Response:
        """GET `/image/{playback_id}/thumbnail.jpg?token=` and its like, `storyboard.vtt` and `.json`."""
        name, _, extension = request.path_params["name"].partition(".")
        audience = {"thumbnail": "t", "storyboard": "s", "animated": "g"}.get(name)
        if audience is None:
            raise not_found()
        playback = self._assets.playback(request.path_params["playback_id"])
        self._right(request, playback, audience)
        self._check_ready(playback)
        folder = self._assets.folder_of(playback.asset["id"])
        if name == "storyboard" and extension in ("vtt", "json"):
            token = request.query_params.get("token")
            sprite = f"{self._image_prefix}/{playback.id}/storyboard.jpg" + (
                f"?{urlencode({'token': token})}" if token else ""
            )
            media = Media.read(folder)
            if extension == "vtt":
                return Response(_storyboard_vtt(media, sprite), media_type="text/vtt", headers=_OPEN)
            return JSONResponse(_storyboard_json(media, sprite), headers=_OPEN)
        if name == "animated" or extension not in _IMAGES:
            raise not_found()
        return FileResponse(folder / f"{name}.{extension}", media_type=_IMAGES[extension], headers=_CACHED)

    async def licence(self, request: Request) -> Response:
        """POST `/license/{kind}/{playback_id}?token=`: whether a licence would be given. There are no keys here to give."""
        playback = self._assets.playback(request.path_params["playback_id"])
        if playback.policy != "drm" or request.path_params["kind"] not in _LICENCES:
            raise not_found()
        self._right(request, playback, "d")
        return Response(b"no licence", media_type="application/octet-stream", headers=_OPEN)

    def _right(self, request: Request, playback: Playback, audience: str) -> Right:
        token = request.query_params.get("token")
        if not playback.signed:
            if token is not None:
                raise invalid_parameters("a public playback ID takes no token")
            return Right(int(self._clock()) + _PUBLIC_SECONDS)
        if token is None:
            raise forbidden("a signed playback ID takes a token")
        referrer = request.headers.get("referer")
        claims = self._keys.verify(token, playback_id=playback.id, audience=audience, referrer=referrer)
        try:
            return Right(
                int(claims["exp"]),
                float(claims.get("asset_start_time", 0)),
                float(claims.get("asset_end_time", 1e9)),
            )
        except (TypeError, ValueError) as error:
            raise forbidden("the token's asset_start_time or asset_end_time is no number") from error

    def _rendition(self, playback: Playback, right: Right) -> str:
        """The media playlist: signed, and with only those segments that touch the part allowed."""
        lines, position, length = [], 0.0, 0.0
        for line in self._read(playback, RENDITION).splitlines():
            if line.startswith("#EXTINF:"):
                length = float(line.removeprefix("#EXTINF:").split(",")[0])
            elif line.startswith("#EXT-X-MAP:"):
                lines.append(f'#EXT-X-MAP:URI="{self._children.url(playback.id, INIT, right)}"')
            elif SEGMENT.fullmatch(line):
                if position + length > right.start and position < right.end:
                    lines += [f"#EXTINF:{length:.6f},", self._children.url(playback.id, line, right)]
                position += length
            else:
                lines.append(line)
        return "\n".join(lines) + "\n"

    def _track(self, playback: Playback, track_id: str, extension: str, right: Right) -> Response:
        track = next((track for track in _captions(playback) if track["id"] == track_id), None)
        if track is None:
            raise not_found()
        media = Media.read(self._assets.folder_of(playback.asset["id"]))
        if extension == "m3u8":
            url = self._children.url(playback.id, f"captions-{track_id}.vtt", right)
            return Response(playlist(media, url), media_type=_PLAYLIST, headers=_OPEN)
        # What stands behind the track's URL was never fetched.
        cue = f"{_timestamp(0)} --> {_timestamp(media.duration)}\n{' '.join(track['name'].split())}"
        return Response(f"WEBVTT\n\n{cue}\n", media_type="text/vtt", headers=_OPEN)

    def _read(self, playback: Playback, name: str) -> str:
        self._check_ready(playback)
        return (self._assets.folder_of(playback.asset["id"]) / name).read_text()

    def _check_ready(self, playback: Playback) -> None:
        if playback.asset["status"] != "ready":
            raise MuxError(412, "invalid_state", f"The asset is {playback.asset['status']}, not ready.")


def _captions(playback: Playback) -> list[Document]:
    return [
        track
        for track in playback.asset.get("tracks", [])
        if (track["type"], track.get("status")) == ("text", "ready")
    ]


def _tiles(media: Media) -> list[tuple[float, int, int]]:
    """Start in seconds, x and y in pixels of every tile."""
    each = media.duration / media.tiles
    return [
        (
            number * each,
            number % TILE_COLUMNS * media.tile_width,
            number // TILE_COLUMNS * media.tile_height,
        )
        for number in range(media.tiles)
    ]


def _storyboard_vtt(media: Media, sprite: str) -> str:
    tiles = _tiles(media)
    ends = [start for start, _, _ in tiles[1:]] + [media.duration]
    cues = [
        f"{_timestamp(start)} --> {_timestamp(end)}\n"
        f"{sprite}#xywh={x},{y},{media.tile_width},{media.tile_height}"
        for (start, x, y), end in zip(tiles, ends, strict=True)
    ]
    return "WEBVTT\n\n" + "\n\n".join(cues) + "\n"


def _storyboard_json(media: Media, sprite: str) -> dict[str, object]:
    return {
        "url": sprite,
        "tile_width": media.tile_width,
        "tile_height": media.tile_height,
        "duration": media.duration,
        "tiles": [{"start": round(start, 3), "x": x, "y": y} for start, x, y in _tiles(media)],
    }


def _timestamp(seconds: float) -> str:
    thousandths = round(seconds * 1000)
    whole, fraction = divmod(thousandths, 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{fraction:03}"
