"""Loads the sample film through the public API, once, the way an admin would: `python -m infra.local.seed`."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from infra.local.sample_film import make_sample_film
from infra.local.settings import write_private

TITLE = "Sample film"
DESCRIPTION = "A few seconds of moving colours and a tone, to see and hear that everything works."
READY_SECONDS = 180
_NOTES = "sample-film.json"


class SeedError(RuntimeError):
    """The film is not there; the message says why."""


def is_loaded(data_dir: Path) -> bool:
    """Whether the film has been loaded into this installation, even if it has been deleted since."""
    return bool(_read_notes(data_dir).get("listed"))


def load_film(base_url: str, email: str, password: str, data_dir: Path) -> str | None:
    """Upload the sample film and wait until it is listed.

    What has been done is kept in `<data_dir>/sample-film.json`, so that an interrupted upload is taken up
    again and a film an admin has since deleted stays deleted.

    Returns:
        The film's id, or None if it had been loaded before.

    Raises:
        SeedError: A step was refused, or it took longer than three minutes.
        httpx.HTTPError: The API did not answer.
    """
    notes_path, notes = data_dir / _NOTES, _read_notes(data_dir)
    if notes.get("listed"):
        return None
    with httpx.Client(base_url=base_url, timeout=30, trust_env=False) as client:
        if "video_id" not in notes:
            notes = _open_upload(client, email, password)
            write_private(notes_path, json.dumps(notes))
        if not notes.get("sent"):
            film = data_dir / "sample-film.mp4"
            make_sample_film(film)
            with film.open("rb") as content:
                length = str(os.fstat(content.fileno()).st_size)
                answer = client.put(notes["upload_url"], content=content, headers={"Content-Length": length})
            if not answer.is_success:
                notes_path.unlink()  # the next start begins anew
                raise SeedError(f"the upload was answered {answer.status_code}: {answer.text[:200]}")
            notes["sent"] = True
            write_private(notes_path, json.dumps(notes))
        _await_listed(client, notes["video_id"])
    write_private(notes_path, json.dumps({"video_id": notes["video_id"], "sent": True, "listed": True}))
    return str(notes["video_id"])


def _read_notes(data_dir: Path) -> dict[str, Any]:
    path = data_dir / _NOTES
    return json.loads(path.read_text()) if path.exists() else {}


def _open_upload(client: httpx.Client, email: str, password: str) -> dict[str, Any]:
    login = client.post("/login", json={"email": email, "password": password})
    if login.status_code != 200:
        raise SeedError(f"{email} cannot log in ({login.status_code}): has the password been changed?")
    opened = client.post(
        "/upload-asset",
        json={"title": TITLE, "description": DESCRIPTION, "level": 1},
        headers={"Authorization": f"Bearer {login.json()['access_token']}"},
    )
    if opened.status_code != 201:
        raise SeedError(f"upload-asset answered {opened.status_code}: {opened.text[:200]}")
    document = opened.json()
    return {"video_id": document["video"]["id"], "upload_url": document["upload"]["url"]}


def _await_listed(client: httpx.Client, video_id: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        answer = client.get("/list-videos", params={"q": TITLE, "limit": 100})
        if answer.is_success and any(video["id"] == video_id for video in answer.json()["videos"]):
            return
        time.sleep(0.25)
    raise SeedError(f"it is still not listed after {READY_SECONDS} s")


def main() -> int:
    """Load it with what the supervisor put into the environment; 1 and a line if it fails."""
    try:
        loaded = load_film(
            os.environ["STREAMLY_URL"],
            os.environ["ADMIN_EMAIL"],
            os.environ["ADMIN_PASSWORD"],
            Path(os.environ["STREAMLY_LOCAL_DIR"]),
        )
    except (SeedError, httpx.HTTPError, OSError) as error:
        print(error)
        return 1
    if loaded:
        print("The sample film is ready to be watched.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
