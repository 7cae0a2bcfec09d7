"""A real file all the way through Cloudflare Stream: announced, sent as a form, listed, watched by who may."""

import re
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import imageio_ffmpeg
import pytest

from infra.local.sample_film import make_sample_film
from infra.local.settings import _make_rsa_jwk
from infra.local.supervisor import Stack
from lib.adapters.playback_signers import CloudflareSigner
from lib.config import Environment
from lib.database.engine import Database
from tests.factories import Factory, Person, wait_for

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
FORBIDDEN = 403


@pytest.fixture(scope="module")
def crew(stack: Stack, database: Database) -> Iterator[Factory]:
    with Factory(stack, database) as factory:
        yield factory


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path: Path = tmp_path_factory.mktemp("film") / "film.mp4"
    make_sample_film(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def listed(crew: Factory, file: bytes) -> dict[str, Any]:
    """The film in the list, once it is there."""
    admin, title = crew.admin(), f"At Cloudflare {uuid.uuid4().hex}"
    body = {"title": title, "provider": "cloudflare", "size": len(file)}
    announced = admin.api.post("upload-asset", body)
    assert announced.status_code == 201, announced.text
    assert announced.json()["video"]["provider"] == "cloudflare"
    upload = announced.json()["upload"]
    assert upload["protocol"] == "form"
    sent = httpx.post(upload["url"], files={"file": ("film.mp4", file, "video/mp4")}, timeout=30)
    assert sent.status_code == 200, sent.text

    def find() -> dict[str, Any] | None:
        videos = admin.api.get("list-videos", q=title).json()["videos"]
        return next(iter(videos), None)

    return wait_for(find, 60)


@pytest.fixture(scope="module")
def viewer(crew: Factory) -> Person:
    person = crew.person()
    crew.entitle(person)
    return person


@pytest.fixture(scope="module")
def playback(listed: dict[str, Any], viewer: Person) -> dict[str, Any]:
    response = viewer.api.get("get-playback", video_id=listed["id"])
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=30)


def test_the_list_gives_nobody_a_token(listed: dict[str, Any]) -> None:
    assert listed["thumbnail_url"] is None


def test_a_subscriber_watches_it(playback: dict[str, Any]) -> None:
    assert playback["provider"] == "cloudflare"
    assert playback["tokens"]["playback"] in playback["playback_url"]
    assert (playback["storyboard_url"], playback["tokens"]["storyboard"]) == (None, None)
    picture = get(playback["thumbnail_url"])
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
    multivariant = get(playback["playback_url"])
    assert multivariant.text.startswith("#EXTM3U")
    base = playback["playback_url"].rpartition("/")[0]
    (rendition,) = re.findall(r"^[^#\n]+$", multivariant.text, re.MULTILINE)
    media = get(f"{base}/{rendition}").text
    for name in re.findall(r'(?:URI="|^)([^#"\n]+)', media, re.MULTILINE):
        assert get(f"{base}/{name}").status_code == 200
        assert (
            get(f"{base.replace(playback['tokens']['playback'], playback['playback_id'])}/{name}").status_code
            == FORBIDDEN
        )


def test_a_player_decodes_it_to_the_end(playback: dict[str, Any]) -> None:
    command = [FFMPEG, "-nostdin", "-hide_banner", "-i", playback["playback_url"], "-f", "null", "-"]
    played = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert played.returncode == 0, played.stderr
    assert "Audio: aac" in played.stderr


def test_without_the_right_token_there_is_nothing(
    playback: dict[str, Any], environment: dict[str, str]
) -> None:
    settings = Environment(environment).cloudflare_signing()
    key_id = settings.key_id
    ours = CloudflareSigner(settings)
    stranger = CloudflareSigner(replace(settings, jwk=_make_rsa_jwk(key_id)))
    uid, soon = playback["playback_id"], datetime.now(UTC) + timedelta(minutes=5)

    def url(signer: CloudflareSigner, until: datetime = soon, about: str = uid) -> str:
        return signer.sign(about, expires_at=until, trace="x").playback_url

    good = url(ours)
    assert get(good).status_code == 200
    token = good.split("/")[-3]
    block: tuple[dict[str, Any], ...] = ({"type": "any", "action": "block"},)
    loopback: tuple[dict[str, Any], ...] = (
        {"type": "ip.src", "action": "allow", "ip": ["127.0.0.0/8", "::1/128"]},
        *block,
    )
    assert get(url(CloudflareSigner(replace(settings, access_rules=loopback)))).status_code == 200
    bad = {
        "none": good.replace(token, uid),
        "expired": url(ours, until=datetime.now(UTC) - timedelta(seconds=1)),
        "for more than a day": url(ours, until=datetime.now(UTC) + timedelta(hours=25)),
        "of another key": url(stranger),
        "kept out by a rule": url(CloudflareSigner(replace(settings, access_rules=block))),
        "cut": good.replace(token, token[:-8]),
    }
    assert {what: get(address).status_code for what, address in bad.items()} == dict.fromkeys(bad, FORBIDDEN)
    assert get(url(ours, about="another")).status_code == 404


def test_a_film_in_pieces_becomes_ready(environment: dict[str, str], file: bytes) -> None:
    """By tus, to the end; upload-asset asks for it above 200 MB, Cloudflare takes it for any size."""
    settings = Environment(environment).cloudflare()
    credentials = {"Authorization": f"Bearer {settings.api_token}"}
    tus = {"Tus-Resumable": "1.0.0"}
    videos = f"{settings.api_base}/accounts/{settings.account_id}/stream"
    made = httpx.post(
        f"{videos}?direct_user=true",
        headers=credentials
        | tus
        | {"Upload-Length": str(len(file)), "Upload-Metadata": "maxDurationSeconds NjAw,requiresignedurls"},
    )
    assert made.status_code == 201, made.text
    piece = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    small = httpx.patch(made.headers["location"], headers=tus | piece, content=file[:1000])
    assert small.status_code == 400, "pieces other than the last have 5 MiB at least"
    sent = httpx.patch(made.headers["location"], headers=tus | piece, content=file, timeout=30)
    assert (sent.status_code, sent.headers["upload-offset"]) == (204, str(len(file)))

    def ready() -> bool:
        found = httpx.get(f"{videos}/{made.headers['stream-media-id']}", headers=credentials).json()
        return bool(found["result"]["readyToStream"])

    wait_for(ready, 60)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"colour": "red"}, "colour"),
        ({"maxDurationSeconds": None}, "maxDurationSeconds"),
        ({"maxDurationSeconds": 36001}, "maxDurationSeconds"),
        ({"requireSignedURLs": "yes"}, "requireSignedURLs"),
        ({"creator": "x" * 65}, "creator"),
        ({"expiry": "soon"}, "expiry"),
        ({"expiry": "2020-01-01T00:00:00Z"}, "expiry"),
    ],
)
def test_the_stand_in_is_strict(environment: dict[str, str], changes: dict[str, Any], named: str) -> None:
    settings = Environment(environment).cloudflare()
    wanted = {"maxDurationSeconds": 60, "requireSignedURLs": True} | changes
    response = httpx.post(
        f"{settings.api_base}/accounts/{settings.account_id}/stream/direct_upload",
        headers={"Authorization": f"Bearer {settings.api_token}"},
        json={name: value for name, value in wanted.items() if value is not None},
    )
    assert (response.status_code, response.json()["success"]) == (400, False)
    assert named in response.json()["errors"][0]["message"]
