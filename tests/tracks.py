"""Captions and sound added to a film at its provider, as its owner does it there."""

from collections.abc import Callable

import httpx

from lib.config import Environment

TRACK = "https://files.example.com/track"
CAPTIONS = {"file": ("captions.vtt", b"WEBVTT\n\n00:00.000 --> 00:59.000\nA word\n", "text/vtt")}


def at_mux(environment: dict[str, str], asset_id: str) -> None:
    settings = Environment(environment).mux()
    for kind in ({"type": "text", "text_type": "subtitles"}, {"type": "audio"}):
        answer = httpx.post(
            f"{settings.api_base}/video/v1/assets/{asset_id}/tracks",
            json={"url": TRACK, "language_code": "pt-BR", **kind},
            auth=(settings.token_id, settings.token_secret),
        )
        assert answer.status_code == 201, answer.text


def at_cloudflare(environment: dict[str, str], uid: str) -> None:
    settings = Environment(environment).cloudflare()
    video = f"{settings.api_base}/accounts/{settings.account_id}/stream/{uid}"
    headers = {"Authorization": f"Bearer {settings.api_token}"}
    for answer in (
        httpx.put(f"{video}/captions/pt-BR", files=CAPTIONS, headers=headers),
        httpx.post(f"{video}/audio/copy", json={"url": TRACK, "label": "pt-BR"}, headers=headers),
    ):
        assert answer.status_code == 200, answer.text


ADDERS: dict[str, Callable[[dict[str, str], str], None]] = {"mux": at_mux, "cloudflare": at_cloudflare}
