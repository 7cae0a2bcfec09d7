"""Somebody with a device and the client on it: what they do, in their words."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Response, expect

from tests.factories import PASSWORD

SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
PHONE = {"viewport": {"width": 375, "height": 740}, "has_touch": True, "is_mobile": True}
# How long a page may take on a busy machine; nothing passes by being slow.
PATIENCE = 20_000


@dataclass(frozen=True)
class Film:
    id: str
    title: str


@dataclass
class Segment:
    """A piece of a film that was fetched: from where to where, signed until when, and what came."""

    url: str
    expires: int
    status: int


@dataclass
class Traffic:
    """What a device has asked for."""

    requests: list[Request] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)

    def segments(self) -> list[Segment]:
        return [
            Segment(answer.url, int(parse_qs(urlsplit(answer.url).query)["expires"][0]), answer.status)
            for answer in self.responses
            if answer.url.split("?")[0].endswith(".m4s")
        ]

    def answers(self, function: str, status: int | None = None) -> list[Response]:
        return [
            answer
            for answer in self.responses
            if urlsplit(answer.url).path == f"/{function}" and status in (None, answer.status)
        ]


class Visitor:
    """A browser of its own, as on a device of its own."""

    def __init__(self, browser: Browser, base_url: str, **options: Any) -> None:
        defaults = {"viewport": {"width": 1200, "height": 800}, "locale": "en-US", "timezone_id": "UTC"}
        self.context = browser.new_context(base_url=base_url, **(defaults | options))
        self.context.set_default_timeout(PATIENCE)
        self.traffic = Traffic()
        self.complaints: list[str] = []
        self._base_url = base_url
        self.page = self.tab()

    def tab(self) -> Page:
        """Another tab on the same device."""
        page = self.context.new_page()
        page.on("request", self._asked)
        page.on("response", self._answered)
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))
        page.on("console", self._said)
        return page

    def _asked(self, request: Request) -> None:
        self.traffic.requests.append(request)
        if not request.url.startswith((self._base_url, "blob:", "data:")):
            self.complaints.append(f"asked a stranger: {request.url}")

    def _answered(self, response: Response) -> None:
        self.traffic.responses.append(response)

    def _said(self, message: ConsoleMessage) -> None:
        # That an answer was a refusal is told there too; the tests know which are to be expected.
        refusal = message.text.startswith("Failed to load resource")
        # UpChunk reads an empty answer as XML; Chromium makes a page of that error, whose style is refused. Nobody sees it.
        no_xml = "inline style" in message.text and message.location["url"].endswith("/upchunk.mjs")
        if message.type == "error" and not refusal and not no_xml:
            self.complaints.append(f"{message.text} ({message.location})")

    # -- what people do

    def open(self, address: str) -> None:
        self.page.goto(address)

    def press(self, name: str | re.Pattern[str]) -> None:
        self.page.get_by_role("button", name=name).click()

    def follow(self, name: str | re.Pattern[str]) -> None:
        self.page.get_by_role("link", name=name).first.click()

    def join(self, email: str, *, name: str = "") -> None:
        self.open("/join")
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Email").fill(email)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.press("Create account")
        self.page.wait_for_url("**/plans")

    def sign_in(self, email: str, password: str = PASSWORD) -> None:
        self.open("/sign-in")
        self.page.get_by_label("Email").fill(email)
        self.page.get_by_label("Password").fill(password)
        self.press("Sign in")
        self.page.wait_for_url(lambda url: urlsplit(url).path == "/")

    def watch(self, film: Film) -> None:
        """From the catalogue, and until the picture moves."""
        self.open("/")
        self.follow(film.title)
        self.wait_until_playing(0.5)

    # -- what they see

    def heading(self, text: str) -> Locator:
        return self.page.get_by_role("heading", name=text)

    def sees(self, text: str) -> None:
        expect(self.heading(text)).to_be_visible(timeout=PATIENCE)

    @property
    def position(self) -> float:
        return float(self.page.evaluate("document.querySelector('video').currentTime"))

    def wait_until_playing(self, beyond: float, patience: float = PATIENCE) -> None:
        self.page.wait_for_function(
            "beyond => document.querySelector('video')?.currentTime > beyond", arg=beyond, timeout=patience
        )

    def keep(self, name: str, **options: Any) -> None:
        """A screenshot among the build's artefacts."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", **options)
