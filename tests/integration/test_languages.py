"""Captions and sound added at a provider after its film was ready are seen here: told by Mux, asked of Cloudflare."""

import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from infra.local.sample_film import make_sample_film
from lib.database.schema import videos
from tests.api import Api
from tests.factories import Factory, wait_for
from tests.film import upload
from tests.tracks import ADDERS


@pytest.mark.parametrize("provider", sorted(ADDERS))
def test_languages_added_later_are_listed(
    make: Factory, api: Api, environment: dict[str, str], tmp_path: Path, provider: str
) -> None:
    file = tmp_path / "film.mp4"
    make_sample_film(file)
    film = upload(make, api, file, "In several languages", provider=provider)
    admin = make.admin()

    def managed() -> dict[str, Any]:
        found: dict[str, Any] = admin.api.get("manage-video", video_id=film).json()["video"]
        return found

    assert (managed()["captions"], managed()["audio_languages"]) == ([], [])
    assert managed()["provider"] == provider
    with make.database.transaction() as tx:
        asset_id = tx.execute(select(videos.c.asset_id).where(videos.c.id == uuid.UUID(film))).scalar_one()
    ADDERS[provider](environment, asset_id)

    def told() -> dict[str, Any] | None:
        # As every minute.
        httpx.post(f"{make.stack.base_url}/sandbox/tasks/reconcile", timeout=60)
        found = managed()
        return found if found["captions"] and found["audio_languages"] else None

    found = wait_for(told, 60)
    assert (found["captions"], found["audio_languages"]) == (["pt-BR"], ["pt-BR"])
    listed = next(video for video in api.get("list-videos").json()["videos"] if video["id"] == film)
    assert (listed["captions"], listed["audio_languages"]) == (["pt-BR"], ["pt-BR"])
