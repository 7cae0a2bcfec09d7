"""Addresses that make no sense lead to a page all the same, and none leads away from here."""

import pytest

from infra.local.supervisor import Stack
from tests.browser.conftest import Visit
from tests.factories import PASSWORD, Factory


def test_an_address_that_cannot_be_read_is_no_page(visit: Visit) -> None:
    visitor = visit()
    visitor.open("/watch/%")
    visitor.sees("There is nothing here")


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
