"""An admin uploads a film with the provider's own component, and it becomes something to watch."""

from pathlib import Path

from playwright.sync_api import expect

from infra.local.supervisor import ADMIN_EMAIL, Stack
from tests.browser.conftest import Visit


def test_an_admin_uploads_a_film_and_sees_it_become_ready(
    visit: Visit, stack: Stack, film_file: Path
) -> None:
    admin = visit()
    admin.sign_in(ADMIN_EMAIL, stack.settings.admin_password)
    admin.follow("Studio")
    admin.page.get_by_label("File").set_input_files(film_file)
    admin.page.get_by_label("Title").fill("From the studio")
    admin.page.get_by_label("Description").fill("Sent in chunks.")
    admin.press("Upload")
    sending = admin.page.get_by_role("region", name="From the studio")
    expect(sending).to_be_visible()
    expect(sending.get_by_role("status")).to_contain_text("Ready.", timeout=60_000)
    admin.keep("studio", full_page=True)
    # Mux's component sends chunks that say what they are of.
    chunks = [request for request in admin.traffic.requests if request.method == "PUT"]
    assert chunks
    assert all(request.headers["content-range"].startswith("bytes 0-") for request in chunks)
    assert all("authorization" not in request.headers for request in chunks)
    sending.get_by_role("link", name="Watch it").click()
    admin.wait_until_playing(0.5)


def test_the_studio_is_for_admins(visit: Visit, subscriber: str) -> None:
    viewer = visit()
    viewer.sign_in(subscriber)
    expect(viewer.page.get_by_role("link", name="Studio")).to_have_count(0)
    viewer.open("/admin")
    viewer.sees("Sign in")
