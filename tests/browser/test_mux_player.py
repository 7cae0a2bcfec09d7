"""Mux's own player takes what get-playback answers: the tokens by their attributes, nothing else of ours.

It knows Mux's hosts only. What it asks of them goes to the sandbox, path by path.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route

from infra.local.supervisor import Stack
from tests.browser.visitor import PATIENCE, Film
from tests.factories import Factory
from tests.javascript import FOLDER, JavaScript

SCRIPT = FOLDER / "node_modules" / "@mux" / "mux-player" / "dist" / "mux-player.js"
HOSTS = {"stream.mux.com": "stream", "image.mux.com": "image"}
PAGE = "/player-of-mux.html"


@dataclass
class Screen:
    """A page with the player alone, and what Mux's hosts were asked."""

    page: Page
    asked: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    """Last part of the path -> the token that came with it, and the status of the answer."""

    def show(self, **attributes: str) -> None:
        self.page.goto(PAGE)
        self.page.evaluate(
            """attributes => {
                const player = document.createElement("mux-player");
                for (const [name, value] of Object.entries(attributes)) player.setAttribute(name, value);
                player.addEventListener("error", () => { window.failed = true; });
                document.body.append(player);
            }""",
            {name.replace("_", "-"): value for name, value in attributes.items()},
        )

    def wait(self, expression: str) -> None:
        self.page.wait_for_function(expression, timeout=PATIENCE)


@pytest.fixture
def screen(chromium: Browser, stack: Stack, javascript: JavaScript) -> Iterator[Screen]:
    context = chromium.new_context(base_url=stack.base_url)
    shown = Screen(context.new_page())

    def from_sandbox(route: Route) -> None:
        url = urlsplit(route.request.url)
        sandbox = f"{stack.base_url}/sandbox/mux/{HOSTS[url.netloc]}{url.path}?{url.query}"
        answer = route.fetch(url=sandbox)
        token = parse_qs(url.query).get("token", [""])[0]
        shown.asked.setdefault(url.path.rpartition("/")[2], []).append((token, answer.status))
        route.fulfill(response=answer)

    document = f"<!doctype html><title>Player</title><body><script src='{PAGE}.js'></script>"
    context.route(f"**{PAGE}", lambda route: route.fulfill(body=document, content_type="text/html"))
    context.route(f"**{PAGE}.js", lambda route: route.fulfill(path=SCRIPT, content_type="text/javascript"))
    context.route(re.compile(r"https://(stream|image)\.mux\.com/"), from_sandbox)
    yield shown
    context.close()


@pytest.fixture
def playback(make: Factory, long_film: Film) -> dict[str, Any]:
    person = make.person()
    make.entitle(person)
    answer = person.api.get("get-playback", video_id=long_film.id)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def attributes(playback: dict[str, Any]) -> dict[str, str]:
    tokens = playback["tokens"]
    return {
        "playback_id": playback["playback_id"],
        "playback_token": tokens["playback"],
        "thumbnail_token": tokens["thumbnail"],
        "storyboard_token": tokens["storyboard"],
        "muted": "",
        "autoplay": "muted",
        "disable_tracking": "",
    }


def test_mux_player_plays_with_our_tokens(screen: Screen, playback: dict[str, Any]) -> None:
    screen.show(**attributes(playback))
    screen.wait("document.querySelector('mux-player').currentTime > 1")
    screen.wait("document.querySelector('mux-player').media.textTracks.length > 0")
    tokens = playback["tokens"]
    assert (tokens["playback"], 200) in screen.asked[f"{playback['playback_id']}.m3u8"]
    assert any(
        (tokens["thumbnail"], 200) in told for name, told in screen.asked.items() if "thumbnail" in name
    )
    assert (tokens["storyboard"], 200) in screen.asked["storyboard.vtt"]
    refused = [(name, status) for name, told in screen.asked.items() for _, status in told if status >= 400]
    assert refused == [], json.dumps(sorted(screen.asked))


def test_it_does_not_play_with_a_signature_that_is_not_ours(screen: Screen, playback: dict[str, Any]) -> None:
    """The player cannot see that: it asks, and is refused."""
    signed, _, signature = playback["tokens"]["playback"].rpartition(".")
    forged = f"{signed}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    screen.show(**attributes(playback) | {"playback_token": forged})
    screen.wait("window.failed")
    assert screen.page.evaluate("document.querySelector('mux-player').currentTime") == 0
    assert set(screen.asked[f"{playback['playback_id']}.m3u8"]) == {(forged, 403)}


@pytest.mark.parametrize("kind", ["thumbnail", "storyboard"])
def test_it_does_not_play_with_a_token_for_something_else(
    screen: Screen, playback: dict[str, Any], kind: str
) -> None:
    screen.show(**attributes(playback) | {"playback_token": playback["tokens"][kind]})
    screen.wait("window.failed")
    assert screen.page.evaluate("document.querySelector('mux-player').currentTime") == 0
    # The player itself sees that the audience is wrong, and need not ask.
    told = screen.asked.get(f"{playback['playback_id']}.m3u8", [])
    assert all(status == 403 for _, status in told)
