"""An admin uploads a film with the provider's own component, sees it become ready, and looks after it."""

import struct
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Request, expect

from infra.local.supervisor import ADMIN_EMAIL, Stack
from tests.browser.conftest import Visit
from tests.browser.visitor import Film
from tests.factories import Factory

# Above it Cloudflare takes tus only.
FORM_BYTES = 200_000_000

Sent = Callable[[Request], bool]


@pytest.fixture(scope="module")
def large_file(film_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The film with 200 MB of nothing behind it, in a box that players pass over."""
    path = tmp_path_factory.mktemp("large") / "large.mp4"
    with path.open("wb") as file:
        file.write(film_file.read_bytes())
        file.write(struct.pack(">I4s", FORM_BYTES, b"free"))
        file.truncate(file.tell() + FORM_BYTES - 8)
    return path


def by_put(request: Request) -> bool:
    """UpChunk sends chunks that say what they are of."""
    return request.method == "PUT" and request.headers["content-range"].startswith("bytes 0-")


def by_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("multipart/form-data")


def by_tus(request: Request) -> bool:
    return request.method == "PATCH" and request.headers["tus-resumable"] == "1.0.0"


@pytest.mark.parametrize(
    ("provider", "fixture", "sent"),
    [
        pytest.param("Mux", "film_file", by_put, id="mux"),
        pytest.param("Cloudflare Stream", "film_file", by_form, id="cloudflare"),
        pytest.param("Cloudflare Stream", "large_file", by_tus, id="cloudflare-tus"),
    ],
)
def test_an_admin_uploads_a_film_and_sees_it_become_ready(
    visit: Visit, stack: Stack, request: pytest.FixtureRequest, provider: str, fixture: str, sent: Sent
) -> None:
    admin = visit()
    admin.sign_in(ADMIN_EMAIL, stack.settings.admin_password)
    admin.follow("Studio")
    admin.page.get_by_label("File").set_input_files(request.getfixturevalue(fixture))
    title = f"From the studio, {request.node.callspec.id}"
    admin.page.get_by_label("Title", exact=True).first.fill(title)
    admin.page.get_by_label("Description").first.fill("Sent in pieces.")
    admin.page.get_by_label("Where it is kept").select_option(provider)
    admin.press("Upload")
    film = admin.page.get_by_role("listitem", name=title)
    expect(film).to_contain_text("Ready", timeout=90_000)
    expect(film).to_contain_text("Published")
    pieces = [asked for asked in admin.traffic.requests if sent(asked)]
    assert pieces
    assert all("authorization" not in piece.headers for piece in pieces)
    film.get_by_role("link", name=title).click()
    admin.wait_until_playing(0.5)


def test_a_film_is_published_edited_withdrawn_and_deleted(
    visit: Visit, make: Factory, stack: Stack, film_file: Path
) -> None:
    title = f"Drafted {uuid.uuid4().hex[:8]}"
    admin, viewer = visit(), visit()

    def listed(title: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = make.client().get("list-videos", q=title).json()["videos"]
        return found

    admin.sign_in(ADMIN_EMAIL, stack.settings.admin_password)
    admin.follow("Studio")
    admin.page.get_by_label("File").set_input_files(film_file)
    admin.page.get_by_label("Title", exact=True).first.fill(title)
    admin.page.get_by_label("Publish as soon as it is ready").uncheck()
    admin.press("Upload")
    film = admin.page.get_by_role("listitem", name=title)
    expect(film).to_contain_text("Ready", timeout=90_000)
    expect(film).to_contain_text("Draft")
    assert listed(title) == []

    # It is still there for the admin who comes back.
    admin.page.reload()
    admin.press(f"Publish {title}")
    expect(film).to_contain_text("Published")
    admin.keep("studio", full_page=True)
    assert [video["level"] for video in listed(title)] == [1]

    admin.press(f"Edit {title}")
    dialog = admin.page.get_by_role("dialog", name=f"Edit {title}")
    dialog.get_by_label("Title").fill(f"{title}, mended")
    dialog.get_by_label("Who may watch").select_option("Everybody who is signed in")
    dialog.get_by_role("button", name="Save").click()
    film = admin.page.get_by_role("listitem", name=f"{title}, mended")
    expect(film).to_contain_text("Everybody")
    assert [(video["title"], video["free"]) for video in listed(title)] == [(f"{title}, mended", True)]

    viewer.sign_in(make.person().email)
    viewer.watch(Film("", f"{title}, mended"))
    admin.press(f"Withdraw {title}, mended")
    expect(film).to_contain_text("Draft")
    assert listed(title) == []
    admin.press(f"Delete {title}, mended")
    admin.page.get_by_role("dialog", name=f"Delete {title}, mended").get_by_role(
        "button", name="Delete it"
    ).click()
    expect(film).to_have_count(0)
    viewer.sees("This film is not here")


def test_every_film_is_in_the_studio_whatever_browser_announced_it(
    visit: Visit, make: Factory, stack: Stack
) -> None:
    name = uuid.uuid4().hex[:8]
    announced = make.admin().api.post("upload-asset", {"title": f"Announced {name}"})
    assert announced.status_code == 201
    nothing: dict[str, Any] = {"asset_id": None, "playback_id": None, "duration": None}
    make.video(title=f"Failed {name}", status="errored", error="Not a film", **nothing)
    make.video(title=f"Draft {name}", published=False)
    admin = visit()
    admin.sign_in(ADMIN_EMAIL, stack.settings.admin_password)
    admin.follow("Studio")
    items = admin.page.get_by_role("listitem")
    expect(items.filter(has_text=f"Announced {name}")).to_contain_text("Waiting for its file")
    expect(items.filter(has_text=f"Failed {name}")).to_contain_text("Not a film")
    expect(items.filter(has_text=f"Draft {name}")).to_contain_text("Draft")
    # And those that more than a page have come after.
    for number in range(25):
        make.video(title=f"Later {name} {number}", published=False)
    admin.page.reload()
    expect(items.filter(has_text=f"Later {name}")).to_have_count(24)
    expect(items.filter(has_text=f"Draft {name}")).to_have_count(0)
    admin.press("More films")
    expect(items.filter(has_text=f"Later {name}")).to_have_count(25)
    expect(items.filter(has_text=f"Draft {name}")).to_be_visible()


def test_the_studio_is_for_admins(visit: Visit, subscriber: str) -> None:
    viewer = visit()
    viewer.sign_in(subscriber)
    expect(viewer.page.get_by_role("link", name="Studio", exact=True)).to_have_count(0)
    viewer.open("/admin")
    viewer.sees("Sign in")
