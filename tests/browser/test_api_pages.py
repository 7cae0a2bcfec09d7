"""/docs and /redoc are drawn, and ask nobody but us for anything: a visitor complains about strangers by itself."""

import pytest

from tests.browser.conftest import Visit


@pytest.mark.parametrize(
    ("address", "seen"),
    [("/docs", "#operations-Accounts-post-login"), ("/redoc", "[data-section-id='tag/Accounts']")],
)
def test_the_apis_pages_are_drawn(visit: Visit, address: str, seen: str) -> None:
    visitor = visit()
    visitor.open(address)
    visitor.page.locator(seen).first.wait_for()
    visitor.page.wait_for_load_state("networkidle")
    assert len(visitor.traffic.requests) >= 3
