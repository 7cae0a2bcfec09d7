"""A real film in the stack, as an admin loads it."""

from pathlib import Path
from typing import Any

import httpx

from infra.local.sample_film import make_sample_film
from tests.api import Api
from tests.factories import Factory, wait_for

READY_SECONDS = 60


def load(make: Factory, api: Api, folder: Path, title: str) -> str:
    """The id of the sample film, of level 1, uploaded and listed, the newest of all."""
    file = folder / "film.mp4"
    make_sample_film(file)
    return upload(make, api, file, title)


def upload(make: Factory, api: Api, file: Path, title: str, **announced: Any) -> str:
    """The id of a film of level 1 that has been uploaded and is listed."""
    answer = make.admin().api.post("upload-asset", {"title": title, "level": 1} | announced).json()
    url, content = answer["upload"]["url"], file.read_bytes()
    if answer["upload"]["protocol"] == "form":
        sent = httpx.post(url, files={"file": content}, timeout=30)
    else:
        sent = httpx.put(url, content=content, timeout=30)
    assert sent.is_success, sent.text
    video_id: str = answer["video"]["id"]
    wait_for(lambda: video_id in {v["id"] for v in api.get("list-videos").json()["videos"]}, READY_SECONDS)
    return video_id
