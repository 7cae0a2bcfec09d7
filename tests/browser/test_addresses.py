"""Addresses that make no sense lead to a page all the same, and none leads away from here."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from infra.local.supervisor import Stack
from tests.browser.conftest import Visit
from tests.factories import PASSWORD, Factory


def test_an_address_that_cannot_be_read_is_no_page(visit: Visit) -> None:
    visitor = visit()
    visitor.open("/watch/%")
    visitor.sees("There is nothing here")


def test_a_link_to_a_film_works_however_many_came_after(visit: Visit, make: Factory) -> None:
    # All of them older than what other tests look for on the first page.
    then = datetime(2001, 1, 1, tzinfo=UTC)
    film = make.video(title="Long ago", description="Of another time.", created_at=then)
    for number in range(101):
        make.video(title=f"Since then {number}", created_at=then + timedelta(days=1))
    trailer = make.video(title="A trailer nobody lists", listed=False)
    visitor = visit()
    for video_id, title in ((film, "Long ago"), (trailer, "A trailer nobody lists")):
        visitor.open(f"/watch/{video_id}")
        visitor.sees(title)
        asked = [answer.url for answer in visitor.traffic.answers("list-videos")]
        assert asked[-1].endswith(f"list-videos?video_id={video_id}")
    visitor.open(f"/watch/{film}")
    expect(visitor.page.get_by_text("Of another time.")).to_be_visible()


@pytest.mark.parametrize("next_", ["http://[", "/.//elsewhere.example", "https://elsewhere.example/"])
def test_who_signs_in_goes_on_within_the_client_only(
    visit: Visit, stack: Stack, make: Factory, next_: str
) -> None:
    visitor = visit()
    visitor.open(f"/sign-in?next={next_}")
    visitor.page.get_by_label("Email").fill(make.person().email)
    visitor.page.get_by_label("Password").fill(PASSWORD)
    visitor.press("Sign in")
    visitor.sees("Films")
    assert visitor.page.url == f"{stack.base_url}/"
