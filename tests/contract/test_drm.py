"""Films with DRM and tokens with a playback restriction, looked at as Mux does: by the sandbox, beside mux-node's own tokens."""

import time
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from infra.local.sample_film import make_sample_film
from lib.adapters.mux_videos import MuxVideos
from lib.adapters.playback_signers import MuxSigner
from lib.config import Environment
from lib.video.ports import SignedPlayback
from tests.factories import wait_for
from tests.javascript import JavaScript

SITE = "films.example.com"
UNTIL = datetime.now(UTC) + timedelta(hours=1)
KINDS = {"widevine", "fairplay", "playready"}


@dataclass
class House:
    """A film with DRM, a restriction to our site, and a signer that is set up for both."""

    base: str
    playback_id: str
    signer: MuxSigner

    def sign(self, client: str = "web") -> SignedPlayback:
        return self.signer.sign(self.playback_id, expires_at=UNTIL, trace="x", client=client)

    def licence(self, token: str | None, *, kind: str = "widevine", site: str | None = SITE) -> int:
        headers = {} if site is None else {"Referer": f"https://{site}/watch/1"}
        query = {} if token is None else {"token": token}
        url = f"{self.base}/license/{kind}/{self.playback_id}"
        return httpx.post(url, params=query, headers=headers, content=b"challenge").status_code


@pytest.fixture(scope="module")
def house(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> House:
    env = Environment(environment)
    settings = env.mux()
    videos = MuxVideos(replace(settings, drm_configuration_id="sandbox-drm"), "https://app.example.com")
    file: Path = tmp_path_factory.mktemp("film") / "film.mp4"
    make_sample_film(file)
    upload = videos.create_upload(video_id=uuid.uuid4(), title="Protected", size=None)
    assert httpx.put(upload.url, content=file.read_bytes(), timeout=30).status_code == 200

    def ready() -> str | None:
        return videos.progress(upload_id=upload.id, asset_id=None).playback_id

    playback_id = wait_for(ready, 60)
    restriction = httpx.post(
        f"{settings.api_base}/video/v1/playback-restrictions",
        json={
            "referrer": {"allowed_domains": [SITE, "*.apps.example.com"], "allow_no_referrer": False},
            "user_agent": {"allow_no_user_agent": False, "allow_high_risk_user_agent": False},
        },
        auth=(settings.token_id, settings.token_secret),
    )
    assert restriction.status_code == 201, restriction.text
    signing = env.mux_signing()
    protected = replace(signing, drm=True, restrictions={"web": restriction.json()["data"]["id"]})
    return House(signing.stream_base.rpartition("/")[0], playback_id, MuxSigner(protected))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_licence_takes_its_own_token(house: House, kind: str) -> None:
    signed = house.sign()
    assert house.licence(signed.drm_token, kind=kind) == 200
    for other in (None, "x", signed.playback_token, signed.thumbnail_token, signed.storyboard_token):
        assert house.licence(other, kind=kind) == 403


def test_the_licence_s_token_opens_no_film(house: House) -> None:
    headers = {"Referer": f"https://{SITE}/"}
    signed = house.sign()
    assert httpx.get(signed.playback_url, headers=headers).status_code == 200
    with_drm = signed.playback_url.replace(signed.playback_token, str(signed.drm_token))
    assert httpx.get(with_drm, headers=headers).status_code == 403
    assert httpx.get(signed.playback_url.partition("?")[0], headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("site", "status"),
    [
        (SITE, 200),
        ("tv.apps.example.com", 200),
        ("apps.example.com", 403),
        (f"{SITE}.thieves.example", 403),
        ("thieves.example", 403),
        (None, 403),
    ],
)
def test_a_restricted_token_works_where_it_may(house: House, site: str | None, status: int) -> None:
    signed = house.sign()
    assert house.licence(signed.drm_token, site=site) == status
    headers = {} if site is None else {"Referer": f"https://{site}/watch/1"}
    for url in (signed.playback_url, signed.thumbnail_url, str(signed.storyboard_url)):
        assert httpx.get(url, headers=headers).status_code == status


def test_others_are_bound_to_no_site(house: House) -> None:
    assert house.licence(house.sign("native").drm_token, site=None) == 200


def test_mux_node_s_tokens_say_the_same_and_are_taken_alike(
    house: House, environment: dict[str, str], javascript: JavaScript
) -> None:
    signing, ours = Environment(environment).mux_signing(), str(house.sign().drm_token)
    our = jwt.decode(ours, options={"verify_signature": False})

    def theirs(**claims: Any) -> str:
        token: str = javascript.ask(
            "sign",
            playbackId=house.playback_id,
            keyId=signing.key_id,
            keySecret=signing.private_key,
            type="drm_license",
            expiration=f"{int(UNTIL.timestamp() - time.time())}s",
            params=claims,
        )
        return token

    restricted = theirs(playback_restriction_id=our["playback_restriction_id"])
    their = jwt.decode(restricted, options={"verify_signature": False})
    assert abs(our.pop("exp") - their.pop("exp")) <= 10
    assert our == their
    assert house.licence(restricted) == 200
    assert house.licence(restricted, site="thieves.example") == 403
    assert house.licence(theirs(playback_restriction_id="none")) == 403
