"""An admin uploads a film with the provider's own component, and it becomes something to watch."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Request, expect

from infra.local.supervisor import ADMIN_EMAIL, Stack
from tests.browser.conftest import Visit

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
    admin.page.get_by_label("Title").fill(title)
    admin.page.get_by_label("Description").fill("Sent in pieces.")
    admin.page.get_by_label("Where it is kept").select_option(provider)
    admin.press("Upload")
    sending = admin.page.get_by_role("region", name=title)
    expect(sending.get_by_role("status")).to_contain_text("Ready.", timeout=90_000)
    admin.keep("studio", full_page=True)
    pieces = [asked for asked in admin.traffic.requests if sent(asked)]
    assert pieces
    assert all("authorization" not in piece.headers for piece in pieces)
    sending.get_by_role("link", name="Watch it").click()
    admin.wait_until_playing(0.5)


def test_the_studio_is_for_admins(visit: Visit, subscriber: str) -> None:
    viewer = visit()
    viewer.sign_in(subscriber)
    expect(viewer.page.get_by_role("link", name="Studio")).to_have_count(0)
    viewer.open("/admin")
    viewer.sees("Sign in")
