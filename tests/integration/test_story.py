"""The flow that must always hold: authenticate, pay, webhook, active, ask for a film, watch it."""

import re
import subprocess
import time
from pathlib import Path

import httpx
import imageio_ffmpeg

from infra.local.sample_film import make_sample_film
from tests.api import Api, refused
from tests.factories import PASSWORD, Factory, wait_for

CHUNK = 256 * 1024


def test_the_whole_story(make: Factory, api: Api, tmp_path: Path) -> None:
    # An admin announces a film and sends its file in chunks, as a browser does.
    film = tmp_path / "film.mp4"
    make_sample_film(film)
    admin = make.admin()
    announced = admin.api.post("upload-asset", {"title": "The story", "level": 1}).json()
    video_id = announced["video"]["id"]
    assert announced["video"]["status"] == "waiting"
    send(announced["upload"]["url"], film.read_bytes())

    # A stranger becomes a viewer, and may not watch yet.
    email = f"story-{time.time_ns()}@example.com"
    registered = api.post("register", {"email": email, "password": PASSWORD, "name": "Sam"})
    assert registered.status_code == 201
    logged_in = api.post("login", {"email": email.upper(), "password": PASSWORD}).json()
    viewer = make.client(logged_in["access_token"])
    refused(viewer.get("get-playback", video_id=video_id), 402, "subscription_required")

    # They pay; Stripe's event, not the browser, opens the door, and it does so within two seconds.
    plans = api.get("list-plans").json()["plans"]
    checkout = viewer.post("create-checkout", {"plan": plans[0]["code"]})
    assert checkout.status_code == 201
    paid = httpx.post(checkout.json()["checkout_url"], data={"card": "4242424242424242"}, timeout=30)
    assert paid.status_code == 303
    returned_to = paid.headers["location"]
    assert checkout.json()["session_id"] in returned_to
    account = wait_for(lambda: entitled(viewer), seconds=2)
    assert account["subscription"]["status"] == "active"
    confirmed = viewer.post("confirm-checkout", {"session_id": checkout.json()["session_id"]}).json()
    assert confirmed["entitlement"] == account["entitlement"]

    # The film is ready by now, or soon.
    wait_for(lambda: video_id in {v["id"] for v in api.get("list-videos", limit=100).json()["videos"]}, 60)
    playback = viewer.get("get-playback", video_id=video_id)
    assert playback.status_code == 200
    found = playback.json()
    assert found["entitlement"]["plan"] == plans[0]["code"]
    assert playback.headers["cache-control"] == "no-store"

    # It plays: a real decoder reads real HLS to its end.
    assert frames(found["playback_url"]) > 100
    assert httpx.get(found["thumbnail_url"]).headers["content-type"] == "image/jpeg"
    assert "WEBVTT" in httpx.get(found["storyboard_url"]).text
    # And for nobody without the token.
    bare = found["playback_url"].partition("?")[0]
    assert httpx.get(bare).status_code == 403

    # What ends at Stripe ends here.
    make.control(email=email, action="cancel")
    wait_for(lambda: viewer.get("get-playback", video_id=video_id).status_code == 402)


def entitled(viewer: Api) -> dict[str, dict[str, object]] | None:
    account: dict[str, dict[str, object]] = viewer.get("account").json()
    return account if account["entitlement"]["active"] else None


def send(url: str, content: bytes) -> None:
    """The provider's resumable upload: PUT by chunks, 308 until the last."""
    for start in range(0, len(content), CHUNK):
        chunk = content[start : start + CHUNK]
        end = start + len(chunk)
        headers = {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"}
        answer = httpx.put(url, content=chunk, headers=headers, timeout=30)
        assert answer.status_code == (200 if end == len(content) else 308), answer.text


def frames(url: str) -> int:
    """How many video frames ffmpeg decodes from there."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-stats", "-i", url]
    ended = subprocess.run(
        [*command, "-f", "null", "-"], capture_output=True, text=True, timeout=120, check=True
    )
    return int(re.findall(r"frame=\s*(\d+)", ended.stderr)[-1])
