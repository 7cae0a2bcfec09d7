"""The stand-in as a web application: routes, credentials, refusals."""

import asyncio
import base64
import binascii
import hmac
import json
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.local.sandbox.deliveries import Channel, Deliveries
from infra.local.sandbox.media.ingest import Ingest
from infra.local.sandbox.mux import parameters
from infra.local.sandbox.mux.assets import Assets
from infra.local.sandbox.mux.events import CHANNEL, Events
from infra.local.sandbox.mux.refusals import MuxError, invalid_parameters, not_found
from infra.local.sandbox.mux.restrictions import Restrictions
from infra.local.sandbox.mux.stream import ChildUrls, Stream
from infra.local.sandbox.mux.tokens import SigningKeys
from infra.local.sandbox.mux.tracks import Tracks
from infra.local.sandbox.mux.uploads import ContentRange, Progress, Uploads, range_header
from infra.local.sandbox.state import Document, State
from infra.local.settings import LocalSettings

log = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]
_MOST_BODY_BYTES = 64 * 1024


def create_app(
    state: State,
    deliveries: Deliveries,
    settings: LocalSettings,
    *,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """The stand-in, to be mounted at `/sandbox/mux`.

    Its lifespan makes the uploads into assets: whoever mounts it must run `app.router.lifespan_context(app)`,
    for Starlette does not do so for what is mounted.

    Args:
        state: Where everything but the media is remembered, under kinds that begin with `mux.`.
        deliveries: Takes the webhooks; running it is the caller's.
        settings: Credentials, base URL and data folder.
        clock: Current time in Unix seconds; of timeouts and tokens.
    """
    base = f"{settings.base_url}/sandbox/mux"
    folder = settings.data_dir / "mux"
    channel = Channel(
        CHANNEL, f"{settings.base_url}/mux-webhook", "mux-signature", settings.mux_webhook_secret, 5
    )
    events = Events(deliveries, channel, clock)
    assets = Assets(state, events, folder / "assets", folder / "uploads", clock)
    ingest = Ingest(assets, folder / "work")
    uploads = Uploads(
        state, events, assets, ingest, folder=folder / "uploads", url_prefix=f"{base}/upload", clock=clock
    )
    restrictions = Restrictions(state, clock)
    keys = SigningKeys(
        state,
        restrictions,
        clock,
        seed_id=settings.mux_signing_key_id,
        seed_private_key=settings.mux_signing_private_key,
    )
    stream = Stream(assets, keys, ChildUrls(state, f"{base}/stream", clock), f"{base}/image", clock)
    api = _Api(settings, assets, uploads, ingest, keys, restrictions)
    direct = _DirectUpload(uploads)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(ingest.run()), asyncio.create_task(uploads.expire())]
        for task in tasks:
            task.add_done_callback(_never_ends)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def list_deliveries(_request: Request) -> Response:
        return JSONResponse({"deliveries": deliveries.recent(CHANNEL)})

    async def redeliver(request: Request) -> Response:
        delivery = deliveries.redeliver(request.path_params["delivery_id"])
        if delivery is None:
            raise not_found()
        return JSONResponse(delivery, 202)

    own = [
        Route("/deliveries", _guarded(list_deliveries), methods=["GET"]),
        Route("/deliveries/{delivery_id}/redeliver", _guarded(redeliver), methods=["POST"]),
    ]
    viewers = [
        Route(path, _for_viewers(endpoint), methods=["GET", "OPTIONS"])
        for path, endpoint in (
            ("/stream/{playback_id}.m3u8", stream.multivariant),
            ("/stream/{playback_id}/{name}", stream.child),
            ("/image/{playback_id}/{name}", stream.image),
        )
    ]
    licence = Route(
        "/license/{kind}/{playback_id}", _for_viewers(stream.licence), methods=["POST", "OPTIONS"]
    )
    return Starlette(
        routes=[*api.routes(), *direct.routes(), *viewers, licence, *own],
        exception_handlers={HTTPException: _unrouted},
        lifespan=lifespan,
    )


class _Api:
    """`/video/v1` and `/system/v1`, behind the environment's access token."""

    def __init__(
        self,
        settings: LocalSettings,
        assets: Assets,
        uploads: Uploads,
        ingest: Ingest,
        keys: SigningKeys,
        restrictions: Restrictions,
    ) -> None:
        self._credentials = f"{settings.mux_token_id}:{settings.mux_token_secret}".encode()
        self._assets = assets
        self._tracks = Tracks(assets)
        self._uploads = uploads
        self._ingest = ingest
        self._keys = keys
        self._restrictions = restrictions

    def routes(self) -> list[Route]:
        """All of them."""
        table: list[tuple[str, str, Endpoint]] = [
            ("POST", "/video/v1/uploads", self.create_upload),
            ("GET", "/video/v1/uploads", self.list_uploads),
            ("GET", "/video/v1/uploads/{id}", self.get_upload),
            ("PUT", "/video/v1/uploads/{id}/cancel", self.cancel_upload),
            ("POST", "/video/v1/assets", self.create_asset),
            ("GET", "/video/v1/assets", self.list_assets),
            ("GET", "/video/v1/assets/{id}", self.get_asset),
            ("PATCH", "/video/v1/assets/{id}", self.update_asset),
            ("DELETE", "/video/v1/assets/{id}", self.delete_asset),
            ("POST", "/video/v1/assets/{id}/tracks", self.create_track),
            ("DELETE", "/video/v1/assets/{id}/tracks/{track_id}", self.delete_track),
            ("POST", "/video/v1/assets/{id}/playback-ids", self.create_playback_id),
            ("GET", "/video/v1/assets/{id}/playback-ids/{playback_id}", self.get_playback_id),
            ("DELETE", "/video/v1/assets/{id}/playback-ids/{playback_id}", self.delete_playback_id),
            ("GET", "/video/v1/playback-ids/{playback_id}", self.find_playback_id),
            ("POST", "/video/v1/playback-restrictions", self.create_restriction),
        ]
        # The second prefix is the older name of the same keys.
        for prefix in ("/system/v1", "/video/v1"):
            table += [
                ("POST", f"{prefix}/signing-keys", self.create_key),
                ("GET", f"{prefix}/signing-keys", self.list_keys),
                ("GET", f"{prefix}/signing-keys/{{id}}", self.get_key),
                ("DELETE", f"{prefix}/signing-keys/{{id}}", self.delete_key),
            ]
        by_path: dict[str, dict[str, Endpoint]] = {}
        for method, path, endpoint in table:
            by_path.setdefault(path, {})[method] = endpoint
        return [
            Route(path, self._authorized(endpoints), methods=list(endpoints))
            for path, endpoints in by_path.items()
        ]

    def _authorized(self, endpoints: dict[str, Endpoint]) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
            try:
                given = base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                given = b""
            if scheme.lower() != "basic" or not hmac.compare_digest(given, self._credentials):
                raise MuxError(401, "unauthorized", "Unauthorized request")
            method = "GET" if request.method == "HEAD" else request.method
            return await endpoints[method](request)

        return _guarded(endpoint)

    async def create_upload(self, request: Request) -> Response:
        wanted = parameters.checked(await _json_object(request), parameters.NEW_UPLOAD)
        return _data(self._uploads.create(wanted), 201)

    async def list_uploads(self, request: Request) -> Response:
        return _data(_page(self._uploads.all(), *parameters.page(request.query_params, set())))

    async def get_upload(self, request: Request) -> Response:
        return _data(self._uploads.get(request.path_params["id"]))

    async def cancel_upload(self, request: Request) -> Response:
        return _data(self._uploads.cancel(request.path_params["id"]))

    async def create_asset(self, _request: Request) -> Response:
        raise invalid_parameters("assets are made from direct uploads here; the sandbox fetches no URLs")

    async def list_assets(self, request: Request) -> Response:
        query = request.query_params
        limit, page = parameters.page(query, {"cursor", "live_stream_id", "upload_id"})
        assets = self._assets.all()
        for name in ("upload_id", "live_stream_id"):
            if name in query:
                assets = [asset for asset in assets if asset.get(name) == query[name]]
        if cursor := query.get("cursor"):
            ids = [asset["id"] for asset in assets]
            if cursor not in ids:
                raise invalid_parameters("cursor is not one that was given out")
            assets = assets[ids.index(cursor) + 1 :]
        found = _page(assets, limit, page)
        more = len(assets) > limit * page
        return JSONResponse({"data": found, "next_cursor": found[-1]["id"] if more else None})

    async def get_asset(self, request: Request) -> Response:
        return _data(self._assets.get(request.path_params["id"]))

    async def update_asset(self, request: Request) -> Response:
        changes = parameters.checked(await _json_object(request), parameters.UPDATED_ASSET)
        return _data(self._assets.update(request.path_params["id"], changes))

    async def delete_asset(self, request: Request) -> Response:
        asset = self._assets.get(request.path_params["id"])
        self._assets.delete(asset["id"])
        self._ingest.abandon(asset["id"])
        return Response(status_code=204)

    async def create_track(self, request: Request) -> Response:
        wanted = parameters.checked(await _json_object(request), parameters.NEW_TRACK)
        return _data(self._tracks.add(request.path_params["id"], wanted), 201)

    async def delete_track(self, request: Request) -> Response:
        path = request.path_params
        self._tracks.remove(path["id"], path["track_id"])
        return Response(status_code=204)

    async def create_playback_id(self, request: Request) -> Response:
        wanted = parameters.checked(await _json_object(request), parameters.NEW_PLAYBACK_ID)
        policy = wanted.get("policy", "public")
        return _data(self._assets.add_playback_id(request.path_params["id"], policy), 201)

    async def get_playback_id(self, request: Request) -> Response:
        path = request.path_params
        return _data(self._assets.playback_id(path["id"], path["playback_id"]))

    async def delete_playback_id(self, request: Request) -> Response:
        path = request.path_params
        self._assets.remove_playback_id(path["id"], path["playback_id"])
        return Response(status_code=204)

    async def find_playback_id(self, request: Request) -> Response:
        playback = self._assets.playback(request.path_params["playback_id"])
        whose = {"type": "asset", "id": playback.asset["id"]}
        return _data({"id": playback.id, "policy": playback.policy, "object": whose})

    async def create_restriction(self, request: Request) -> Response:
        wanted = parameters.checked(await _json_object(request), parameters.NEW_RESTRICTION)
        return _data(self._restrictions.create(wanted), 201)

    async def create_key(self, _request: Request) -> Response:
        return _data(self._keys.create(), 201)

    async def list_keys(self, request: Request) -> Response:
        return _data(_page(self._keys.all(), *parameters.page(request.query_params, set())))

    async def get_key(self, request: Request) -> Response:
        return _data(self._keys.get(request.path_params["id"]))

    async def delete_key(self, request: Request) -> Response:
        self._keys.delete(request.path_params["id"])
        return Response(status_code=204)


class _DirectUpload:
    """PUT to an upload's URL, as Google Cloud Storage's resumable uploads take it."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    def routes(self) -> list[Route]:
        """The one there is."""
        return [Route("/upload/{secret}", _guarded(self.answer), methods=["PUT", "OPTIONS"])]

    async def answer(self, request: Request) -> Response:
        """One request, with the CORS headers for the origin the upload was made for."""
        upload = self._uploads.of_url(request.path_params["secret"])
        try:
            if request.method == "OPTIONS":
                response = Response(status_code=200)
            else:
                response = await self._put(request, upload)
        except MuxError as refusal:
            response = refusal.response()
        response.headers.update(_cors(request, upload.get("cors_origin")))
        return response

    async def _put(self, request: Request, upload: Document) -> Response:
        headers = request.headers
        span = ContentRange.parse(headers["content-range"]) if "content-range" in headers else None
        if span is not None and span.first is None:
            progress = self._uploads.progress(upload, span)
        else:
            length = int(headers["content-length"]) if "content-length" in headers else None
            try:
                progress = await self._uploads.receive(upload, span, length, request.stream())
            except ClientDisconnect:
                # What came is kept. Nobody hears this answer.
                progress = Progress(0, complete=False)
        if progress.complete:
            return Response(status_code=200)
        return Response(status_code=308, headers=range_header(progress.received))


def _cors(request: Request, allowed: str | None) -> dict[str, str]:
    origin = request.headers.get("origin")
    if origin is None or allowed is None or (allowed != "*" and origin != allowed.rstrip("/")):
        return {}
    headers = {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": "Content-Length, Content-Type, Range, Retry-After",
        "Vary": "Origin",
    }
    if request.method == "OPTIONS":
        headers |= {
            "Access-Control-Allow-Methods": "PUT",
            "Access-Control-Allow-Headers": request.headers.get(
                "access-control-request-headers", "Content-Type, Content-Range"
            ),
            "Access-Control-Max-Age": "3600",
        }
    return headers


def _guarded(endpoint: Endpoint) -> Endpoint:
    """Every refusal and every failure becomes an answer in Mux's shape."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except MuxError as refusal:
            return refusal.response()
        except Exception:
            log.exception("%s %s failed", request.method, request.url.path)
            return MuxError(500, "internal_error", "An internal error occurred.").response()

    return guarded


def _for_viewers(endpoint: Endpoint) -> Endpoint:
    """Guarded, and readable by scripts of any origin, refusals too."""
    guarded = _guarded(endpoint)

    async def open_to_all(request: Request) -> Response:
        if request.method == "OPTIONS":
            asked = request.headers.get("access-control-request-headers", "Range")
            return Response(
                status_code=204,
                headers={
                    "Access-Control-Allow-Origin": "*",
                    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
                    "Access-Control-Allow-Headers": asked,
                },
            )
        response = await guarded(request)
        response.headers.setdefault("Access-Control-Allow-Origin", "*")
        response.headers.setdefault("Cache-Control", "private, no-store")
        return response

    return open_to_all


async def _unrouted(_request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code != 404:
        return MuxError(error.status_code, "invalid_request", error.detail, headers=error.headers).response()
    return not_found().response()


async def _json_object(request: Request) -> dict[str, Any]:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BODY_BYTES:
            raise MuxError(413, "too_large", f"A body has at most {_MOST_BODY_BYTES} bytes.")
    try:
        parsed = json.loads(body)
    except ValueError as error:
        raise invalid_parameters("the body is not JSON") from error
    if not isinstance(parsed, dict):
        raise invalid_parameters("the body is not a JSON object")
    return parsed


def _never_ends(task: asyncio.Task[None]) -> None:
    """A stand-in without its loops is no use: the process ends, and whoever watches it starts another."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("a background loop failed", exc_info=error)
        signal.raise_signal(signal.SIGTERM)


def _data(data: object, status: int = 200) -> Response:
    return JSONResponse({"data": data}, status)


def _page(rows: list[Document], limit: int, page: int) -> list[Document]:
    return rows[(page - 1) * limit : page * limit]
