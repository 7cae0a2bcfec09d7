"""`Videos`: what holds for Mux (its SDK) and Cloudflare (REST), over HTTP against the sandbox, holds for the fake."""

import json
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import httpx
import imageio_ffmpeg
import mux_python
import pytest
import requests

from infra.local.processes import free_port
from infra.local.sandbox.cloudflare.api import MOST_FILE_BYTES
from lib.adapters.cloudflare_videos import LARGEST_FORM, CloudflareVideos
from lib.adapters.mux_videos import MuxVideos
from lib.config import CloudflareSettings, Environment, MuxSettings
from lib.errors import InvalidRequestError, UnavailableError
from lib.video.ports import Progress, Upload, Videos
from tests.factories import wait_for
from tests.fakes.videos import Announced, FakeVideos

ORIGIN = "https://app.example.com"
# Seconds until the adapter must have given up: its own limits and some more for a slow machine.
PATIENCE = 20
READY_SECONDS = 60


class Provider(Protocol):
    """An implementation, and a look behind it."""

    videos: Videos
    protocol: str

    def announced(self, upload_id: str) -> Announced: ...

    def send(self, upload: Upload, file: bytes) -> int: ...

    def add_captions(self, film: Progress, language: str) -> object:
        """What `remove_captions` knows them by."""
        ...

    def remove_captions(self, film: Progress, captions: object) -> None: ...

    def add_audio(self, film: Progress, language: str) -> None: ...

    def take_down(self) -> None: ...


class Mux:
    protocol = "put"

    def __init__(self, environment: dict[str, str]) -> None:
        self._settings = Environment(environment).mux()
        self.videos: Videos = MuxVideos(self._settings, ORIGIN)

    def upload(self, upload_id: str) -> dict[str, Any]:
        response = httpx.get(
            f"{self._settings.api_base}/video/v1/uploads/{upload_id}",
            auth=(self._settings.token_id, self._settings.token_secret),
        )
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()["data"]
        return found

    def announced(self, upload_id: str) -> Announced:
        asset = self.upload(upload_id)["new_asset_settings"]
        assert asset["meta"]["external_id"] == asset["passthrough"]
        return Announced(
            uuid.UUID(asset["passthrough"]), asset["meta"]["title"], tuple(asset["playback_policies"])
        )

    def send(self, upload: Upload, file: bytes) -> int:
        return httpx.put(upload.url, content=file, timeout=30).status_code

    def add_captions(self, film: Progress, language: str) -> object:
        return self._add_track(film, language, type="text", text_type="subtitles", closed_captions=True)

    def remove_captions(self, film: Progress, captions: object) -> None:
        self._ask("DELETE", f"/{film.asset_id}/tracks/{captions}", 204)

    def add_audio(self, film: Progress, language: str) -> None:
        self._add_track(film, language, type="audio")

    def _add_track(self, film: Progress, language: str, **facts: Any) -> object:
        # Past the SDK, which knows no tracks of sound.
        track = {"url": "https://files.example.com/track", "name": language, "language_code": language}
        return self._ask("POST", f"/{film.asset_id}/tracks", 201, json=track | facts).json()["data"]["id"]

    def _ask(self, method: str, path: str, status: int, **options: Any) -> httpx.Response:
        response = httpx.request(
            method,
            f"{self._settings.api_base}/video/v1/assets{path}",
            auth=(self._settings.token_id, self._settings.token_secret),
            **options,
        )
        assert response.status_code == status, response.text
        return response

    def take_down(self) -> None:
        self.videos = mux_at(free_port())


class Cloudflare:
    protocol = "form"

    def __init__(self, environment: dict[str, str]) -> None:
        self._settings = Environment(environment).cloudflare()
        self.videos: Videos = CloudflareVideos(self._settings)

    def video(self, uid: str) -> dict[str, Any]:
        response = httpx.get(
            f"{self._settings.api_base}/accounts/{self._settings.account_id}/stream/{uid}",
            headers={"Authorization": f"Bearer {self._settings.api_token}"},
        )
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()["result"]
        return found

    def announced(self, upload_id: str) -> Announced:
        video = self.video(upload_id)
        policy = "signed" if video["requireSignedURLs"] else "public"
        return Announced(uuid.UUID(video["creator"]), video["meta"]["name"], (policy,))

    def send(self, upload: Upload, file: bytes) -> int:
        return httpx.post(upload.url, files={"file": ("film.mp4", file)}, timeout=30).status_code

    def add_captions(self, film: Progress, language: str) -> object:
        captions = {"file": ("captions.vtt", b"WEBVTT\n\n00:00.000 --> 00:01.000\nA word\n", "text/vtt")}
        self._ask("PUT", f"/{film.asset_id}/captions/{language}", files=captions)
        return language

    def remove_captions(self, film: Progress, captions: object) -> None:
        self._ask("DELETE", f"/{film.asset_id}/captions/{captions}")

    def add_audio(self, film: Progress, language: str) -> None:
        track = {"url": "https://files.example.com/track", "label": language}
        self._ask("POST", f"/{film.asset_id}/audio/copy", json=track)

    def _ask(self, method: str, path: str, **options: Any) -> None:
        stream = f"{self._settings.api_base}/accounts/{self._settings.account_id}/stream"
        headers = {"Authorization": f"Bearer {self._settings.api_token}"}
        response = httpx.request(method, stream + path, headers=headers, **options)
        assert response.status_code == 200, response.text

    def take_down(self) -> None:
        self.videos = cloudflare_at(free_port())


class Fake:
    protocol = "put"

    def __init__(self) -> None:
        self._fake = FakeVideos()
        self.videos: Videos = self._fake

    def announced(self, upload_id: str) -> Announced:
        return self._fake.announced[upload_id]

    def send(self, upload: Upload, file: bytes) -> int:
        return self._fake.send(upload.id, film=len(file) > 100)

    def add_captions(self, film: Progress, language: str) -> object:
        self._fake.tracks(film, captions=(*self._fake.film(film).captions, language))
        return language

    def remove_captions(self, film: Progress, captions: object) -> None:
        self._fake.tracks(film, captions=tuple(each for each in film.captions if each != captions))

    def add_audio(self, film: Progress, language: str) -> None:
        self._fake.tracks(film, audio_languages=(*self._fake.film(film).audio_languages, language))

    def take_down(self) -> None:
        self._fake.down = True


def mux_at(port: int) -> MuxVideos:
    return MuxVideos(MuxSettings("id", "secret", f"http://127.0.0.1:{port}"), ORIGIN)


def cloudflare_at(port: int) -> CloudflareVideos:
    return CloudflareVideos(CloudflareSettings("account", "token", f"http://127.0.0.1:{port}"))


def announce(videos: Videos, title: str = "A film", size: int | None = None) -> Upload:
    return videos.create_upload(video_id=uuid.uuid4(), title=title, size=size)


ADAPTERS: dict[str, Callable[[int], Videos]] = {"mux": mux_at, "cloudflare": cloudflare_at}
FAULTS = {"mux": mux_python.ApiException, "cloudflare": requests.HTTPError}
CALLS: dict[str, Callable[[Videos], object]] = {
    "create_upload": announce,
    "progress": lambda videos: videos.progress(upload_id="upload", asset_id="asset"),
    "delete": lambda videos: videos.delete(upload_id="upload", asset_id="asset"),
}


@pytest.fixture
def mux(environment: dict[str, str]) -> Mux:
    return Mux(environment)


@pytest.fixture
def cloudflare(environment: dict[str, str]) -> Cloudflare:
    return Cloudflare(environment)


@pytest.fixture(params=["mux", "cloudflare", "fake"])
def provider(request: pytest.FixtureRequest) -> Provider:
    return Fake() if request.param == "fake" else request.getfixturevalue(request.param)


@pytest.fixture(params=sorted(ADAPTERS))
def adapter(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Two seconds of a picture that moves."""
    path: Path = tmp_path_factory.mktemp("film") / "film.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-f", "lavfi"]
    subprocess.run(
        [*command, "-i", "testsrc2=s=160x90:r=10:d=2", "-preset", "ultrafast", str(path)],
        check=True,
        timeout=60,
    )
    return path.read_bytes()


def settled(provider: Provider, upload: Upload) -> Progress:
    """How far it has come once it comes no further."""

    def look() -> Progress | None:
        found = provider.videos.progress(upload_id=upload.id, asset_id=None)
        return found if found.status not in ("waiting", "processing") else None

    return wait_for(look, READY_SECONDS)


# -- all --------------------------------------------------------------------------------------------------


def test_an_upload_is_a_place_for_one_file_for_some_hours(provider: Provider) -> None:
    before = datetime.now(UTC)
    upload = announce(provider.videos)
    assert upload.protocol == provider.protocol
    assert upload.url.startswith(("http://", "https://"))
    assert timedelta(hours=1) < upload.expires_at - before <= timedelta(days=7)
    assert 1 <= len(upload.id) <= 255


def test_the_video_is_named_and_playable_with_signed_tokens_only(provider: Provider) -> None:
    video_id, title = uuid.uuid4(), "Ein „Film“ – 🎬 & <b>" + "x" * 170
    upload = provider.videos.create_upload(video_id=video_id, title=title, size=None)
    assert provider.announced(upload.id) == Announced(video_id, title, ("signed",))


def test_each_call_makes_a_place_of_its_own(provider: Provider) -> None:
    video_id = uuid.uuid4()
    uploads = [provider.videos.create_upload(video_id=video_id, title="Twice", size=None) for _ in range(2)]
    assert len({upload.id for upload in uploads}) == len({upload.url for upload in uploads}) == 2


def test_a_film_becomes_ready(provider: Provider, film: bytes) -> None:
    upload = announce(provider.videos)
    assert provider.videos.progress(upload_id=upload.id, asset_id=None) == Progress("waiting")
    assert provider.send(upload, film) == 200
    found = settled(provider, upload)
    assert found.status == "ready", found
    assert found.asset_id
    assert found.playback_id
    assert found.duration == pytest.approx(2, abs=0.3)
    assert provider.videos.progress(upload_id=upload.id, asset_id=found.asset_id) == found


def test_languages_are_told_whenever_they_come_and_go(provider: Provider, film: bytes) -> None:
    upload = announce(provider.videos)
    provider.send(upload, film)
    found = settled(provider, upload)
    assert (found.captions, found.audio_languages) == ((), ())

    def languages() -> tuple[tuple[str, ...], tuple[str, ...]]:
        told = provider.videos.progress(upload_id=upload.id, asset_id=found.asset_id)
        assert replace(told, captions=(), audio_languages=()) == found
        return told.captions, told.audio_languages

    english = provider.add_captions(found, "en")
    provider.add_captions(found, "pt-BR")
    provider.add_audio(found, "de")
    wait_for(lambda: languages() == (("en", "pt-BR"), ("de",)))
    provider.remove_captions(provider.videos.progress(upload_id=upload.id, asset_id=found.asset_id), english)
    assert languages() == (("pt-BR",), ("de",))


def test_what_is_no_film_fails_with_a_reason(provider: Provider) -> None:
    upload = announce(provider.videos)
    assert provider.send(upload, b"not a film at all") == 200
    found = settled(provider, upload)
    assert (found.status, found.playback_id) == ("errored", None)
    assert found.error


@pytest.mark.parametrize("known", [True, False])
def test_a_film_that_is_deleted_is_gone(provider: Provider, film: bytes, known: bool) -> None:
    """Whether or not it was ever heard which asset the upload became."""
    upload = announce(provider.videos)
    provider.send(upload, film)
    asset_id = settled(provider, upload).asset_id
    for knew in (True, False):
        assert provider.videos.delete(upload_id=upload.id, asset_id=asset_id if known else None) is knew
        assert provider.videos.progress(upload_id=upload.id, asset_id=asset_id).status == "removed"


def test_what_is_still_being_made_is_gone_too(provider: Provider, film: bytes) -> None:
    upload = announce(provider.videos)
    provider.send(upload, film)
    provider.videos.delete(upload_id=upload.id, asset_id=None)
    assert settled(provider, upload).status == "removed"


def test_a_place_that_is_deleted_takes_no_file(provider: Provider, film: bytes) -> None:
    upload = announce(provider.videos)
    for _ in range(2):
        provider.videos.delete(upload_id=upload.id, asset_id=None)
    assert settled(provider, upload).status in ("errored", "removed")
    assert provider.send(upload, film) in (404, 410)


def test_what_nobody_knows_is_removed_and_can_be_deleted(provider: Provider) -> None:
    unknown = uuid.uuid4().hex
    for asset_id in (None, uuid.uuid4().hex):
        assert not provider.videos.delete(upload_id=unknown, asset_id=asset_id)
        assert provider.videos.progress(upload_id=unknown, asset_id=asset_id).status == "removed"


@pytest.mark.parametrize("call", CALLS)
def test_out_of_reach(provider: Provider, call: str) -> None:
    provider.take_down()
    started = time.monotonic()
    with pytest.raises(UnavailableError) as refused:
        CALLS[call](provider.videos)
    assert time.monotonic() - started < PATIENCE
    assert int(refused.value.headers["Retry-After"]) >= 1


# -- Cloudflare alone -------------------------------------------------------------------------------------


def test_a_large_file_comes_in_pieces(cloudflare: Cloudflare, film: bytes) -> None:
    """By tus; a piece that was not heard of is sent from where the server says."""
    title = "In pieces – 🎬"
    video_id = uuid.uuid4()
    upload = cloudflare.videos.create_upload(video_id=video_id, title=title, size=LARGEST_FORM + 1)
    assert upload.protocol == "tus"
    assert cloudflare.announced(upload.id) == Announced(video_id, title, ("signed",))
    tus = {"Tus-Resumable": "1.0.0"}
    offset = httpx.head(upload.url, headers=tus)
    assert (offset.headers["upload-offset"], offset.headers["upload-length"]) == ("0", str(LARGEST_FORM + 1))
    piece = {**tus, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    sent = httpx.patch(upload.url, headers=piece, content=bytes(5 * 1024**2), timeout=30)
    assert (sent.status_code, sent.headers["upload-offset"]) == (204, str(5 * 1024**2))
    again = httpx.patch(upload.url, headers=piece, content=bytes(5 * 1024**2), timeout=30)
    assert again.status_code == 409
    assert httpx.head(upload.url, headers=tus).headers["upload-offset"] == str(5 * 1024**2)
    assert cloudflare.videos.progress(upload_id=upload.id, asset_id=None) == Progress("waiting")
    cloudflare.videos.delete(upload_id=upload.id, asset_id=None)
    assert httpx.head(upload.url, headers=tus).status_code == 404


@pytest.mark.parametrize(("size", "protocol"), [(None, "form"), (1, "form"), (LARGEST_FORM, "form")])
def test_other_files_come_as_a_form(cloudflare: Cloudflare, size: int | None, protocol: str) -> None:
    assert announce(cloudflare.videos, size=size).protocol == protocol


def test_the_largest_file_that_comes_as_a_form_fits_into_one() -> None:
    around = httpx.Request("POST", "https://upload.invalid", files={"file": ("ä" * 255 + ".mp4", b"")})
    assert LARGEST_FORM + int(around.headers["Content-Length"]) <= 200_000_000


@pytest.mark.parametrize("size", [MOST_FILE_BYTES + 1, 2**40])
def test_a_file_that_the_provider_would_not_take_is_refused_by_its_size(
    cloudflare: Cloudflare, size: int
) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        announce(cloudflare.videos, size=size)
    assert [(each.field, each.code) for each in refused.value.errors] == [("size", "too_large")]
    assert announce(cloudflare.videos, size=MOST_FILE_BYTES).protocol == "tus"


def test_a_wrong_token_is_a_fault_of_ours(environment: dict[str, str]) -> None:
    wrong = Environment(environment | {"CLOUDFLARE_API_TOKEN": "not-this-one"}).cloudflare()
    for call in CALLS.values():
        with pytest.raises(requests.HTTPError) as refused:
            call(CloudflareVideos(wrong))
        assert refused.value.response.status_code == 401


# -- Mux alone --------------------------------------------------------------------------------------------


def test_a_browser_of_ours_may_send_the_file_in_time(mux: Mux) -> None:
    upload = mux.videos.create_upload(video_id=uuid.uuid4(), title="A film", size=None)
    told = mux.upload(upload.id)
    assert (told["cors_origin"], told["timeout"]) == (ORIGIN, 6 * 3600)
    preflight = httpx.options(upload.url, headers={"Origin": ORIGIN, "Access-Control-Request-Method": "PUT"})
    assert preflight.headers["access-control-allow-origin"] == ORIGIN


def test_wrong_credentials_are_a_fault_of_ours_and_nothing_to_try_again(environment: dict[str, str]) -> None:
    wrong = Environment(environment | {"MUX_TOKEN_SECRET": "not-this-one"}).mux()
    with pytest.raises(mux_python.ApiException) as refused:
        MuxVideos(wrong, ORIGIN).create_upload(video_id=uuid.uuid4(), title="A film", size=None)
    assert refused.value.status == 401


class BadServer(ThreadingHTTPServer):
    """Takes a request and answers as it was told to: with a status, or `hang`, `cut` or `stall`."""

    daemon_threads = True

    def __init__(self, answer: int | str) -> None:
        super().__init__(("127.0.0.1", 0), _BadAnswers)
        self.answer = answer
        self.asked = 0
        self.bodies: list[bytes] = []
        self.over = threading.Event()


class _BadAnswers(BaseHTTPRequestHandler):
    server: BadServer

    def do_POST(self) -> None:
        self.server.asked += 1
        self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        answer = self.server.answer
        if isinstance(answer, int):
            body = json.dumps({"error": {"type": "some_trouble", "messages": ["Later"]}}).encode()
            self.send_response(answer)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        elif answer == "stall":
            self.send_response(201)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b'{"data":')
        if answer in ("hang", "stall"):
            self.wfile.flush()
            self.server.over.wait(60)
        self.close_connection = True

    do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815 - names of the base class

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def bad_server() -> Iterator[Callable[[int | str], BadServer]]:
    running: list[tuple[BadServer, threading.Thread]] = []

    def start(answer: int | str) -> BadServer:
        server = BadServer(answer)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.over.set()
        server.shutdown()
        thread.join(10)
        server.server_close()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("answer", [429, 500, 502, 503, 504, "cut"])
def test_trouble_at_the_provider_is_unavailability_and_asked_once(
    adapter: str, call: str, answer: int | str, bad_server: Callable[[int | str], BadServer]
) -> None:
    server = bad_server(answer)
    with pytest.raises(UnavailableError) as refused:
        CALLS[call](ADAPTERS[adapter](server.server_port))
    assert int(refused.value.headers["Retry-After"]) >= 1
    assert server.asked == 1, "a POST that may have made an upload is not repeated by itself"


def test_a_provider_that_does_not_finish_is_given_up(
    adapter: str, bad_server: Callable[[int | str], BadServer]
) -> None:
    servers = [bad_server("hang"), bad_server("stall")]
    started = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(announce, ADAPTERS[adapter](server.server_port)) for server in servers]
    assert time.monotonic() - started < PATIENCE
    assert [type(call.exception()) for call in asked] == [UnavailableError] * 2
    assert [server.asked for server in servers] == [1, 1]


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("call", CALLS)
def test_other_refusals_are_faults(
    adapter: str, call: str, status: int, bad_server: Callable[[int | str], BadServer]
) -> None:
    with pytest.raises(FAULTS[adapter]):
        CALLS[call](ADAPTERS[adapter](bad_server(status).server_port))


def test_with_a_drm_configuration_films_are_asked_for_so(
    bad_server: Callable[[int | str], BadServer],
) -> None:
    """The sandbox has no DRM to give: what is looked at is the request itself."""
    server = bad_server(500)
    protected = MuxSettings("id", "secret", f"http://127.0.0.1:{server.server_port}", "drm-configuration")
    with pytest.raises(UnavailableError):
        announce(MuxVideos(protected, ORIGIN))
    asked = json.loads(server.bodies[0])["new_asset_settings"]
    assert asked["advanced_playback_policies"] == [
        {"policy": "drm", "drm_configuration_id": "drm-configuration"}
    ]
    assert "playback_policies" not in asked
