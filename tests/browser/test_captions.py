"""Captions that a film has at its provider can be chosen where it is played."""

import uuid
from pathlib import Path

import pytest
from sqlalchemy import select

from infra.local.supervisor import Stack
from lib.database.schema import videos
from tests.browser.conftest import Visit
from tests.browser.visitor import PATIENCE
from tests.factories import Factory
from tests.film import upload
from tests.tracks import ADDERS

_SHOWN = """() => {
  const track = [...document.querySelector("video").textTracks].find((each) => each.language === "pt-BR");
  if (track) track.mode = "showing";
  return track && track.kind === "subtitles" && track.activeCues?.length && track.activeCues[0].text;
}"""


@pytest.mark.parametrize(("provider", "says"), [("mux", "pt-BR"), ("cloudflare", "A word")])
def test_captions_are_shown(
    visit: Visit, stack: Stack, make: Factory, film_file: Path, subscriber: str, provider: str, says: str
) -> None:
    film = upload(make, make.client(), film_file, f"With captions, {provider}", provider=provider)
    with make.database.transaction() as tx:
        asset_id = tx.execute(select(videos.c.asset_id).where(videos.c.id == uuid.UUID(film))).scalar_one()
    ADDERS[provider](stack.settings.function_environment(stack.database_url, {}), asset_id)
    viewer = visit()
    viewer.sign_in(subscriber)
    viewer.open(f"/watch/{film}")
    viewer.wait_until_playing(0.2)
    assert viewer.page.wait_for_function(_SHOWN, timeout=PATIENCE).json_value() == says
    viewer.keep(f"captions-{provider}")
