"""The pages that describe the API, as a browser gets them: everything from here, nothing from elsewhere."""

import re

import httpx
import pytest

from infra.local.supervisor import Stack
from tests.api import described

PAGES = ["/docs", "/redoc", "/api-docs/docs", "/api-docs/redoc"]


def get(stack: Stack, path: str) -> httpx.Response:
    return httpx.get(stack.base_url + path, timeout=10, trust_env=False)


@pytest.mark.parametrize("path", ["/openapi.json", "/api-docs/openapi.json"])
def test_the_description(stack: Stack, path: str) -> None:
    response = get(stack, path)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("application/json")
    assert response.json() == described()


@pytest.mark.parametrize("path", PAGES)
def test_pages_and_all_they_load_come_from_here(stack: Stack, path: str) -> None:
    page = get(stack, path)
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert re.findall(r"https?://[^\s\"'<]+|src=\"//", page.text) == []
    loaded = re.findall(r'(?:src|href)="(/[^"]+)"', page.text) + re.findall(r'"(/[^"]+\.json)"', page.text)
    assert len(loaded) >= 2
    for address in loaded:
        assert get(stack, address).status_code == 200, address


@pytest.mark.parametrize("name", ["swagger-ui.css", "swagger-ui-bundle.js", "redoc.standalone.js"])
def test_assets_ask_nobody_else(stack: Stack, name: str) -> None:
    """The policy above forbids it; nor is there an address of a CDN, a font or a source map in them."""
    text = get(stack, f"/api-docs/assets/{name}").text
    assert "sourceMappingURL" not in text.rstrip().splitlines()[-1]
    assert (
        re.findall(
            r"url\(['\"]?(?:https?:)?//[^)]*\)|@import[^;]*//|[\w.-]*cdn[\w.-]*\.(?:com|net|io)/", text
        )
        == []
    )


@pytest.mark.parametrize(
    "path",
    [
        "/api-docs",
        "/api-docs/nothing",
        "/api-docs/main.py",
        "/api-docs/assets/../main.py",
        "/api-docs/%2e%2e/main.py",
    ],
)
def test_nothing_else_is_served(stack: Stack, path: str) -> None:
    response = get(stack, path)
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"
