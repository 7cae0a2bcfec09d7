"""Videos nothing was heard of, and deleted ones: found, asked about, removed, again and again without harm."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import mux_python
import pytest
import requests
from sqlalchemy import Row, insert, select, update

from lib.adapters.video_providers import video_providers
from lib.config import Environment
from lib.database.engine import Database
from lib.database.schema import videos
from lib.errors import UnavailableError
from lib.video import store
from lib.video.mending import AT_ONCE, CHECK_VIDEO, LOOKED_OVER, PURGE_VIDEO, LeftVideos, VideoTasks
from lib.video.ports import Progress
from lib.web.ports import SystemClock
from tests.fakes.tasks import FakeTasks
from tests.fakes.videos import FakeVideos


class House:
    """A database of its own, a provider and a queue."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.provider = FakeVideos()
        self.tasks = FakeTasks()
        self.work = VideoTasks(database, {"mux": self.provider}, SystemClock())
        self.left = LeftVideos(database, self.tasks, pause=0)

    def film(self, *, minutes: float = 11, **values: Any) -> uuid.UUID:
        """A film that was announced, and of which nothing was heard for so many minutes."""
        video_id, since = uuid.uuid4(), datetime.now(UTC) - timedelta(minutes=minutes)
        upload = self.provider.create_upload(video_id=video_id, title="A film", size=None)
        row = {
            "title": "A film",
            "level": 1,
            "published": True,
            "provider": "mux",
            "upload_id": upload.id,
            "created_at": since,
            "updated_at": since,
        }
        with self.database.transaction() as tx:
            tx.execute(insert(videos).values(id=video_id, **row | values))
        return video_id

    def row(self, video_id: uuid.UUID) -> Row[Any]:
        with self.database.transaction() as tx:
            return tx.execute(select(videos).where(videos.c.id == video_id)).one()

    def change(self, video_id: uuid.UUID, **values: Any) -> None:
        with self.database.transaction() as tx:
            tx.execute(update(videos).where(videos.c.id == video_id).values(**values))

    def ready(self, *, looked_at: datetime | None = None, **values: Any) -> uuid.UUID:
        """A film that has been ready for a while, and is there at its provider."""
        video_id = self.film(**values)
        upload_id = self.upload_of(video_id)
        self.provider.send(upload_id)
        made = self.provider.uploads[upload_id]
        facts = {"asset_id": made.asset_id, "playback_id": made.playback_id, "duration": made.duration}
        self.change(video_id, status="ready", checked_at=looked_at, **facts)
        return video_id

    def upload_of(self, video_id: uuid.UUID) -> str:
        return str(self.row(video_id).upload_id)

    def check(self, video_id: uuid.UUID) -> None:
        self.work.check({"video_id": str(video_id)})

    def purge(self, video_id: uuid.UUID) -> None:
        self.work.purge({"video_id": str(video_id)})

    def told(self, video_id: uuid.UUID, progress: Progress) -> bool:
        """As by a webhook."""
        with self.database.transaction() as tx:
            return store.advance(tx, video_id, provider="mux", progress=progress)

    def deleted(self, **values: Any) -> uuid.UUID:
        now = datetime.now(UTC)
        return self.film(**{"deleted_at": now, "purge_at": now} | values)


@pytest.fixture
def house(database_apart: Database) -> House:
    return House(database_apart)


# -- webhooks that were lost ------------------------------------------------------------------------------


@pytest.mark.parametrize(("film", "status"), [(True, "ready"), (False, "errored")])
def test_a_lost_webhook_is_mended(house: House, film: bool, status: str) -> None:
    video_id = house.film()
    house.provider.send(house.upload_of(video_id), film=film)
    found = {"videos_late": 1, "purges_due": 0, "videos_looked_over": 0, "tasks_enqueued": 1}
    assert house.left.reconcile() == found
    (task,) = house.tasks.queued
    assert (task.kind, task.body) == (CHECK_VIDEO, {"video_id": str(video_id)})
    for _ in range(2):
        house.work.check(dict(task.body))
    row = house.row(video_id)
    assert row.status == status
    if film:
        assert (row.asset_id, row.playback_id, row.duration) == (
            f"asset-of-{row.upload_id}",
            f"playback-of-{row.upload_id}",
            2.0,
        )
    else:
        assert row.error == "Not a film"
    assert house.left.reconcile()["videos_late"] == 0


def test_what_is_on_its_way_is_left_alone(house: House) -> None:
    house.film(minutes=9)
    now = datetime.now(UTC)
    house.ready(looked_at=now - timedelta(minutes=59))
    house.ready(deleted_at=now, purge_at=now + timedelta(days=7))
    house.film(status="errored")
    house.film(status="removed", deleted_at=now, purge_at=now, purged_at=now)
    assert set(house.left.reconcile().values()) == {0}


def test_what_was_asked_about_is_not_asked_about_at_once_again(house: House) -> None:
    video_id = house.film()
    assert house.left.reconcile()["videos_late"] == 1
    assert house.left.reconcile()["videos_late"] == 0
    house.change(video_id, checked_at=datetime.now(UTC) - timedelta(minutes=11))
    assert house.left.reconcile()["videos_late"] == 1


def test_a_few_at_a_time_the_longest_waiting_first(house: House) -> None:
    films = [house.film(minutes=1000 - number) for number in range(AT_ONCE + 3)]
    house.left.reconcile()
    house.left.reconcile()
    asked = [uuid.UUID(task.body["video_id"]) for task in house.tasks.queued]
    assert set(asked[:AT_ONCE]) == set(films[:AT_ONCE])
    assert set(asked[AT_ONCE:]) == set(films[AT_ONCE:])


def test_deletions_that_cannot_be_done_leave_room_for_what_waits(house: House) -> None:
    """Their provider is not set up any more, say: each of them comes again and again."""
    for _ in range(AT_ONCE + 5):
        house.deleted(provider="cloudflare")
    films = {house.film() for _ in range(AT_ONCE // 2)}
    house.left.reconcile()
    asked = [task for task in house.tasks.queued if task.kind == CHECK_VIDEO]
    assert {uuid.UUID(task.body["video_id"]) for task in asked} == films
    assert len(house.tasks.queued) == AT_ONCE


def test_a_queue_out_of_reach_loses_nothing(house: House) -> None:
    films = [house.film() for _ in range(3)]
    house.tasks.down = True
    assert house.left.reconcile()["tasks_enqueued"] == 0
    house.tasks.down = False
    for film in films:
        house.change(film, checked_at=datetime.now(UTC) - timedelta(minutes=11))
    assert house.left.reconcile()["tasks_enqueued"] == 3


def test_a_provider_out_of_reach_loses_nothing(house: House) -> None:
    video_id, deleted = house.film(), house.deleted()
    house.provider.down = True
    for work, film in ((house.check, video_id), (house.purge, deleted)):
        with pytest.raises(UnavailableError):
            work(film)
    assert (house.row(video_id).status, house.row(deleted).purged_at) == ("waiting", None)


def test_a_provider_that_is_not_set_up_any_more(house: House) -> None:
    video_id = house.film()
    with pytest.raises(UnavailableError):
        VideoTasks(house.database, {}, SystemClock()).check({"video_id": str(video_id)})
    assert house.row(video_id).status == "waiting"


def test_a_file_that_never_came_is_given_up_after_its_time(house: House) -> None:
    soon, late = house.film(minutes=6.9 * 60), house.film(minutes=7.1 * 60)
    for film in (soon, late):
        house.check(film)
    assert house.row(soon).status == "waiting"
    found = house.row(late)
    assert (found.status, found.error) == ("errored", "The upload was not finished")


def test_an_answer_that_is_older_than_the_row_takes_nothing_back(house: House) -> None:
    video_id = house.film()
    upload_id = house.upload_of(video_id)
    assert house.told(video_id, Progress("ready", "a", "p", 9.0))
    house.provider.uploads[upload_id] = Progress("processing", "a")
    house.check(video_id)
    assert house.row(video_id).status == "ready"


@pytest.mark.parametrize("body", [{}, {"video_id": "x"}, {"video_id": str(uuid.uuid4())}])
def test_tasks_about_nothing(house: House, body: dict[str, str]) -> None:
    house.work.check(body)
    house.work.purge(body)
    assert house.provider.calls == []


# -- films that are ready ---------------------------------------------------------------------------------


def looked_over(house: House) -> list[uuid.UUID]:
    """The films that reconcile has asked about, once their tasks are done."""
    house.left.reconcile()
    asked = [uuid.UUID(task.body["video_id"]) for task in house.tasks.queued]
    house.tasks.queued.clear()
    for video_id in asked:
        house.check(video_id)
    return asked


def test_ready_films_are_looked_over_in_turn_a_few_at_a_time(house: House) -> None:
    now, hour = datetime.now(UTC), timedelta(hours=1)
    long_ago = [house.ready(looked_at=now - (20 - number) * hour) for number in range(7)]
    never = house.ready()
    first, second = looked_over(house), looked_over(house)
    assert set(first) == {never, *long_ago[: LOOKED_OVER - 1]}
    assert set(second) == set(long_ago[LOOKED_OVER - 1 :])
    assert looked_over(house) == []


def test_what_waits_goes_before_what_is_ready(house: House) -> None:
    ready = house.ready()
    for _ in range(AT_ONCE):
        house.film()
    assert ready not in looked_over(house)
    assert ready in looked_over(house)


def test_a_film_that_is_gone_at_its_provider_is_removed_and_no_other(house: House) -> None:
    gone, there = house.ready(), house.ready()
    before = house.row(there)
    del house.provider.uploads[house.upload_of(gone)]
    looked_over(house)
    assert house.row(gone).status == "removed"
    after = house.row(there)
    assert (after.status, after.updated_at, after.deleted_at) == ("ready", before.updated_at, None)


def test_what_a_provider_says_of_a_ready_film_takes_nothing_back(house: House) -> None:
    film = house.ready()
    asset_id = house.row(film).asset_id
    before = house.row(film)
    for told in (
        Progress("waiting"),
        Progress("processing", asset_id),
        Progress("errored", asset_id, error="Gone bad"),
        Progress("ready", "another", "p", 9.0, captions=("en",)),
    ):
        house.provider.uploads[before.upload_id] = told
        house.check(film)
        assert house.row(film) == before


def test_an_outage_removes_nothing(house: House) -> None:
    film = house.ready()
    house.provider.down = True
    with pytest.raises(UnavailableError):
        house.check(film)
    assert house.row(film).status == "ready"


@pytest.mark.parametrize(
    ("provider", "secret"), [("mux", "MUX_TOKEN_SECRET"), ("cloudflare", "CLOUDFLARE_API_TOKEN")]
)
def test_a_key_that_is_refused_removes_nothing(
    house: House, environment: dict[str, str], provider: str, secret: str
) -> None:
    """It was taken back at the provider, or ended: a fault that is loud, and that the queue tries again."""
    refused = video_providers(Environment(environment | {secret: "not-this-one"}))
    work = VideoTasks(house.database, refused, SystemClock())
    now = datetime.now(UTC)
    ready, waiting = house.ready(provider=provider), house.film(provider=provider)
    due = house.deleted(provider=provider, purge_at=now)
    for step, film in ((work.check, ready), (work.check, waiting), (work.purge, due)):
        with pytest.raises((mux_python.ApiException, requests.HTTPError), match="401"):
            step({"video_id": str(film)})
    assert [house.row(film).status for film in (ready, waiting, due)] == ["ready", "waiting", "waiting"]
    assert house.row(due).purged_at is None


def test_a_provider_that_knows_none_of_our_films_is_not_believed(house: House) -> None:
    """The key of another account: it says of each that there is none."""
    films = [house.ready(), house.ready(), house.film()]
    house.provider.uploads.clear()
    for film in films:
        with pytest.raises(UnavailableError):
            house.check(film)
    assert [house.row(film).status for film in films] == ["ready", "ready", "waiting"]


def test_ready_films_of_a_provider_that_is_not_set_up_any_more_are_left_alone(house: House) -> None:
    film = house.ready()
    VideoTasks(house.database, {}, SystemClock()).check({"video_id": str(film)})
    assert house.row(film).status == "ready"


def test_languages_that_come_and_go_later_are_taken(house: House) -> None:
    film = house.ready()
    made = house.provider.uploads[house.upload_of(film)]
    before = house.row(film).updated_at
    for captions, audio in ((("en", "fr"), ("de",)), (("fr",), ())):
        house.provider.tracks(made, captions=captions, audio_languages=audio)
        house.change(film, checked_at=None)
        assert looked_over(house) == [film]
        found = house.row(film)
        assert (found.captions, found.audio_languages) == (list(captions), list(audio))
        assert found.updated_at > before
        before = found.updated_at
    house.check(film)
    assert house.row(film).updated_at == before, "nothing new"


def test_what_a_webhook_could_not_tell_of_a_film_is_asked_right_after(house: House) -> None:
    """Cloudflare's tells no languages."""
    film = house.film(checked_at=datetime.now(UTC))
    house.provider.send(house.upload_of(film))
    made = house.provider.uploads[house.upload_of(film)]
    house.provider.tracks(made, captions=("en",))
    assert house.told(film, made)
    assert looked_over(house) == [film]
    assert house.row(film).captions == ["en"]


# -- deleted ----------------------------------------------------------------------------------------------


def test_a_deleted_video_is_removed_from_its_provider_once_its_time_has_come(house: House) -> None:
    now, later = datetime.now(UTC), datetime.now(UTC) + timedelta(days=7)
    waiting, due = house.film(deleted_at=now, purge_at=later), house.deleted()
    assert house.left.reconcile()["purges_due"] == 1
    (task,) = house.tasks.queued
    assert (task.kind, task.body) == (PURGE_VIDEO, {"video_id": str(due)})
    for film in (waiting, due, due):
        house.purge(film)
    assert house.provider.calls.count(("delete", house.upload_of(due))) == 1
    assert ("delete", house.upload_of(waiting)) not in house.provider.calls
    found = house.row(due)
    assert found.status == "removed"
    assert found.purged_at is not None
    assert house.left.reconcile()["purges_due"] == 0


def test_a_provider_that_knows_none_of_our_films_has_removed_none(house: House) -> None:
    """The key of another account again: what it never had is still where it was."""
    due, there = house.deleted(), house.ready()
    kept = dict(house.provider.uploads)
    house.provider.uploads.clear()
    with pytest.raises(UnavailableError):
        house.purge(due)
    assert house.row(due).purged_at is None
    house.provider.uploads.update(kept)
    house.purge(due)
    assert house.row(due).purged_at is not None
    assert list(house.provider.uploads) == [house.upload_of(there)]


def test_a_crash_between_provider_and_row_only_repeats(house: House) -> None:
    due = house.deleted()
    house.purge(due)
    house.change(due, status="processing", purged_at=None)
    house.purge(due)
    assert house.row(due).status == "removed"
    assert house.provider.calls.count(("delete", house.upload_of(due))) == 2


def test_what_appears_after_its_video_was_purged_is_purged_too(house: House) -> None:
    """The file was on its way when the place for it was closed."""
    due = house.deleted()
    house.purge(due)
    assert not house.told(due, Progress("processing", "late-asset"))
    found = house.row(due)
    assert (found.status, found.asset_id, found.purged_at) == ("removed", "late-asset", None)
    assert house.left.reconcile()["purges_due"] == 1
    house.purge(due)
    assert house.row(due).purged_at is not None
    assert not house.told(due, Progress("removed", "late-asset"))
    assert house.left.reconcile()["purges_due"] == 0


def test_a_deleted_video_that_becomes_ready_stays_deleted(house: House) -> None:
    now, later = datetime.now(UTC), datetime.now(UTC) + timedelta(days=7)
    film = house.film(deleted_at=now, purge_at=later)
    assert house.told(film, Progress("ready", "a", "p", 9.0))
    found = house.row(film)
    assert (found.status, found.deleted_at, found.asset_id) == ("ready", now, "a")


def test_a_deletion_can_be_taken_back_until_it_is_done(house: House) -> None:
    now, later = datetime.now(UTC), datetime.now(UTC) + timedelta(days=7)
    film, due = house.film(deleted_at=now, purge_at=later), house.deleted()
    with house.database.transaction() as tx:
        assert store.restore(tx, film)
        assert not store.restore(tx, film), "it is not deleted any more"
        assert not store.restore(tx, due), "its removal may be under way"
        assert not store.restore(tx, uuid.uuid4())
    assert house.row(film).deleted_at is None
    house.purge(film)
    assert house.provider.calls.count(("delete", house.upload_of(film))) == 0
