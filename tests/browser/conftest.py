"""A stack whose signatures and access tokens live for seconds, and the system's Chromium to look at it with."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest
from playwright.sync_api import Browser, sync_playwright

from infra.local.processes import free_port
from infra.local.supervisor import Stack
from lib.config import Environment
from lib.database.engine import Database
from tests import film
from tests.browser.visitor import Film, Visitor
from tests.conftest import CONSOLE
from tests.factories import Factory

# A renewal is due after four fifths of it.
PLAYBACK_SECONDS = 12
# The shortest there is; so most tests see a refresh as well.
ACCESS_TOKEN_SECONDS = 30

TITLE = "The long way home"

Visit = Callable[..., Visitor]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    overrides = {
        "PLAYBACK_MAX_SECONDS": str(PLAYBACK_SECONDS),
        "ACCESS_TOKEN_SECONDS": str(ACCESS_TOKEN_SECONDS),
    }
    running = Stack(
        tmp_path_factory.mktemp("stack"),
        free_port(),
        overrides=overrides,
        durable=False,
        film=False,
        say=CONSOLE.info,
    )
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def database(stack: Stack) -> Iterator[Database]:
    """This stack's. The one all tests share would be another stack's in a run that has begun elsewhere: it is made once."""
    opened = Database(Environment({"DATABASE_URL": stack.database_url}).database())
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The system's: what viewers use plays H.264, which the browser that Playwright downloads does not."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("Chromium is missing: apt-get install chromium, or name one with CHROMIUM=/path/to/it")
    arguments = [
        "--autoplay-policy=no-user-gesture-required",
        # Nothing but this machine can be reached, whatever a page asks for.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
        # Chromium's own sandbox refuses to run as root, which containers often are.
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, stack: Stack) -> Iterator[Visit]:
    """Opens the client on another device; at the end none of them may have met an error of the page itself."""
    visitors: list[Visitor] = []

    def open_device(**options: object) -> Visitor:
        visitors.append(Visitor(chromium, stack.base_url, **options))
        return visitors[-1]

    yield open_device
    complaints = [complaint for visitor in visitors for complaint in visitor.complaints]
    for visitor in visitors:
        visitor.context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def film_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes, small: more than a player loads at once."""
    path = tmp_path_factory.mktemp("film") / "long.mp4"
    subprocess.run(
        [
            *(imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y"),
            *("-f", "lavfi", "-i", "gradients=s=320x180:r=12:d=120:n=4:seed=3:speed=0.02"),
            *("-f", "lavfi", "-i", "sine=frequency=220:duration=120"),
            *("-c:v", "libx264", "-preset", "ultrafast", "-g", "24", "-pix_fmt", "yuv420p"),
            *("-c:a", "aac", "-b:a", "48k", str(path)),
        ],
        check=True,
        timeout=60,
    )
    return path


@pytest.fixture(scope="session")
def long_film(stack: Stack, database: Database, film_file: Path) -> Film:
    """Of level 1, ready, at Mux."""
    with Factory(stack, database) as make:
        return Film(film.upload(make, make.client(), film_file, TITLE), TITLE)


@pytest.fixture
def film_at_cloudflare(make: Factory, film_file: Path) -> Film:
    """The same film, kept elsewhere."""
    title = "The long way round"
    return Film(film.upload(make, make.client(), film_file, title, provider="cloudflare"), title)


@pytest.fixture
def subscriber(make: Factory) -> str:
    """The email of somebody on basic: two screens."""
    return make.subscriber().email


@pytest.fixture
def film_premium(make: Factory) -> Film:
    """Of level 2; only its row is there."""
    return Film(str(make.video(title="For premium", level=2)), "For premium")
