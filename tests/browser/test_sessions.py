"""Who is signed in, across tabs and reloads."""

import uuid

from playwright.sync_api import expect

from tests.browser.conftest import ACCESS_TOKEN_SECONDS, Visit
from tests.factories import PASSWORD, Factory

# As if a quarter of an hour had passed: only the page's idea of the time is moved.
_LATER = f"""() => {{
  const now = Date.now;
  Date.now = () => now() + {ACCESS_TOKEN_SECONDS * 1000};
}}"""

_ASK_AT = """(moment) => {
  window.asked = import("/pages/session.js").then(async ({ call }) => {
    await new Promise((done) => setTimeout(done, moment - Date.now()));
    return call("GET", "account");
  });
  return undefined;
}"""

# A token that the page takes for good and the server does not.
_SPOIL = """async () => {
  const { refresh_token, user } = JSON.parse(localStorage.getItem("streamly.session"));
  const { keep } = await import("/pages/session.js");
  keep({ access_token: "no longer good", expires_in: 900, refresh_token, user });
}"""


def test_several_tabs_share_one_refresh(visit: Visit, subscriber: str) -> None:
    device = visit()
    device.sign_in(subscriber)
    tabs = [device.page, device.tab(), device.tab()]
    for tab in tabs:
        tab.goto("/me")
        expect(tab.get_by_role("heading", name="Devices")).to_be_visible()
    before = len(device.traffic.answers("refresh"))
    for tab in tabs:
        tab.evaluate(_LATER)
    # All in the same moment, each in a tab that thinks its token has run out.
    moment = tabs[0].evaluate("Date.now() + 2000")
    for tab in tabs:
        tab.evaluate(_ASK_AT, moment)
    answers = [tab.evaluate("async () => (await window.asked).user.email") for tab in tabs]
    assert answers == [subscriber] * 3
    refreshed = device.traffic.answers("refresh")[before:]
    assert [answer.status for answer in refreshed] == [200]


def test_a_token_the_server_no_longer_takes_is_refreshed_once(visit: Visit, subscriber: str) -> None:
    device = visit()
    device.sign_in(subscriber)
    device.page.goto("/me")
    device.sees("Devices")
    before = len(device.traffic.answers("refresh"))
    device.page.evaluate(_SPOIL)
    device.follow("Plans")
    device.page.get_by_text("Your plan", exact=True).wait_for()
    assert [answer.status for answer in device.traffic.answers("refresh")[before:]] == [200]


def test_a_reload_stays_signed_in_and_signing_out_counts_in_every_tab(visit: Visit, subscriber: str) -> None:
    device = visit()
    device.sign_in(subscriber)
    device.page.reload()
    other = device.tab()
    other.goto("/me")
    expect(other.get_by_text(subscriber)).to_be_visible()
    device.press("Sign out")
    expect(other.get_by_role("link", name="Sign in")).to_be_visible()
    assert device.page.evaluate("localStorage.length") == 0


def test_who_is_signed_out_from_another_device_signs_in_again_and_goes_on(
    visit: Visit, make: Factory, subscriber: str
) -> None:
    here, there = visit(), visit()
    here.sign_in(subscriber)
    there.sign_in(subscriber)
    there.follow("Account")
    there.sees("Devices")
    there.keep("account", full_page=True)
    there.page.get_by_role("button", name="Sign out Chrome on Linux").first.click()
    expect(there.page.get_by_text("This device")).to_be_visible()
    here.open("/me")
    here.sees("Sign in")
    here.page.get_by_label("Email").fill(subscriber)
    here.page.get_by_label("Password").fill(PASSWORD)
    here.press("Sign in")
    here.sees("Devices")


def test_wrong_answers_are_told_where_they_belong(visit: Visit, subscriber: str) -> None:
    device = visit()
    device.open("/sign-in")
    device.press("Sign in")
    expect(device.page.get_by_label("Email")).to_be_focused()
    device.page.get_by_label("Email").fill(subscriber)
    device.page.get_by_label("Password").fill("not the password")
    device.press("Sign in")
    expect(device.page.get_by_role("alert")).to_have_text("Email or password is wrong.")
    device.open("/join")
    device.page.get_by_label("Email").fill(subscriber)
    device.page.get_by_label("Password").fill(PASSWORD)
    device.press("Create account")
    expect(device.page.get_by_label("Email")).to_have_attribute("aria-invalid", "true")
    device.page.get_by_label("Email").fill(f"{uuid.uuid4().hex}@example.com")
    device.page.get_by_label("Password").fill("short")
    device.press("Create account")
    expect(device.page.get_by_label("Password")).to_be_focused()
    expect(device.page.get_by_text("Choose a longer password")).to_be_visible()


def test_signing_in_leads_nowhere_else(visit: Visit, subscriber: str) -> None:
    device = visit()
    for wanted in ("https://evil.example/", "//evil.example/", "/\\evil.example"):
        device.open(f"/sign-in?next={wanted}")
        device.page.get_by_label("Email").fill(subscriber)
        device.page.get_by_label("Password").fill(PASSWORD)
        device.press("Sign in")
        device.sees("Films")
        device.press("Sign out")
