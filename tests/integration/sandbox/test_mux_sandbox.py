"""The Mux stand-in, spoken to by the real SDK and by plain HTTP, as browsers and players would."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any, Self

import httpx
import imageio_ffmpeg
import jwt
import mux_python
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from infra.local.sample_film import make_sample_film
from infra.local.sandbox.deliveries import Deliveries
from infra.local.sandbox.mux import create_app
from infra.local.sandbox.state import State
from infra.local.settings import LocalSettings

ROOT = Path(__file__).parents[3]
PATIENCE = 30.0
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


class Clock:
    """The time, which a test may move."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Mailbox:
    """Receives the webhooks, on the address the stand-in posts to."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str]] = []
        self._arrived = threading.Condition()

    async def receive(self, request: Request) -> Response:
        body = (await request.body()).decode()
        with self._arrived:
            self.received.append((request.headers["mux-signature"], body))
            self._arrived.notify_all()
        return Response(status_code=200)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.received]

    def wait(self, event_type: str, object_id: str) -> dict[str, Any]:
        def find() -> dict[str, Any] | None:
            wanted = (event_type, object_id)
            return next((e for e in self.events() if (e["type"], e["object"]["id"]) == wanted), None)

        with self._arrived:
            found = self._arrived.wait_for(find, PATIENCE)
        assert found, f"no {event_type} of {object_id}, only {[e['type'] for e in self.events()]}"
        return found


def build(settings: LocalSettings, mailbox: Mailbox, clock: Callable[[], float]) -> Starlette:
    state = State(settings.data_dir / "sandbox.sqlite")
    deliveries = Deliveries(state, delays=(0.1, 0.2))
    mux = create_app(state, deliveries, settings, clock=clock)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(mux.router.lifespan_context(mux))
            task = asyncio.create_task(deliveries.run())
            yield
            task.cancel()
        state.close()

    return Starlette(
        routes=[Mount("/sandbox/mux", mux), Route("/mux-webhook", mailbox.receive, methods=["POST"])],
        lifespan=lifespan,
    )


class Sandbox:
    """The stand-in on a port of its own, in a thread."""

    def __init__(self, data_dir: Path) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.settings = LocalSettings.load(data_dir, self.socket.getsockname()[1])
        self.base = f"{self.settings.base_url}/sandbox/mux"
        self.clock = Clock()
        self.mailbox = Mailbox()
        self.http = httpx.Client(trust_env=False, timeout=PATIENCE)
        app = build(self.settings, self.mailbox, self.clock)
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        self._thread = threading.Thread(target=self._server.run, args=([self.socket],))
        configuration = mux_python.Configuration(
            host=self.base, username=self.settings.mux_token_id, password=self.settings.mux_token_secret
        )
        client = mux_python.ApiClient(configuration)
        self.uploads = mux_python.DirectUploadsApi(client)
        self.assets = mux_python.AssetsApi(client)
        self.playback_ids = mux_python.PlaybackIDApi(client)
        self.keys = mux_python.SigningKeysApi(client)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE)
        self.http.close()

    def upload(self, **settings: Any) -> Any:
        wanted = {"playback_policies": ["signed"]} | settings
        request = mux_python.CreateUploadRequest(
            cors_origin="http://app.example", timeout=3600, new_asset_settings=wanted
        )
        return self.uploads.create_direct_upload(request).data

    def ready(self, film: Path, **settings: Any) -> dict[str, Any]:
        """The data of the `video.asset.ready` of a film uploaded whole."""
        upload = self.upload(**settings)
        assert self.http.put(upload.url, content=film.read_bytes()).status_code == 200
        asset_id = self.uploads.get_direct_upload(upload.id).data.asset_id
        data: dict[str, Any] = self.mailbox.wait("video.asset.ready", asset_id)["data"]
        return data

    def token(self, playback_id: str, audience: str = "v", **claims: Any) -> str:
        key = base64.b64decode(self.settings.mux_signing_private_key)
        kid = self.settings.mux_signing_key_id
        payload = {"sub": playback_id, "aud": audience, "exp": int(self.clock()) + 600, "kid": kid}
        return jwt.encode(
            {k: v for k, v in (payload | claims).items() if v is not None}, key, "RS256", {"kid": kid}
        )

    def stream(self, playback_id: str, token: str | None = None) -> httpx.Response:
        params = {} if token is None else {"token": token}
        return self.http.get(f"{self.base}/stream/{playback_id}.m3u8", params=params)

    def image(self, playback_id: str, name: str, token: str | None = None) -> httpx.Response:
        params = {} if token is None else {"token": token}
        return self.http.get(f"{self.base}/image/{playback_id}/{name}", params=params)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def urls(playlist: str) -> list[str]:
    """Every address in a playlist, that of the initialisation segment first."""
    return re.findall(r'(?:URI="|^)(http[^"\n]+)', playlist, re.MULTILINE)


def error_of(response: httpx.Response) -> str:
    kind: str = response.json()["error"]["type"]
    assert response.json()["error"]["messages"]
    return kind


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("film") / "sample.mp4"
    make_sample_film(path)
    return path


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture(scope="module")
def asset(sandbox: Sandbox, film: Path) -> dict[str, Any]:
    return sandbox.ready(film, playback_policies=["signed", "public"], passthrough="video-1")


@pytest.fixture
def playback_id(asset: dict[str, Any]) -> str:
    return next(str(p["id"]) for p in asset["playback_ids"] if p["policy"] == "signed")


@pytest.fixture
def public_id(asset: dict[str, Any]) -> str:
    return next(str(p["id"]) for p in asset["playback_ids"] if p["policy"] == "public")


# --- the whole story


def test_a_film_goes_from_upload_to_screen(sandbox: Sandbox, film: Path) -> None:
    upload = sandbox.upload(passthrough="video-7", meta={"title": "Sample", "external_id": "7"})
    assert (upload.status, upload.timeout) == ("waiting", 3600)
    content, half = film.read_bytes(), 256 * 1024
    total = len(content)
    first = sandbox.http.put(
        upload.url, content=content[:half], headers={"Content-Range": f"bytes 0-{half - 1}/{total}"}
    )
    assert (first.status_code, first.headers["range"]) == (308, f"bytes=0-{half - 1}")
    asked = sandbox.http.put(upload.url, headers={"Content-Range": f"bytes */{total}"})
    assert (asked.status_code, asked.headers["range"]) == (308, f"bytes=0-{half - 1}")
    last = sandbox.http.put(
        upload.url, content=content[half:], headers={"Content-Range": f"bytes {half}-{total - 1}/{total}"}
    )
    assert last.status_code == 200

    told = sandbox.mailbox.wait("video.upload.asset_created", upload.id)
    assert told["data"]["new_asset_settings"]["passthrough"] == "video-7"
    asset_id = told["data"]["asset_id"]
    assert sandbox.mailbox.wait("video.asset.created", asset_id)["data"]["status"] == "preparing"
    ready = sandbox.mailbox.wait("video.asset.ready", asset_id)["data"]
    assert ready["passthrough"] == "video-7"
    assert ready["upload_id"] == upload.id
    assert ready["duration"] == pytest.approx(24, abs=0.2)
    assert ready["aspect_ratio"] == "16:9"
    assert [track["type"] for track in ready["tracks"]] == ["video", "audio"]
    asset = sandbox.assets.get_asset(asset_id).data
    assert (asset.status, asset.meta.title, asset.duration) == ("ready", "Sample", ready["duration"])
    assert asset.created_at == str(ready["created_at"])

    (playback,) = ready["playback_ids"]
    assert playback["policy"] == "signed"
    found = sandbox.playback_ids.get_asset_or_livestream_id(playback["id"]).data
    assert found.object.id == asset_id
    url = f"{sandbox.base}/stream/{playback['id']}.m3u8?token={sandbox.token(playback['id'])}"
    decoded = subprocess.run(
        [FFMPEG, "-nostdin", "-hide_banner", "-i", url, "-f", "null", "-"],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={"PATH": os.environ["PATH"], "no_proxy": "*"},
    )
    assert decoded.returncode == 0, decoded.stderr
    assert "Video: h264" in decoded.stderr
    assert "Audio: aac" in decoded.stderr
    assert re.search(r"time=00:00:2[34]", decoded.stderr)


def test_webhooks_are_signed_over_their_raw_body(sandbox: Sandbox, asset: dict[str, Any]) -> None:
    assert len({event["id"] for event in sandbox.mailbox.events()}) == len(sandbox.mailbox.received)
    for header, body in sandbox.mailbox.received:
        found = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", header)
        assert found
        expected = hmac.new(
            sandbox.settings.mux_webhook_secret.encode(), f"{found[1]}.{body}".encode(), hashlib.sha256
        )
        assert hmac.compare_digest(expected.hexdigest(), found[2])
        assert abs(int(found[1]) - time.time()) < 300


def test_deliveries_are_shown_and_sent_again(sandbox: Sandbox, asset: dict[str, Any]) -> None:
    shown = sandbox.http.get(f"{sandbox.base}/deliveries").json()["deliveries"]
    ready = next(d for d in shown if d["event_type"] == "video.asset.ready" and asset["id"] in d["body"])
    before = len(sandbox.mailbox.received)
    assert sandbox.http.post(f"{sandbox.base}/deliveries/{ready['id']}/redeliver").status_code == 202
    wait_until(lambda: len(sandbox.mailbox.received) > before)
    assert sandbox.mailbox.events()[-1]["id"] == ready["event_id"]
    assert sandbox.http.post(f"{sandbox.base}/deliveries/none/redeliver").status_code == 404


# --- who may watch


def test_playlists_and_segments(sandbox: Sandbox, playback_id: str) -> None:
    multivariant = sandbox.stream(playback_id, sandbox.token(playback_id))
    assert multivariant.headers["content-type"].startswith("application/vnd.apple.mpegurl")
    assert multivariant.headers["access-control-allow-origin"] == "*"
    assert "private" in multivariant.headers["cache-control"]
    (rendition_url,) = urls(multivariant.text)
    rendition = sandbox.http.get(rendition_url)
    initialisation, *segments = urls(rendition.text)
    assert len(segments) == 5
    assert sandbox.http.get(initialisation).content[4:8] == b"ftyp"
    segment = sandbox.http.get(segments[0])
    assert (segment.status_code, segment.headers["content-type"]) == (200, "video/mp4")
    assert segment.headers["access-control-allow-origin"] == "*"
    part = sandbox.http.get(segments[0], headers={"Range": "bytes=0-99"})
    assert (part.status_code, part.content) == (206, segment.content[:100])
    for url in (rendition_url, initialisation, segments[0]):
        assert sandbox.http.get(url.split("?")[0]).status_code == 403
        assert sandbox.http.get(url[:-1] + ("0" if url[-1] != "0" else "1")).status_code == 403
    assert sandbox.http.get(segments[0].replace("00000.m4s", "00001.m4s")).status_code == 403
    later = re.sub(r"expires=(\d+)", lambda m: f"expires={int(m[1]) + 60}", segments[0])
    assert sandbox.http.get(later).status_code == 403


def test_what_a_token_opens_ends_with_it(sandbox: Sandbox, playback_id: str) -> None:
    token = sandbox.token(playback_id, exp=int(time.time()) + 100)
    (rendition_url,) = urls(sandbox.stream(playback_id, token).text)
    segment = urls(sandbox.http.get(rendition_url).text)[-1]
    assert sandbox.http.get(segment).status_code == 200
    sandbox.clock.ahead = 101
    try:
        assert sandbox.stream(playback_id, token).status_code == 403
        assert sandbox.http.get(rendition_url).status_code == 403
        assert sandbox.http.get(segment).status_code == 403
    finally:
        sandbox.clock.ahead = 0


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": None},
        {"exp": 1},
        {"exp": "2099"},
        {"exp": True},
        {"sub": "another"},
        {"sub": None},
        {"aud": "t"},
        {"aud": None},
        {"nbf": 4_000_000_000},
        {"kid": "another"},
        {"playback_restriction_id": "none"},
        {"asset_end_time": "x"},
    ],
    ids=str,
)
def test_a_token_that_does_not_fit(sandbox: Sandbox, playback_id: str, claims: dict[str, Any]) -> None:
    response = sandbox.stream(playback_id, sandbox.token(playback_id, **claims))
    assert (response.status_code, error_of(response)) == (403, "not_allowed")
    assert response.headers["access-control-allow-origin"] == "*"


def test_a_token_that_is_none(sandbox: Sandbox, playback_id: str) -> None:
    claims = {"sub": playback_id, "aud": "v", "exp": int(time.time()) + 600}
    headers = {"kid": sandbox.settings.mux_signing_key_id}
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    known = base64.b64decode(sandbox.settings.mux_signing_private_key)
    for token in (
        None,
        "",
        "x.y.z",
        jwt.encode(claims, stranger, "RS256", headers),
        jwt.encode(claims, known, "RS512", headers),
        jwt.encode(claims, known, "RS256"),
        jwt.encode(claims, "a secret of no use at all, but long enough", "HS256", headers),
        jwt.encode(claims, "", "none", headers),
        sandbox.token(playback_id)[:-2] + "AA",
    ):
        assert sandbox.stream(playback_id, token).status_code == 403, token


def test_the_key_may_be_named_in_the_claims_alone(sandbox: Sandbox, playback_id: str) -> None:
    key = base64.b64decode(sandbox.settings.mux_signing_private_key)
    claims = {"sub": playback_id, "aud": "v", "exp": int(time.time()) + 600}
    token = jwt.encode(claims | {"kid": sandbox.settings.mux_signing_key_id}, key, "RS256")
    assert sandbox.stream(playback_id, token).status_code == 200


def test_public_and_unknown_playback_ids(sandbox: Sandbox, public_id: str) -> None:
    assert sandbox.stream(public_id).status_code == 200
    assert sandbox.stream(public_id, sandbox.token(public_id)).status_code == 400
    assert sandbox.stream("unknown", sandbox.token("unknown")).status_code == 404


def test_a_preview_shows_its_part_only(sandbox: Sandbox, playback_id: str) -> None:
    token = sandbox.token(playback_id, asset_start_time=6, asset_end_time=12)
    (rendition_url,) = urls(sandbox.stream(playback_id, token).text)
    _, *segments = urls(sandbox.http.get(rendition_url).text)
    assert [re.findall(r"(\d{5})\.m4s", url)[0] for url in segments] == ["00001", "00002"]
    assert sandbox.http.get(segments[0].replace("00001", "00003")).status_code == 403


def test_images(sandbox: Sandbox, playback_id: str) -> None:
    token = sandbox.token(playback_id, "t")
    for extension, begins in (("jpg", b"\xff\xd8"), ("png", b"\x89PNG"), ("webp", b"RIFF")):
        picture = sandbox.image(playback_id, f"thumbnail.{extension}", token)
        assert picture.content.startswith(begins)
        assert picture.headers["content-type"].startswith("image/")
    assert sandbox.image(playback_id, "thumbnail.jpg").status_code == 403
    assert sandbox.image(playback_id, "thumbnail.jpg", sandbox.token(playback_id)).status_code == 403
    assert sandbox.image(playback_id, "thumbnail.bmp", token).status_code == 404
    assert sandbox.image(playback_id, "secret.jpg", token).status_code == 404


def test_the_storyboard(sandbox: Sandbox, playback_id: str) -> None:
    token = sandbox.token(playback_id, "s")
    vtt = sandbox.image(playback_id, "storyboard.vtt", token)
    assert vtt.headers["content-type"].startswith("text/vtt")
    cues = re.findall(r"--> (\S+)\n(http\S+)#xywh=(\d+),(\d+),(\d+),(\d+)", vtt.text)
    assert len(cues) == 24
    assert cues[-1][0] == "00:00:24.000"
    sprite = sandbox.http.get(cues[0][1])
    assert (sprite.status_code, sprite.headers["content-type"]) == (200, "image/jpeg")
    described = sandbox.image(playback_id, "storyboard.json", token).json()
    assert len(described["tiles"]) == 24
    assert sandbox.http.get(described["url"]).content == sprite.content
    for audience in ("v", "t"):
        refused = sandbox.image(playback_id, "storyboard.vtt", sandbox.token(playback_id, audience))
        assert refused.status_code == 403


# --- uploads


def test_upload_chunks_that_do_not_fit(sandbox: Sandbox) -> None:
    upload = sandbox.upload()

    def put(content: bytes, content_range: str) -> httpx.Response:
        return sandbox.http.put(upload.url, content=content, headers={"Content-Range": content_range})

    assert put(b"", "bytes */1000").headers.get("range") is None
    assert put(b"b" * 100, "bytes 100-199/1000").status_code == 416
    assert put(b"a" * 100, "bytes 0-99/1000").status_code == 308
    beyond = put(b"c" * 100, "bytes 200-299/1000")
    assert (beyond.status_code, beyond.headers["range"]) == (416, "bytes=0-99")
    assert put(b"b" * 100, "bytes 100-199/2000").status_code == 400
    assert put(b"b" * 50, "bytes 100-199/1000").status_code == 400
    assert put(b"b" * 100, "bytes 199-100/1000").status_code == 400
    assert put(b"b" * 100, "bytes 950-1049/1000").status_code == 400
    assert put(b"b" * 100, "nonsense").status_code == 400
    assert put(b"", f"bytes */{1000}").headers["range"] == "bytes=0-99"
    other = sandbox.upload()
    too_large = sandbox.http.put(
        other.url, content=b"x", headers={"Content-Range": f"bytes 0-0/{3 * 1024**3}"}
    )
    assert too_large.status_code == 413
    assert sandbox.http.put(f"{sandbox.base}/upload/unknown", content=b"x").status_code == 404


def test_a_chunk_sent_again_changes_nothing(sandbox: Sandbox, film: Path) -> None:
    upload, content = sandbox.upload(), film.read_bytes()
    total, cut = len(content), 300_000

    def put(first: int, last: int) -> httpx.Response:
        headers = {"Content-Range": f"bytes {first}-{last}/{total}"}
        return sandbox.http.put(upload.url, content=content[first : last + 1], headers=headers)

    assert put(0, cut).status_code == 308
    assert put(0, cut + 1000).headers["range"] == f"bytes=0-{cut + 1000}"
    assert put(cut - 5, total - 1).status_code == 200
    assert put(cut - 5, total - 1).status_code == 200
    assert sandbox.http.put(upload.url, headers={"Content-Range": f"bytes */{total}"}).status_code == 200
    assert put(0, cut).status_code == 409
    assert sandbox.http.put(upload.url, content=b"another film").status_code == 409
    asset_id = sandbox.uploads.get_direct_upload(upload.id).data.asset_id
    assert sandbox.mailbox.wait("video.asset.ready", asset_id)
    created = [e for e in sandbox.mailbox.events() if e["type"] == "video.asset.created"]
    assert [e["data"]["upload_id"] for e in created].count(upload.id) == 1


def test_a_broken_connection_keeps_what_came(sandbox: Sandbox, film: Path) -> None:
    upload, content = sandbox.upload(), film.read_bytes()
    total = len(content)
    path = upload.url.removeprefix(sandbox.settings.base_url)

    def put(first: int) -> httpx.Response:
        headers = {"Content-Range": f"bytes {first}-{total - 1}/{total}"}
        return sandbox.http.put(upload.url, content=content[first:], headers=headers)

    def held() -> str | None:
        answer = sandbox.http.put(upload.url, headers={"Content-Range": f"bytes */{total}"})
        value: str | None = answer.headers.get("range")
        return value

    with closing(socket.create_connection(("127.0.0.1", sandbox.settings.port))) as connection:
        head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {total}\r\n\r\n"
        connection.sendall(head.encode() + content[:100_000])
        wait_until(held)
        busy = put(0)
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
    wait_until(lambda: held() == "bytes=0-99999")
    assert put(100_000).status_code == 200


def test_uploads_from_browsers(sandbox: Sandbox) -> None:
    upload = sandbox.upload()
    asked = {
        "Origin": "http://app.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-range,content-type",
    }
    preflight = sandbox.http.options(upload.url, headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "http://app.example"
    assert "content-range" in preflight.headers["access-control-allow-headers"]
    chunk = {"Origin": "http://app.example", "Content-Range": "bytes 0-0/10"}
    answer = sandbox.http.put(upload.url, content=b"x", headers=chunk)
    assert "Range" in answer.headers["access-control-expose-headers"]
    foreign = sandbox.http.options(upload.url, headers=asked | {"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in foreign.headers


def test_uploads_end_unused(tmp_path: Path) -> None:
    with Sandbox(tmp_path) as sandbox:
        cancelled, late = sandbox.upload(), sandbox.upload()
        assert sandbox.uploads.cancel_direct_upload(cancelled.id).data.status == "cancelled"
        assert sandbox.http.put(cancelled.url, content=b"x").status_code == 410
        assert sandbox.mailbox.wait("video.upload.cancelled", cancelled.id)
        with pytest.raises(mux_python.exceptions.ForbiddenException):
            sandbox.uploads.cancel_direct_upload(cancelled.id)
        sandbox.clock.ahead = 3601
        assert sandbox.http.put(late.url, content=b"x").status_code == 410
        assert sandbox.uploads.get_direct_upload(late.id).data.status == "timed_out"
        listed = sandbox.uploads.list_direct_uploads(limit=1, page=2).data
        assert [each.id for each in listed] == [cancelled.id]


@pytest.mark.parametrize("content", [b"", b"no film", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"])
def test_a_file_that_is_no_film(sandbox: Sandbox, content: bytes) -> None:
    upload = sandbox.upload(passthrough="bad")
    assert sandbox.http.put(upload.url, content=content).status_code == 200
    asset_id = sandbox.uploads.get_direct_upload(upload.id).data.asset_id
    told = sandbox.mailbox.wait("video.asset.errored", asset_id)["data"]
    assert (told["status"], told["errors"]["type"], told["passthrough"]) == (
        "errored",
        "invalid_input",
        "bad",
    )
    assert told["errors"]["messages"]
    playback_id = told["playback_ids"][0]["id"]
    assert sandbox.stream(playback_id, sandbox.token(playback_id)).status_code == 412


@pytest.mark.parametrize(
    ("size", "sound", "aspect_ratio"),
    [("854x480", False, "16:9"), ("360x640", True, "9:16"), ("101x57", True, None)],
)
def test_films_of_other_shapes(
    sandbox: Sandbox, tmp_path: Path, size: str, sound: bool, aspect_ratio: str | None
) -> None:
    film = tmp_path / "film.mkv"
    tone = ["-f", "lavfi", "-i", "sine=d=1"] if sound else []
    subprocess.run(
        [FFMPEG, "-loglevel", "error", "-f", "lavfi", "-i", f"testsrc2=s={size}:d=1", *tone, str(film)],
        check=True,
    )
    ready = sandbox.ready(film)
    assert aspect_ratio in (None, ready["aspect_ratio"])
    assert len(ready["tracks"]) == 1 + sound
    playback_id = ready["playback_ids"][0]["id"]
    picture = sandbox.image(playback_id, "thumbnail.jpg", sandbox.token(playback_id, "t"))
    assert picture.status_code == 200


# --- the API


@pytest.mark.parametrize(
    "body",
    [
        {"unheard_of": 1},
        {"timeout": 59},
        {"timeout": 604801},
        {"timeout": True},
        {"timeout": "60"},
        {"cors_origin": 5},
        {"new_asset_settings": []},
        {"new_asset_settings": {"playback_policies": ["secret"]}},
        {"new_asset_settings": {"playback_policies": "signed"}},
        {"new_asset_settings": {"passthrough": "x" * 256}},
        {"new_asset_settings": {"meta": {"colour": "red"}}},
        {"new_asset_settings": {"inputs": [{"url": "http://x.example/film.mp4"}]}},
        {"new_asset_settings": {"unheard_of": 1}},
        ["a list"],
    ],
    ids=str,
)
def test_parameters_mux_would_refuse(sandbox: Sandbox, body: object) -> None:
    response = sandbox.http.post(
        f"{sandbox.base}/video/v1/uploads",
        json=body,
        auth=(sandbox.settings.mux_token_id, sandbox.settings.mux_token_secret),
    )
    assert (response.status_code, error_of(response)) == (400, "invalid_parameters")


def test_requests_that_do_not_fit(sandbox: Sandbox) -> None:
    url = f"{sandbox.base}/video/v1/assets"
    auth = (sandbox.settings.mux_token_id, sandbox.settings.mux_token_secret)
    for wrong in (None, (auth[0], "wrong"), ("wrong", auth[1])):
        response = sandbox.http.get(url, auth=wrong)
        assert (response.status_code, error_of(response)) == (401, "unauthorized")
    assert sandbox.http.post(url, content=b"{", auth=auth).status_code == 400
    assert sandbox.http.post(url, json={"input": [{"url": "http://x.example"}]}, auth=auth).status_code == 400
    assert sandbox.http.get(url, params={"limit": 101}, auth=auth).status_code == 400
    assert error_of(sandbox.http.get(f"{url}/unknown", auth=auth)) == "not_found"
    assert error_of(sandbox.http.get(f"{sandbox.base}/nowhere", auth=auth)) == "not_found"
    assert sandbox.http.delete(url, auth=auth).status_code == 405


def test_assets_are_listed_and_changed(sandbox: Sandbox, asset: dict[str, Any]) -> None:
    listed = sandbox.assets.list_assets(limit=1, upload_id=asset["upload_id"])
    assert ([each.id for each in listed.data], listed.next_cursor) == ([asset["id"]], None)
    changed = sandbox.assets.update_asset(
        asset["id"], mux_python.UpdateAssetRequest(passthrough="video-2", meta={"title": "New"})
    ).data
    assert (changed.passthrough, changed.meta.title) == ("video-2", "New")
    assert sandbox.mailbox.wait("video.asset.updated", asset["id"])["data"]["passthrough"] == "video-2"
    added = sandbox.assets.create_asset_playback_id(
        asset["id"], mux_python.CreatePlaybackIDRequest(policy="signed")
    ).data
    token = sandbox.token(added.id)
    assert sandbox.stream(added.id, token).status_code == 200
    sandbox.assets.delete_asset_playback_id(asset["id"], added.id)
    assert sandbox.stream(added.id, token).status_code == 404


def test_a_deleted_asset_is_gone(sandbox: Sandbox, film: Path) -> None:
    asset = sandbox.ready(film)
    playback_id = asset["playback_ids"][0]["id"]
    token = sandbox.token(playback_id)
    (rendition_url,) = urls(sandbox.stream(playback_id, token).text)
    sandbox.assets.delete_asset(asset["id"])
    assert sandbox.mailbox.wait("video.asset.deleted", asset["id"])
    assert sandbox.stream(playback_id, token).status_code == 404
    assert sandbox.http.get(rendition_url).status_code == 404
    for call in (sandbox.assets.get_asset, sandbox.assets.delete_asset):
        with pytest.raises(mux_python.exceptions.NotFoundException):
            call(asset["id"])
    assert not (sandbox.settings.data_dir / "mux" / "assets" / asset["id"]).exists()


def test_signing_keys(sandbox: Sandbox, playback_id: str) -> None:
    key = sandbox.keys.create_signing_key().data
    claims = {"sub": playback_id, "aud": "v", "exp": int(time.time()) + 600}
    token = jwt.encode(claims, base64.b64decode(key.private_key), "RS256", {"kid": key.id})
    assert sandbox.stream(playback_id, token).status_code == 200
    listed = [each.id for each in sandbox.keys.list_signing_keys().data]
    assert listed == [key.id, sandbox.settings.mux_signing_key_id]
    assert sandbox.keys.get_signing_key(key.id).data.private_key is None
    sandbox.keys.delete_signing_key(key.id)
    assert sandbox.stream(playback_id, token).status_code == 403
    with pytest.raises(mux_python.exceptions.NotFoundException):
        sandbox.keys.get_signing_key(key.id)


# --- stopping and starting


@pytest.fixture(scope="module")
def long_film(film: Path) -> Path:
    long_film = film.with_name("long.mp4")
    subprocess.run(
        [*(FFMPEG, "-loglevel", "error", "-stream_loop", "4", "-i", str(film), "-c", "copy"), str(long_film)],
        check=True,
    )
    return long_film


def test_an_asset_deleted_while_it_is_made(tmp_path: Path, film: Path, long_film: Path) -> None:
    with Sandbox(tmp_path) as sandbox:
        upload = sandbox.upload()
        assert sandbox.http.put(upload.url, content=long_film.read_bytes()).status_code == 200
        asset_id = sandbox.uploads.get_direct_upload(upload.id).data.asset_id
        wait_until(lambda: list((tmp_path / "mux" / "work").glob("*/00000.m4s")))
        sandbox.assets.delete_asset(asset_id)
        assert sandbox.ready(film)["status"] == "ready"
        told = [e["type"] for e in sandbox.mailbox.events() if e["object"]["id"] == asset_id]
        assert sorted(told) == ["video.asset.created", "video.asset.deleted"]
        wait_until(lambda: not list((tmp_path / "mux" / "work").iterdir()))
        wait_until(lambda: not list((tmp_path / "mux" / "uploads").iterdir()))


def test_work_goes_on_after_the_process_was_killed(tmp_path: Path, long_film: Path) -> None:
    data_dir = tmp_path / "data"
    with closing(socket.create_server(("127.0.0.1", 0))) as reserved:
        port = reserved.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, __file__, str(data_dir), str(port)], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    try:
        base = f"http://localhost:{port}/sandbox/mux"
        with httpx.Client(trust_env=False, timeout=PATIENCE) as http:
            wait_until(lambda: _answers(http, base))
            settings = LocalSettings.load(data_dir, port)
            upload = http.post(
                f"{base}/video/v1/uploads",
                json={"new_asset_settings": {"playback_policies": ["signed"]}},
                auth=(settings.mux_token_id, settings.mux_token_secret),
            ).json()["data"]
            assert http.put(upload["url"], content=long_film.read_bytes()).status_code == 200
        wait_until(lambda: list((data_dir / "mux" / "work").glob("*/00000.m4s")))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)

    state = State(data_dir / "sandbox.sqlite")
    (asset,) = state.all("mux.asset")
    state.close()
    assert asset["status"] == "preparing"
    with Sandbox(data_dir) as sandbox:
        ready = sandbox.mailbox.wait("video.asset.ready", asset["id"])["data"]
        assert ready["duration"] == pytest.approx(120, abs=1)
        playback_id = ready["playback_ids"][0]["id"]
        assert sandbox.stream(playback_id, sandbox.token(playback_id)).status_code == 200
        wait_until(lambda: not list((data_dir / "mux" / "work").iterdir()))
        wait_until(lambda: not list((data_dir / "mux" / "uploads").iterdir()))


def test_work_goes_on_after_a_stop(tmp_path: Path, film: Path) -> None:
    with Sandbox(tmp_path) as sandbox:
        upload = sandbox.upload()
        assert sandbox.http.put(upload.url, content=film.read_bytes()).status_code == 200
        asset_id = sandbox.uploads.get_direct_upload(upload.id).data.asset_id
    with Sandbox(tmp_path) as sandbox:
        assert sandbox.mailbox.wait("video.asset.ready", asset_id)


def _answers(http: httpx.Client, base: str) -> bool:
    try:
        return http.get(f"{base}/deliveries").status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    folder, port_number = Path(sys.argv[1]), int(sys.argv[2])
    uvicorn.run(
        build(LocalSettings.load(folder, port_number), Mailbox(), time.time),
        port=port_number,
        log_level="warning",
    )
