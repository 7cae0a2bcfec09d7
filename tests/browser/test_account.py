"""An account is changed, taken along and left, all from its page."""

import json
import uuid

from playwright.sync_api import expect

from lib.billing.gifts import Gifts
from lib.web.ports import SystemClock
from tests.billing import PLANS
from tests.browser.conftest import Visit
from tests.factories import PASSWORD, Factory


def test_name_and_password_are_changed_and_the_other_devices_end(
    visit: Visit, make: Factory, subscriber: str
) -> None:
    here, there = visit(), visit()
    for device in (here, there):
        device.sign_in(subscriber)
    here.follow("Account")
    here.page.get_by_label("Name", exact=True).fill("Robin")
    here.press("Save the name")
    expect(here.page.get_by_text("Saved.")).to_be_visible()
    here.page.get_by_text("Change the password").first.click()
    here.page.get_by_label("New password").fill("another walk by the sea")
    here.page.get_by_label("Your password until now").fill("not the password")
    here.press("Change the password")
    expect(here.page.get_by_text("That is not your password.")).to_be_visible()
    here.page.get_by_label("Your password until now").fill(PASSWORD)
    here.press("Change the password")
    expect(here.page.get_by_text("Every other device has been signed out.")).to_be_visible()
    there.open("/me")
    there.sees("Sign in")
    assert (
        make.login(subscriber, "another walk by the sea").api.get("account").json()["user"]["name"] == "Robin"
    )


def test_everything_held_comes_as_a_file(visit: Visit, subscriber: str) -> None:
    visitor = visit()
    visitor.sign_in(subscriber)
    visitor.follow("Account")
    with visitor.page.expect_download() as download:
        visitor.press("Download")
    held = json.loads(download.value.path().read_text())
    assert subscriber in json.dumps(held)


def test_leaving_takes_the_password_and_is_for_good(visit: Visit) -> None:
    email = f"{uuid.uuid4().hex}@example.com"
    visitor = visit()
    visitor.join(email)
    visitor.follow("Account")
    visitor.press("Delete the account …")
    dialog = visitor.page.get_by_role("dialog", name="Delete the account?")
    dialog.get_by_label("Your password").fill("not the password")
    dialog.get_by_role("button", name="Delete it for good").click()
    expect(dialog.get_by_text("That is not your password.")).to_be_visible()
    dialog.get_by_label("Your password").fill(PASSWORD)
    dialog.get_by_role("button", name="Delete it for good").click()
    visitor.page.get_by_role("link", name="Join", exact=True).wait_for()
    visitor.open("/sign-in")
    visitor.page.get_by_label("Email").fill(email)
    visitor.page.get_by_label("Password").fill(PASSWORD)
    visitor.press("Sign in")
    expect(visitor.page.get_by_role("alert")).to_have_text("Email or password is wrong.")


def test_a_gift_code_opens_the_films(visit: Visit, make: Factory) -> None:
    gifts = Gifts(make.database, PLANS, SystemClock())
    (code,) = gifts.make("basic", days=30, count=1, note=None, expires_at=None, actor="operator:test")
    visitor = visit()
    visitor.sign_in(make.person().email)
    visitor.follow("Account")
    visitor.page.get_by_label("Gift code").fill("ABCD-ABCD-ABCD-ABCD-ABCD")
    visitor.press("Redeem")
    expect(visitor.page.get_by_text("We do not know this code.")).to_be_visible()
    visitor.page.get_by_label("Gift code").fill(code.lower())
    visitor.press("Redeem")
    expect(visitor.page.get_by_text("Basic, a gift: you can watch until")).to_be_visible()


def test_the_portal_is_one_press_away_and_leads_back(visit: Visit, subscriber: str) -> None:
    visitor = visit()
    visitor.sign_in(subscriber)
    visitor.follow("Account")
    visitor.press("Payment and cancellation")
    visitor.press("Cancel at the period’s end")
    visitor.follow("Go back")
    visitor.follow("Account")
    expect(visitor.page.get_by_text("Basic, canceled: you can watch until")).to_be_visible()
