"""A real file all the way: announced, sent in chunks, made into HLS, listed, watched by who may."""

import re
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import imageio_ffmpeg
import pytest
from sqlalchemy import delete, func, select, update

from infra.local.supervisor import Stack
from lib.adapters.playback_signers import MuxSigner
from lib.config import Environment
from lib.database.engine import Database
from lib.database.schema import audit_log, idempotency_keys, users, videos
from lib.errors import InvalidRequestError, InvalidTokenError, UnavailableError
from lib.video.uploads import UploadAssetBody, Uploads
from tests.api import refused
from tests.factories import Factory, Person, wait_for
from tests.fakes.videos import FakeVideos
from tests.integration.viewers import Viewer
from tests.javascript import JavaScript
from tests.signing_keys import encoded, new_key

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SECONDS, RATE = 6, 25
FORBIDDEN = 403


@dataclass
class Film:
    """A film that went through it all."""

    id: str
    title: str
    announced: dict[str, Any]
    listed: dict[str, Any]


@pytest.fixture(scope="module")
def crew(stack: Stack, database: Database) -> Iterator[Factory]:
    """`make`, for the whole module."""
    with Factory(stack, database) as factory:
        yield factory


@pytest.fixture(scope="module")
def admin(crew: Factory) -> Person:
    return crew.admin()


@pytest.fixture(scope="module")
def viewer(crew: Factory) -> Person:
    """Somebody with access."""
    person = crew.person()
    crew.entitle(person)
    return person


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path: Path = tmp_path_factory.mktemp("film") / "film.mp4"
    picture = f"testsrc2=s=320x180:r={RATE}:d={SECONDS}"
    subprocess.run(
        [
            *(FFMPEG, "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", picture),
            *("-f", "lavfi", "-i", f"sine=d={SECONDS}", "-preset", "ultrafast", "-c:a", "aac", str(path)),
        ],
        check=True,
        timeout=60,
    )
    return path.read_bytes()


def send(url: str, content: bytes, chunks: int = 3) -> None:
    """As UpChunk does: one PUT after another, each saying which bytes it carries."""
    total, size = len(content), -(-len(content) // chunks)
    for first in range(0, total, size):
        last = min(first + size, total) - 1
        response = httpx.put(
            url,
            content=content[first : last + 1],
            headers={"Content-Range": f"bytes {first}-{last}/{total}"},
            timeout=30,
        )
        assert response.status_code == (200 if last == total - 1 else 308), response.text
        if last < total - 1:
            assert response.headers["range"] == f"bytes=0-{last}"


def find(person: Person, title: str) -> dict[str, Any] | None:
    found: list[dict[str, Any]] = person.api.get("list-videos", q=title).json()["videos"]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.fixture(scope="module")
def film(admin: Person, file: bytes) -> Film:
    title = f"Film {uuid.uuid4()}"
    response = admin.api.post("upload-asset", {"title": title, "description": "Bars", "size": len(file)})
    assert response.status_code == 201, response.text
    announced: dict[str, Any] = response.json()
    assert find(admin, title) is None, "nothing to see yet"
    send(announced["upload"]["url"], file)
    listed = wait_for(lambda: find(admin, title), 60)
    return Film(announced["video"]["id"], title, announced, listed)


@pytest.fixture(scope="module")
def playback(film: Film, viewer: Person) -> dict[str, Any]:
    """The viewer's get-playback."""
    response = viewer.api.get("get-playback", video_id=film.id)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def get(url: str, **params: str) -> httpx.Response:
    return httpx.get(url, params=params or None, timeout=30)


def addresses(playlist: str) -> list[str]:
    return re.findall(r'(?:URI="|^)(http[^"\n]+)', playlist, re.MULTILINE)


# -- the file's way ---------------------------------------------------------------------------------------


def test_an_upload_is_announced(film: Film) -> None:
    video, upload = film.announced["video"], film.announced["upload"]
    assert video == {
        "id": film.id,
        "title": film.title,
        "status": "waiting",
        "provider": "mux",
        "level": 1,
        "published": True,
    }
    assert upload["protocol"] == "put"
    assert datetime.fromisoformat(upload["expires_at"]) > datetime.now(UTC) + timedelta(hours=1)


def test_the_film_is_listed_with_a_picture(film: Film) -> None:
    listed = film.listed
    assert (listed["id"], listed["title"], listed["description"]) == (film.id, film.title, "Bars")
    assert (listed["level"], listed["free"]) == (1, False)
    assert abs(listed["duration"] - SECONDS) < 0.5
    picture = get(listed["thumbnail_url"])
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
    assert picture.content.startswith(b"\xff\xd8\xff")
    assert get(listed["thumbnail_url"].partition("?")[0]).status_code == FORBIDDEN


def test_a_subscriber_watches_it(playback: dict[str, Any]) -> None:
    multivariant = get(playback["playback_url"])
    assert multivariant.status_code == 200
    assert multivariant.text.startswith("#EXTM3U")
    (media_url,) = addresses(multivariant.text)
    media = get(media_url)
    assert media.status_code == 200
    beginning, *segments = addresses(media.text)
    assert len(segments) == 2, "six seconds, five to a segment"
    for url in (beginning, *segments):
        piece = get(url)
        assert (piece.status_code, piece.headers["content-type"]) == (200, "video/mp4")
        assert piece.content
    for url in (media_url, beginning, *segments):
        assert get(url.partition("?")[0]).status_code == FORBIDDEN


def test_a_player_decodes_it_to_the_end(playback: dict[str, Any]) -> None:
    command = [FFMPEG, "-nostdin", "-hide_banner", "-i", playback["playback_url"], "-f", "null", "-"]
    played = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert played.returncode == 0, played.stderr
    assert int(re.findall(r"frame=\s*(\d+)", played.stderr)[-1]) == SECONDS * RATE
    assert "Audio: aac" in played.stderr


def test_pictures_and_storyboard(playback: dict[str, Any]) -> None:
    assert get(playback["thumbnail_url"]).headers["content-type"] == "image/jpeg"
    storyboard = get(playback["storyboard_url"])
    assert storyboard.status_code == 200
    assert storyboard.text.startswith("WEBVTT")
    sprites = set(re.findall(r"^(http[^#\n]+)#xywh=", storyboard.text, re.MULTILINE))
    (sprite,) = sprites
    assert get(sprite).content.startswith(b"\xff\xd8\xff")
    assert get(playback["storyboard_url"].partition("?")[0]).status_code == FORBIDDEN


def test_the_tokens_are_those_of_the_urls(playback: dict[str, Any]) -> None:
    for name, url in (
        ("playback", playback["playback_url"]),
        ("thumbnail", playback["thumbnail_url"]),
        ("storyboard", playback["storyboard_url"]),
    ):
        assert url.partition("?token=")[2] == playback["tokens"][name]


def test_without_the_right_token_there_is_nothing(
    playback: dict[str, Any], environment: dict[str, str]
) -> None:
    settings = Environment(environment).mux_signing()
    ours, stranger = (
        MuxSigner(settings),
        MuxSigner(type(settings)(settings.key_id, encoded(new_key()), "", "")),
    )
    playback_id, soon = playback["playback_id"], datetime.now(UTC) + timedelta(minutes=5)
    url, good = playback["playback_url"].split("?token=")
    head, claims, signature = good.split(".")

    def signed(signer: MuxSigner, about: str = playback_id, until: datetime = soon) -> str:
        return signer.sign(about, expires_at=until, trace="x").playback_token

    assert get(url, token=signed(ours)).status_code == 200
    bad = {
        "expired": signed(ours, until=datetime.now(UTC) - timedelta(seconds=1)),
        "of another key": signed(stranger),
        "of another film": signed(ours, about="another"),
        "of a picture": playback["tokens"]["thumbnail"],
        "of another's claims": f"{head}.{signed(ours, about='another').split('.')[1]}.{signature}",
        "without signature": f"{head}.{claims}.",
        "cut": good[:-8],
        "nonsense": "nonsense",
        "empty": "",
    }
    statuses = {what: get(url, token=token).status_code for what, token in bad.items()}
    assert statuses == dict.fromkeys(bad, FORBIDDEN)
    assert get(url).status_code == FORBIDDEN
    assert get(playback["thumbnail_url"].partition("?")[0], token=good).status_code == FORBIDDEN


def test_tokens_by_mux_node_open_it_too(
    playback: dict[str, Any], environment: dict[str, str], javascript: JavaScript
) -> None:
    kinds = {"video": "playback_url", "thumbnail": "thumbnail_url", "storyboard": "storyboard_url"}
    for kind, field in kinds.items():
        token = javascript.ask(
            "sign",
            playbackId=playback["playback_id"],
            keyId=environment["MUX_SIGNING_KEY_ID"],
            keySecret=environment["MUX_SIGNING_PRIVATE_KEY"],
            type=kind,
            expiration="10m",
        )
        assert get(playback[field].partition("?")[0], token=token).status_code == 200


def test_every_webhook_about_it_arrived(film: Film, stack: Stack) -> None:
    deliveries = httpx.get(f"{stack.base_url}/sandbox/mux/deliveries", timeout=30).json()["deliveries"]
    mine = [delivery for delivery in deliveries if film.id in delivery["body"]]
    assert {"video.upload.asset_created", "video.asset.ready"} <= {each["event_type"] for each in mine}
    assert {delivery["status"] for delivery in mine} == {"delivered"}


def test_a_file_that_is_no_film(admin: Person, database: Database) -> None:
    title = f"No film {uuid.uuid4()}"
    announced = admin.api.post("upload-asset", {"title": title}).json()
    send(announced["upload"]["url"], b"This is a letter, not a film. " * 2000)

    def row() -> Any:
        with database.transaction() as tx:
            return tx.execute(select(videos).where(videos.c.title == title)).one()

    wait_for(lambda: row().status == "errored", 30)
    assert row().error
    assert find(admin, title) is None
    refused(admin.api.get("get-playback", video_id=announced["video"]["id"]), 409, "video_not_ready")


def test_an_unpublished_film_is_for_staff_alone(
    admin: Person, viewer: Person, film: Film, database: Database
) -> None:
    def publish(published: bool) -> None:
        with database.transaction() as tx:
            tx.execute(update(videos).where(videos.c.id == uuid.UUID(film.id)).values(published=published))

    publish(False)
    assert find(viewer, film.title) is None
    refused(viewer.api.get("get-playback", video_id=film.id), 404, "video_not_found")
    assert admin.api.get("get-playback", video_id=film.id).json()["entitlement"]["reason"] == "staff"
    publish(True)


# -- who may announce, and how often ----------------------------------------------------------------------


def rows(database: Database, title: str) -> int:
    with database.transaction() as tx:
        found = select(func.count()).select_from(videos).where(videos.c.title == title)
        return tx.execute(found).scalar_one()


def test_only_admins_announce(viewer: Person, crew: Factory, database: Database) -> None:
    title = f"Not mine {uuid.uuid4()}"
    refused(viewer.api.post("upload-asset", {"title": title}), 403, "forbidden")
    refused(crew.client().post("upload-asset", {"title": title}), 401, "invalid_token")
    assert rows(database, title) == 0


def test_what_is_said_is_kept(admin: Person, database: Database) -> None:
    body = {"title": "  Padded  ", "description": "d", "level": 3, "publish": False, "provider": "mux"}
    video = admin.api.post("upload-asset", body | {"filename": "film.mov", "size": 12}).json()["video"]
    assert (video["title"], video["level"], video["published"]) == ("Padded", 3, False)
    with database.transaction() as tx:
        row = tx.execute(select(videos).where(videos.c.id == uuid.UUID(video["id"]))).one()
    assert (row.description, row.status, row.created_by) == ("d", "waiting", admin.id)
    assert row.upload_id


def test_an_announcement_is_in_the_audit_log(admin: Person, database: Database) -> None:
    film = admin.api.post("upload-asset", {"title": "Noted"}).json()["video"]["id"]
    with database.transaction() as tx:
        about = audit_log.c.detail["video_id"].astext == film
        (line,) = tx.execute(select(audit_log).where(about)).all()
    assert (line.kind, line.user_id, line.actor) == ("video_announced", admin.id, f"user:{admin.id}")
    assert (line.detail["provider"], line.address) == ("mux", "127.0.0.1")


def test_who_leaves_while_the_provider_is_asked_announces_nothing(database: Database) -> None:
    title = f"Left {uuid.uuid4()}"
    uploads = Uploads(database, {"mux": FakeVideos()})
    with pytest.raises(InvalidTokenError):
        uploads.announce(uuid.uuid4(), UploadAssetBody(title=title))
    assert rows(database, title) == 0


def test_every_bad_field_is_named_at_once(admin: Person) -> None:
    body = {"title": " ", "level": -1, "size": 0, "provider": "vhs", "publish": "yes", "colour": "red"}
    problem = refused(admin.api.post("upload-asset", body), 422, "invalid_request")
    assert {error["field"] for error in problem["errors"]} == set(body)


def announce(person: Person, title: str, key: str) -> httpx.Response:
    return person.api.post("upload-asset", {"title": title}, headers={"Idempotency-Key": key})


def test_one_key_is_one_film(admin: Person, database: Database) -> None:
    title, key = f"Once {uuid.uuid4()}", str(uuid.uuid4())
    answers = [announce(admin, title, key) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201] * 3
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert rows(database, title) == 1
    refused(announce(admin, f"{title}!", key), 422, "idempotency_key_reused")
    assert rows(database, f"{title}!") == 0
    assert announce(admin, title, f"{key}-2").json()["video"] != answers[0].json()["video"]
    assert rows(database, title) == 2


def forget_the_answer(database: Database, key: str, *, age: timedelta = timedelta()) -> None:
    """As if its request had died before the answer was kept, so long ago that the key is free again."""
    with database.transaction() as tx:
        tx.execute(delete(idempotency_keys).where(idempotency_keys.c.key == key))
        tx.execute(
            update(videos).where(videos.c.title == f"Film {key}").values(created_at=videos.c.created_at - age)
        )


def test_a_key_whose_answer_was_lost_is_the_same_film_with_a_new_place(
    admin: Person, database: Database
) -> None:
    key = uuid.uuid4().hex
    first = announce(admin, f"Film {key}", key).json()
    forget_the_answer(database, key)
    again = announce(admin, f"Film {key}", key).json()
    assert again["video"] == first["video"]
    assert again["upload"]["url"] != first["upload"]["url"]
    assert rows(database, f"Film {key}") == 1


def test_a_key_that_was_forgotten_is_another_film(admin: Person, database: Database) -> None:
    key = uuid.uuid4().hex
    first = announce(admin, f"Film {key}", key).json()
    forget_the_answer(database, key, age=timedelta(hours=25))
    again = announce(admin, f"Film {key}", key).json()
    assert again["video"]["id"] != first["video"]["id"]
    assert rows(database, f"Film {key}") == 2


def test_a_key_belongs_to_one_person(admin: Person, crew: Factory, database: Database) -> None:
    another = crew.person()
    with database.transaction() as tx:
        tx.execute(update(users).where(users.c.id == another.id).values(role="admin"))
    title, key = f"Two {uuid.uuid4()}", str(uuid.uuid4())
    answers = [announce(person, title, key).json() for person in (admin, another)]
    assert answers[0] != answers[1]
    assert [announce(person, title, key).json() for person in (admin, another)] == answers
    assert rows(database, title) == 2


def test_one_key_at_the_same_time_is_one_film(admin: Person, database: Database) -> None:
    title, key = f"At once {uuid.uuid4()}", str(uuid.uuid4())
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: announce(admin, title, key), range(6)))
    made = [answer for answer in answers if answer.status_code == 201]
    assert made
    assert len({answer.json()["video"]["id"] for answer in made}) == 1
    for answer in answers:
        if answer not in made:
            # Who comes while the first is still being worked on is asked to come again.
            refused(answer, 503, "unavailable")
            assert int(answer.headers["retry-after"]) >= 1
    assert announce(admin, title, key).json() == made[0].json()
    assert rows(database, title) == 1


def test_a_refused_key_is_free_again(admin: Person) -> None:
    key = str(uuid.uuid4())
    response = admin.api.post(
        "upload-asset", {"title": "x", "provider": "vhs"}, headers={"Idempotency-Key": key}
    )
    refused(response, 422, "invalid_request")
    assert announce(admin, "Now it fits", key).status_code == 201


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_that_is_none(admin: Person, key: str) -> None:
    refused(announce(admin, "A film", key), 422, "invalid_request")


def test_a_provider_that_is_not_set_up(database: Database) -> None:
    uploads = Uploads(database, {"mux": FakeVideos()})
    with pytest.raises(InvalidRequestError) as error:
        uploads.announce(uuid.uuid4(), UploadAssetBody(title="A film", provider="cloudflare"))
    assert [(each.field, each.code) for each in error.value.errors] == [("provider", "not_configured")]


def test_a_provider_out_of_reach_leaves_nothing(database: Database) -> None:
    provider, title = FakeVideos(), f"Nowhere {uuid.uuid4()}"
    uploads = Uploads(database, {"mux": provider})
    somebody = Viewer(database, role="admin")
    provider.down = True
    with pytest.raises(UnavailableError):
        uploads.announce(somebody.id, UploadAssetBody(title=title))
    assert rows(database, title) == 0
    provider.down = False
    video, upload = uploads.announce(somebody.id, UploadAssetBody(title=title))
    assert provider.announced[upload.id].video_id == video.id
    assert rows(database, title) == 1
