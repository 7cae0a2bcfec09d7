"""`Videos`: what holds for Mux (its SDK, over HTTP, against the sandbox) holds for the fake."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import httpx
import mux_python
import pytest

from infra.local.processes import free_port
from lib.adapters.mux_videos import MuxVideos
from lib.config import Environment, MuxSettings
from lib.errors import UnavailableError
from lib.video.ports import Videos
from tests.fakes.videos import Announced, FakeVideos

ORIGIN = "https://app.example.com"
# Seconds until the adapter must have given up: its own limits and some more for a slow machine.
PATIENCE = 20


class Provider(Protocol):
    """An implementation, and a look behind it."""

    videos: Videos

    def announced(self, upload_id: str) -> Announced: ...

    def take_down(self) -> None: ...


class Mux:
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

    def take_down(self) -> None:
        self.videos = mux_at(free_port())


class Fake:
    def __init__(self) -> None:
        self._fake = FakeVideos()
        self.videos: Videos = self._fake

    def announced(self, upload_id: str) -> Announced:
        return self._fake.announced[upload_id]

    def take_down(self) -> None:
        self._fake.down = True


def mux_at(port: int) -> MuxVideos:
    return MuxVideos(MuxSettings("id", "secret", f"http://127.0.0.1:{port}"), ORIGIN)


@pytest.fixture
def mux(environment: dict[str, str]) -> Mux:
    return Mux(environment)


@pytest.fixture(params=["mux", "fake"])
def provider(request: pytest.FixtureRequest) -> Provider:
    return Fake() if request.param == "fake" else request.getfixturevalue("mux")


# -- both -------------------------------------------------------------------------------------------------


def test_an_upload_is_a_place_for_one_file_for_some_hours(provider: Provider) -> None:
    before = datetime.now(UTC)
    upload = provider.videos.create_upload(video_id=uuid.uuid4(), title="A film")
    assert upload.protocol == "put"
    assert upload.url.startswith(("http://", "https://"))
    assert timedelta(hours=1) < upload.expires_at - before <= timedelta(days=7)
    assert 1 <= len(upload.id) <= 255


def test_the_video_is_named_and_playable_with_signed_tokens_only(provider: Provider) -> None:
    video_id, title = uuid.uuid4(), "Ein „Film“ – 🎬 & <b>" + "x" * 170
    upload = provider.videos.create_upload(video_id=video_id, title=title)
    assert provider.announced(upload.id) == Announced(video_id, title, ("signed",))


def test_each_call_makes_a_place_of_its_own(provider: Provider) -> None:
    video_id = uuid.uuid4()
    uploads = [provider.videos.create_upload(video_id=video_id, title="Twice") for _ in range(2)]
    assert len({upload.id for upload in uploads}) == len({upload.url for upload in uploads}) == 2


def test_out_of_reach(provider: Provider) -> None:
    provider.take_down()
    started = time.monotonic()
    with pytest.raises(UnavailableError) as refused:
        provider.videos.create_upload(video_id=uuid.uuid4(), title="A film")
    assert time.monotonic() - started < PATIENCE
    assert int(refused.value.headers["Retry-After"]) >= 1


# -- Mux alone --------------------------------------------------------------------------------------------


def test_a_browser_of_ours_may_send_the_file_in_time(mux: Mux) -> None:
    upload = mux.videos.create_upload(video_id=uuid.uuid4(), title="A film")
    told = mux.upload(upload.id)
    assert (told["cors_origin"], told["timeout"]) == (ORIGIN, 6 * 3600)
    preflight = httpx.options(upload.url, headers={"Origin": ORIGIN, "Access-Control-Request-Method": "PUT"})
    assert preflight.headers["access-control-allow-origin"] == ORIGIN


def test_wrong_credentials_are_a_fault_of_ours_and_nothing_to_try_again(environment: dict[str, str]) -> None:
    wrong = Environment(environment | {"MUX_TOKEN_SECRET": "not-this-one"}).mux()
    with pytest.raises(mux_python.ApiException) as refused:
        MuxVideos(wrong, ORIGIN).create_upload(video_id=uuid.uuid4(), title="A film")
    assert refused.value.status == 401


class BadServer(ThreadingHTTPServer):
    """Takes a request and answers as it was told to: with a status, or `hang`, `cut` or `stall`."""

    daemon_threads = True

    def __init__(self, answer: int | str) -> None:
        super().__init__(("127.0.0.1", 0), _BadAnswers)
        self.answer = answer
        self.asked = 0
        self.over = threading.Event()


class _BadAnswers(BaseHTTPRequestHandler):
    server: BadServer

    def do_POST(self) -> None:
        self.server.asked += 1
        self.rfile.read(int(self.headers["Content-Length"]))
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


@pytest.mark.parametrize("answer", [429, 500, 502, 503, 504, "cut"])
def test_trouble_at_mux_is_unavailability_and_asked_once(
    answer: int | str, bad_server: Callable[[int | str], BadServer]
) -> None:
    server = bad_server(answer)
    with pytest.raises(UnavailableError) as refused:
        mux_at(server.server_port).create_upload(video_id=uuid.uuid4(), title="A film")
    assert int(refused.value.headers["Retry-After"]) >= 1
    assert server.asked == 1, "a POST that may have made an upload is not repeated by itself"


def test_a_mux_that_does_not_finish_is_given_up(bad_server: Callable[[int | str], BadServer]) -> None:
    servers = [bad_server("hang"), bad_server("stall")]

    def ask(server: BadServer) -> None:
        mux_at(server.server_port).create_upload(video_id=uuid.uuid4(), title="A film")

    started = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask, server) for server in servers]
    assert time.monotonic() - started < PATIENCE
    assert [type(call.exception()) for call in asked] == [UnavailableError] * 2
    assert [server.asked for server in servers] == [1, 1]


@pytest.mark.parametrize("status", [400, 404, 422])
def test_other_refusals_are_faults(status: int, bad_server: Callable[[int | str], BadServer]) -> None:
    with pytest.raises(mux_python.ApiException):
        mux_at(bad_server(status).server_port).create_upload(video_id=uuid.uuid4(), title="A film")
