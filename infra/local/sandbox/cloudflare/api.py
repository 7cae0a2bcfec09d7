"""The stand-in as a web application: routes, credentials, refusals."""

import asyncio
import hmac
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.local.sandbox.cloudflare import parameters
from infra.local.sandbox.cloudflare.bodies import json_of, result
from infra.local.sandbox.cloudflare.refusals import CloudflareError, bad_request, not_found
from infra.local.sandbox.cloudflare.stream import Stream, Tokens
from infra.local.sandbox.cloudflare.tracks import Tracks
from infra.local.sandbox.cloudflare.uploads import TUS, Uploads, cross_origin
from infra.local.sandbox.cloudflare.videos import CHANNEL, Videos, shown
from infra.local.sandbox.deliveries import Channel, Deliveries
from infra.local.sandbox.media.ingest import Ingest
from infra.local.sandbox.state import State
from infra.local.settings import LocalSettings

log = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]
# "30 GB" by default: https://developers.cloudflare.com/stream/faq
MOST_FILE_BYTES = 30_000_000_000


def create_app(
    state: State,
    deliveries: Deliveries,
    settings: LocalSettings,
    *,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """The stand-in, to be mounted at `/sandbox/cloudflare`; its lifespan makes uploads into films.

    Args:
        state: Where everything but the media is remembered, under kinds that begin with `cloudflare.`.
        deliveries: Takes the webhooks; running it is the caller's.
        settings: Credentials, base URL and data folder.
        clock: Current time in Unix seconds.
    """
    base = f"{settings.base_url}/sandbox/cloudflare"
    folder = settings.data_dir / "cloudflare"
    channel = Channel(
        CHANNEL,
        f"{settings.base_url}/cloudflare-webhook",
        "Webhook-Signature",
        settings.cloudflare_webhook_secret,
        5,
        ("time", "sig1"),
    )
    videos = Videos(state, deliveries, channel, folder, f"{base}/stream", clock)
    ingest = Ingest(videos, folder / "work")
    uploads = Uploads(videos, ingest)
    tokens = Tokens(settings.cloudflare_signing_key_id, settings.cloudflare_signing_jwk, clock)
    stream = Stream(videos, tokens)
    api = _Api(settings, videos, ingest, base, clock)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(ingest.run())
        task.add_done_callback(_never_ends)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def redeliver(request: Request) -> Response:
        delivery = deliveries.redeliver(request.path_params["delivery_id"])
        if delivery is None:
            raise not_found()
        return JSONResponse(delivery, 202)

    async def list_deliveries(_request: Request) -> Response:
        return JSONResponse({"deliveries": deliveries.recent(CHANNEL)})

    return Starlette(
        routes=[
            *api.routes(),
            Route("/upload/{uid}", _for_browsers(uploads.form), methods=["POST"]),
            Route("/upload/{uid}", uploads.preflight, methods=["OPTIONS"]),
            Route("/tus/{uid}", _for_browsers(uploads.tus_piece), methods=["PATCH"]),
            Route("/tus/{uid}", uploads.preflight, methods=["OPTIONS"]),
            Route("/tus/{uid}", _for_browsers(uploads.tus_offset), methods=["HEAD"]),
            Route("/stream/{token}/manifest/{name}", _for_browsers(stream.manifest)),
            Route("/stream/{token}/thumbnails/thumbnail.jpg", _for_browsers(stream.thumbnail)),
            Route("/deliveries", _guarded(list_deliveries)),
            Route("/deliveries/{delivery_id}/redeliver", _guarded(redeliver), methods=["POST"]),
        ],
        lifespan=lifespan,
    )


class _Api:
    """`/client/v4/accounts/{account}/stream`, behind the account's API token."""

    def __init__(
        self,
        settings: LocalSettings,
        videos: Videos,
        ingest: Ingest,
        base: str,
        clock: Callable[[], float],
    ) -> None:
        self._account = settings.cloudflare_account_id
        self._credentials = f"Bearer {settings.cloudflare_api_token}".encode()
        self._videos = videos
        self._ingest = ingest
        self._base = base
        self._clock = clock

    def routes(self) -> list[Route]:
        """All of them."""
        prefix, tracks = "/client/v4/accounts/{account}/stream", Tracks(self._videos)
        return [
            Route(prefix + path, self._authorized(endpoint), methods=[method])
            for method, path, endpoint in (
                ("POST", "/direct_upload", self.direct_upload),
                ("POST", "", self.tus_upload),
                ("GET", "", self.list_videos),
                ("GET", "/{uid}", self.get_video),
                ("DELETE", "/{uid}", self.delete_video),
                ("GET", "/{uid}/captions", tracks.list_captions),
                ("PUT", "/{uid}/captions/{language}", tracks.put_captions),
                ("DELETE", "/{uid}/captions/{language}", tracks.delete_captions),
                ("GET", "/{uid}/audio", tracks.list_audio),
                ("POST", "/{uid}/audio/copy", tracks.copy_audio),
                ("DELETE", "/{uid}/audio/{audio}", tracks.delete_audio),
            )
        ]

    def _authorized(self, endpoint: Endpoint) -> Endpoint:
        async def authorized(request: Request) -> Response:
            given = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, self._credentials):
                raise CloudflareError(401, 10000, "Authentication error")
            if request.path_params["account"] != self._account:
                raise CloudflareError(403, 10000, "Authentication error")
            return await endpoint(request)

        return _guarded(authorized)

    async def direct_upload(self, request: Request) -> Response:
        body = await json_of(request)
        wanted = parameters.checked(body, self._now())
        video = self._videos.create(wanted=wanted, upload={"protocol": "form"})
        return result({"uid": video["uid"], "uploadURL": f"{self._base}/upload/{video['uid']}"})

    async def tus_upload(self, request: Request) -> Response:
        headers = request.headers
        if request.query_params.get("direct_user") != "true":
            raise bad_request("only direct uploads are taken here (direct_user=true)")
        if headers.get("tus-resumable") != "1.0.0":
            raise CloudflareError(412, 10005, "Tus-Resumable is not 1.0.0")
        length = headers.get("upload-length", "")
        if not length.isdecimal() or int(length) == 0:
            raise bad_request("Upload-Length is no size of a film")
        if int(length) > MOST_FILE_BYTES:
            raise CloudflareError(413, 10006, "The file is too large")
        wanted = parameters.metadata(headers.get("upload-metadata", ""))
        if "upload-creator" in headers:
            wanted["creator"] = headers["upload-creator"]
        wanted = parameters.checked(wanted, self._now())
        video = self._videos.create(wanted=wanted, upload={"protocol": "tus", "length": int(length)})
        return Response(
            status_code=201,
            headers={
                **TUS,
                "Location": f"{self._base}/tus/{video['uid']}?tusv2=true",
                "stream-media-id": video["uid"],
            },
        )

    async def list_videos(self, _request: Request) -> Response:
        return result([shown(video) for video in self._videos.all()])

    async def get_video(self, request: Request) -> Response:
        return result(shown(self._videos.get(request.path_params["uid"])))

    async def delete_video(self, request: Request) -> Response:
        uid = request.path_params["uid"]
        self._videos.delete(uid)
        self._ingest.abandon(uid)
        return Response(status_code=200)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _guarded(endpoint: Endpoint) -> Endpoint:
    """Every refusal and every failure becomes an answer in Cloudflare's shape."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except CloudflareError as refusal:
            return refusal.response()
        except Exception:
            log.exception("%s %s failed", request.method, request.url.path)
            return CloudflareError(500, 10000, "Internal error").response()

    return guarded


def _for_browsers(endpoint: Endpoint) -> Endpoint:
    """Guarded, and readable by scripts of any origin, refusals too."""
    guarded = _guarded(endpoint)

    async def open_to_all(request: Request) -> Response:
        response: Response = cross_origin(await guarded(request))
        return response

    return open_to_all


def _never_ends(task: asyncio.Task[None]) -> None:
    """A stand-in without its loop is no use: the process ends, and whoever watches it starts another."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("a background loop failed", exc_info=error)
        signal.raise_signal(signal.SIGTERM)
