"""Every order of what a provider tells and an admin does: no film is left stuck, none plays when it should not.

Real PostgreSQL, both providers. Each story is told in every order in which its parts can arrive, with each part
lost, and with each told twice; after it reconcile has its say. What holds then does not depend on the order.
"""

import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Row, insert, select, update

from lib.database.engine import Database
from lib.database.schema import sessions, users, videos
from lib.video import store
from lib.video.cloudflare_events import CloudflareEvents
from lib.video.mending import CHECK_VIDEO, LeftVideos, VideoTasks
from lib.video.mux_events import MuxEvents
from lib.video.playback import _OPEN_PLAYBACK
from lib.video.ports import Progress
from lib.web.ports import SystemClock
from tests.fakes.tasks import FakeTasks
from tests.fakes.videos import FakeVideos
from tests.integration.test_cloudflare_webhook import signature as cloudflare_signature
from tests.integration.test_mux_webhook import signature as mux_signature

SECRET = "secret-of-the-tests"
PROVIDERS = ("mux", "cloudflare")
# What the provider tells, each by its webhook. Cloudflare has events for the ends only.
TOLD: dict[str, dict[str, tuple[str, ...]]] = {
    "mux": {"ready": ("asset_created", "ready"), "errored": ("asset_created", "errored")},
    "cloudflare": {"ready": ("ready",), "errored": ("errored",)},
}
RANK = {"waiting": 0, "processing": 1, "ready": 2, "errored": 2, "removed": 3}


class House:
    """A database, one viewer, a provider and what finds the rest."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.provider = FakeVideos()
        self.tasks = FakeTasks()
        self.work = VideoTasks(database, dict.fromkeys(PROVIDERS, self.provider), SystemClock())
        self.left = LeftVideos(database, self.tasks, pause=0)
        self.mux = MuxEvents(database, SystemClock(), (SECRET,))
        self.cloudflare = CloudflareEvents(database, SystemClock(), (SECRET,))
        self.viewer, self.login = uuid.uuid4(), uuid.uuid4()
        with database.transaction() as tx:
            tx.execute(
                insert(users).values(
                    id=self.viewer, email=f"{self.viewer}@example.com", password_hash="$argon2id$none"
                )
            )
            later = datetime.now(UTC) + timedelta(days=1)
            tx.execute(insert(sessions).values(id=self.login, user_id=self.viewer, expires_at=later))

    def reconcile(self) -> None:
        """As the minutes pass: what is late or due is found, and its tasks are done."""
        with self.database.transaction() as tx:
            long_ago = datetime.now(UTC) - timedelta(minutes=11)
            tx.execute(update(videos).values(checked_at=long_ago))
        self.left.reconcile()
        while self.tasks.queued:
            task = self.tasks.queued.pop(0)
            (self.work.check if task.kind == CHECK_VIDEO else self.work.purge)(dict(task.body))


class Film:
    """A free, published film at a provider."""

    def __init__(self, house: House, provider: str, outcome: str) -> None:
        self.house, self.provider, self.outcome = house, provider, outcome
        self.id = uuid.uuid4()
        upload = house.provider.create_upload(video_id=self.id, title="A film", size=None)
        self.upload_id = upload.id
        one = provider == "cloudflare"
        self.asset_id = self.upload_id if one else f"asset-of-{self.upload_id}"
        self.playback_id = self.upload_id if one else f"playback-of-{self.upload_id}"
        row = {"title": "A film", "level": 0, "published": True, "provider": provider}
        with house.database.transaction() as tx:
            tx.execute(insert(videos).values(id=self.id, upload_id=upload.id, **row))

    @property
    def row(self) -> Row[Any]:
        with self.house.database.transaction() as tx:
            return tx.execute(select(videos).where(videos.c.id == self.id)).one()

    def arrives(self) -> None:
        """The file comes, and the provider makes of it what it makes: known to it before any webhook tells."""
        if self.upload_id in self.house.provider.uploads:
            self.house.provider.uploads[self.upload_id] = (
                Progress("ready", self.asset_id, self.playback_id, 9.0)
                if self.outcome == "ready"
                else Progress("errored", self.asset_id, error="Not a film")
            )

    def tell(self, part: str) -> None:
        """One webhook."""
        if self.provider == "cloudflare":
            video: dict[str, Any] = {
                "uid": self.upload_id,
                "creator": str(self.id),
                "status": {"state": "error" if part == "errored" else part, "errorReasonText": "Not a film"},
                "requireSignedURLs": True,
                "duration": 9.0,
            }
            body = json.dumps(video).encode()
            self.house.cloudflare.receive(body, cloudflare_signature(body, SECRET, time.time()))
            return
        settings = {"passthrough": str(self.id)}
        asset: dict[str, Any] = {
            "id": self.asset_id,
            "upload_id": self.upload_id,
            "passthrough": str(self.id),
            "duration": 9.0,
            "playback_ids": [{"id": self.playback_id, "policy": "signed"}],
            "errors": {"messages": ["Not a film"]},
        }
        events = {
            "asset_created": (
                "video.upload.asset_created",
                {"id": self.upload_id, "asset_id": self.asset_id, "new_asset_settings": settings},
            ),
            "ready": ("video.asset.ready", asset),
            "errored": ("video.asset.errored", asset),
            "deleted": ("video.asset.deleted", asset),
        }
        type_, data = events[part]
        body = json.dumps({"type": type_, "data": data}).encode()
        self.house.mux.receive(body, mux_signature(body, SECRET))

    def delete(self) -> None:
        """As manage-video does with `purge=now`; the task it makes is lost."""
        with self.house.database.transaction() as tx:
            if store.to_delete(tx, self.id) is not None:
                store.delete(tx, self.id, delay=timedelta())

    def purge(self) -> None:
        """The task of a deletion, whenever it comes."""
        self.house.work.purge({"video_id": str(self.id)})

    def check(self) -> None:
        """reconcile's task, whenever it comes."""
        self.house.work.check({"video_id": str(self.id)})

    def playable(self) -> bool:
        found = self.house.database.read(
            _OPEN_PLAYBACK,
            session_id=self.house.login,
            user_id=self.house.viewer,
            video_id=self.id,
            takeover=None,
            lease_seconds=1,
            providers=["mux", "cloudflare"],
        )
        assert found is not None
        # A free account watches one film at a time; that another one is on is no refusal of this one.
        return found["outcome"] in ("allowed", "too_many_streams")


@pytest.fixture
def house(database_apart: Database) -> House:
    return House(database_apart)


def orders(parts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Every order of the parts; of the parts with each one left out, or all; and of the parts with each one twice."""
    told: set[tuple[str, ...]] = set(itertools.permutations(parts)) | {()}
    for part in parts:
        rest = tuple(other for other in parts if other != part)
        told |= set(itertools.permutations(rest))
        told |= set(itertools.permutations((*parts, part)))
    yield from sorted(told)


def act(film: Film, part: str) -> None:
    own: dict[str, Callable[[], None]] = {"delete": film.delete, "purge": film.purge, "check": film.check}
    own[part]() if part in own else film.tell(part)


@pytest.mark.parametrize("outcome", ["ready", "errored"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_in_any_order_lost_or_doubled_it_comes_to_the_same_end(
    house: House, provider: str, outcome: str
) -> None:
    tried = 0
    for order in orders((*TOLD[provider][outcome], "check")):
        film = Film(house, provider, outcome)
        film.arrives()
        before = "waiting"
        for part in order:
            act(film, part)
            after = film.row.status
            assert RANK[after] >= RANK[before], order
            assert film.playable() == (after == "ready"), order
            before = after
        house.reconcile()
        found = film.row
        assert found.status == outcome, order
        assert film.playable() == (outcome == "ready"), order
        if outcome == "ready":
            assert (found.asset_id, found.playback_id, found.duration) == (
                film.asset_id,
                film.playback_id,
                9.0,
            )
        tried += 1
    assert tried > 10


@pytest.mark.parametrize("outcome", ["ready", "errored"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_an_admin_deletes_never_plays_again_and_leaves_nothing_behind(
    house: House, provider: str, outcome: str
) -> None:
    """Whenever the deletion falls, before, between or after what the provider tells."""
    tried = 0
    for order in orders((*TOLD[provider][outcome], "delete", "purge")):
        film = Film(house, provider, outcome)
        film.arrives()
        gone = False
        for part in order:
            act(film, part)
            gone |= part == "delete"
            assert not (gone and film.playable()), order
        house.reconcile()
        if gone:
            house.reconcile()
            found = film.row
            assert (found.status, found.purged_at is not None) == ("removed", True), order
            assert film.upload_id not in house.provider.uploads, order
            assert not film.playable(), order
        else:
            assert film.row.status == outcome, order
        tried += 1
    assert tried > 30


def test_a_file_that_comes_while_its_film_is_being_removed_is_removed_too(house: House) -> None:
    """Mux tells of the asset after the place for its file was closed; both are gone in the end."""
    for told in itertools.permutations(("asset_created", "ready")):
        film = Film(house, "mux", "ready")
        film.delete()
        film.purge()
        assert film.row.purged_at is not None
        house.provider.uploads[film.upload_id] = Progress("ready", film.asset_id, "p", 9.0)
        for part in told:
            film.tell(part)
            assert not film.playable()
        house.reconcile()
        assert film.row.purged_at is not None
        assert film.upload_id not in house.provider.uploads


def test_an_asset_deleted_at_mux_is_over_here_too(house: House) -> None:
    for order in orders(("asset_created", "ready", "deleted")):
        film = Film(house, "mux", "ready")
        film.arrives()
        if "deleted" in order:
            del house.provider.uploads[film.upload_id]
        for part in order:
            act(film, part)
            assert not ("deleted" in order[: order.index(part) + 1] and film.playable()), order
        house.reconcile()
        if "deleted" in order:
            assert film.row.status == "removed", order
