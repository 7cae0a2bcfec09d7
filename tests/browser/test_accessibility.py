"""For everybody: axe-core finds nothing serious, the keyboard is enough, and a phone needs no sideways scrolling."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from infra.local.supervisor import ADMIN_EMAIL, Stack
from tests.browser.conftest import Visit
from tests.browser.visitor import PHONE, Film, Visitor
from tests.factories import PASSWORD
from tests.javascript import FOLDER, JavaScript

OPEN = [
    "/",
    "/?q=nothing-is-called-this",
    "/sign-in",
    "/join",
    "/plans",
    "/checkout/canceled",
    "/watch/no/where",
]
SIGNED_IN = ["/", "/plans", "/me", "/watch/{film}", "/watch/{premium}"]
STUDIO = ["/admin"]


@pytest.fixture
def axe(javascript: JavaScript) -> Callable[[Visitor], list[str]]:
    """What axe-core finds on the page that is serious: `rule: where`."""
    source = (FOLDER / "node_modules" / "axe-core" / "axe.min.js").read_text()

    def find(visitor: Visitor) -> list[str]:
        # Through the debugger: the page's policy allows no script but its own.
        visitor.page.evaluate(source)
        found: list[dict[str, Any]] = visitor.page.evaluate("async () => (await axe.run()).violations")
        return [
            f"{rule['id']}: {node['html']}"
            for rule in found
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]

    return find


def views(visitor: Visitor, addresses: list[str], **ids: str) -> Any:
    """Opens one after the other, each until it has settled."""
    for address in addresses:
        visitor.open(address.format(**ids))
        visitor.page.locator("main h1, main h2").first.wait_for()
        visitor.page.wait_for_load_state("networkidle")
        yield address


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_on_any_view(
    visit: Visit,
    axe: Callable[[Visitor], list[str]],
    stack: Stack,
    long_film: Film,
    film_premium: Film,
    subscriber: str,
    scheme: str,
) -> None:
    ids = {"film": long_film.id, "premium": film_premium.id}
    visitor = visit(color_scheme=scheme, reduced_motion="reduce")
    found = {view: axe(visitor) for view in views(visitor, OPEN, **ids)}
    visitor.sign_in(subscriber)
    found |= {f"{view}, signed in": axe(visitor) for view in views(visitor, SIGNED_IN, **ids)}
    visitor.sign_in(ADMIN_EMAIL, stack.settings.admin_password)
    for view in views(visitor, STUDIO):
        found[view] = axe(visitor)
        visitor.keep(f"studio-{scheme}", full_page=True)
    assert {view: wrong for view, wrong in found.items() if wrong} == {}


def test_axe_would_find_something(visit: Visit, axe: Callable[[Visitor], list[str]]) -> None:
    visitor = visit()
    visitor.open("/sign-in")
    visitor.page.locator("label").first.evaluate("label => label.remove()")
    assert "label" in {line.partition(":")[0] for line in axe(visitor)}


def test_a_phone_scrolls_one_way_only(
    visit: Visit, stack: Stack, long_film: Film, film_premium: Film, subscriber: str
) -> None:
    ids = {"film": long_film.id, "premium": film_premium.id}
    visitor = visit(**PHONE)
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    found = {view: visitor.page.evaluate(wide) for view in views(visitor, OPEN, **ids)}
    visitor.sign_in(subscriber)
    for view in views(visitor, SIGNED_IN, **ids):
        found[f"{view}, signed in"] = visitor.page.evaluate(wide)
        visitor.keep(f"phone-{SIGNED_IN.index(view)}", full_page=True)
    visitor.sign_in(ADMIN_EMAIL, stack.settings.admin_password)
    found |= {view: visitor.page.evaluate(wide) for view in views(visitor, STUDIO)}
    assert {view: by for view, by in found.items() if by} == {}


def test_the_keyboard_is_enough_to_sign_in_and_play(visit: Visit, long_film: Film, subscriber: str) -> None:
    visitor = visit()
    visitor.open("/")
    press = visitor.page.keyboard.press

    def tab_to(name: str) -> None:
        for _ in range(40):
            press("Tab")
            # Behind the last link nothing has the focus but the page, and every name stands in that.
            focused = visitor.page.evaluate(
                """(() => {
                  const at = document.activeElement;
                  return at === document.body ? "" : (at.getAttribute("aria-label") ?? at.textContent);
                })()"""
            )
            if name in focused:
                return
        raise AssertionError(f"the Tab key does not lead to {name}")

    press("Tab")
    expect(visitor.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    tab_to("Sign in")
    press("Enter")
    visitor.sees("Sign in")
    press("Tab")
    visitor.page.keyboard.type(subscriber)
    press("Tab")
    visitor.page.keyboard.type(PASSWORD)
    press("Enter")
    visitor.sees("Films")
    # It comes after the view.
    expect(visitor.page.get_by_role("link", name=long_film.title)).to_be_visible()
    tab_to(long_film.title)
    press("Enter")
    visitor.wait_until_playing(0.5)


def test_a_new_view_is_told_to_who_cannot_see_it(visit: Visit) -> None:
    visitor = visit()
    visitor.open("/")
    visitor.follow("Plans")
    visitor.sees("Choose a plan")
    expect(visitor.page.locator("main")).to_be_focused()
    expect(visitor.page).to_have_title("Plans – Streamly")
    expect(visitor.page.get_by_role("link", name="Plans")).to_have_attribute("aria-current", "page")
    visitor.page.go_back()
    visitor.sees("Films")
    expect(visitor.page).to_have_title("Films – Streamly")
