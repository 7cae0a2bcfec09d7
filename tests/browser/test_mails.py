"""The links in mails lead to pages of the client, and a press there does what the mail says."""

import re
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.visitor import Visitor
from tests.factories import PASSWORD, Factory, wait_for


def link(visitor: Visitor, to: str, address: str) -> str:
    """Path and token of the newest mail's link to this address."""
    base = visitor.page.evaluate("location.origin")

    def found() -> str | None:
        for mail in httpx.get(f"{base}/sandbox/mail", headers={"Accept": "application/json"}).json()["mails"]:
            if mail["to"] == to and (there := re.search(rf"{base}{address}\?token=\S+", mail["text"])):
                return there[0]
        return None

    parts = urlsplit(wait_for(found))
    return f"{parts.path}?{parts.query}"


def test_an_email_is_confirmed_by_a_press_not_by_looking(visit: Visit, make: Factory) -> None:
    person = make.person()
    visitor = visit()
    visitor.sign_in(person.email)
    visitor.open(link(visitor, person.email, "/verify-email"))
    visitor.sees("Your email")
    assert not person.api.get("account").json()["user"]["email_verified"]
    visitor.press("Confirm my email")
    visitor.sees("Thank you")
    visitor.follow("Account")
    expect(visitor.page.get_by_text("(confirmed)")).to_be_visible()


def test_a_forgotten_password_is_chosen_anew_and_ends_every_login(visit: Visit, make: Factory) -> None:
    person = make.person()
    visitor = visit()
    visitor.sign_in(person.email)
    visitor.press("Sign out")
    visitor.follow("Sign in")
    visitor.follow("Forgot your password?")
    visitor.page.get_by_label("Email").fill(person.email)
    visitor.press("Send the link")
    visitor.sees("Look into your mail")
    address = link(visitor, person.email, "/reset-password")
    visitor.open(address)
    visitor.page.get_by_label("New password").fill("short")
    visitor.press("Save it")
    expect(visitor.page.get_by_text("Choose a longer password")).to_be_visible()
    visitor.page.get_by_label("New password").fill("another walk by the sea")
    visitor.press("Save it")
    visitor.sees("Your password is changed")
    assert person.api.get("account").status_code == 401
    visitor.sign_in(person.email, "another walk by the sea")
    # Each link works once.
    visitor.open(address)
    visitor.page.get_by_label("New password").fill(PASSWORD)
    visitor.press("Save it")
    expect(visitor.page.get_by_role("alert")).to_have_text("This link is no longer good. Ask for a new one.")


def test_the_token_of_a_link_stays_in_no_address(visit: Visit) -> None:
    visitor = visit()
    for page in ("/verify-email", "/reset-password"):
        visitor.open(f"{page}?token=made-up")
        visitor.page.get_by_role("button", name=re.compile("Confirm my email|Save it")).wait_for()
        assert urlsplit(visitor.page.url)[2:] == (page, "", "")
        visitor.page.wait_for_load_state("networkidle")
    referers = [request.all_headers().get("referer", "") for request in visitor.traffic.requests]
    assert [referer for referer in referers if "made-up" in referer] == []


def test_a_link_that_is_none_says_so(visit: Visit) -> None:
    visitor = visit()
    visitor.open("/verify-email?token=made-up")
    visitor.press("Confirm my email")
    expect(visitor.page.get_by_role("alert")).to_have_text("This link is no longer good. Ask for a new one.")
