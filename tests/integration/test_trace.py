"""trace: a playback address that turned up elsewhere leads to its account, and to nobody else's."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from lib.adapters.playback_signers import playback_signers
from lib.config import Environment
from tests.factories import Factory
from tests.integration.command_line import CommandLine
from tests.signing_keys import new_key


@pytest.fixture
def cli(environment: dict[str, str]) -> CommandLine:
    return CommandLine(environment)


def traced(cli: CommandLine, address: str) -> dict[str, Any]:
    return cli.json("trace", address)


def refused(cli: CommandLine, address: str) -> str:
    return cli.fails(1, "trace", address)


@pytest.mark.parametrize("provider", ["mux", "cloudflare"])
def test_a_leaked_url_leads_to_its_account(cli: CommandLine, make: Factory, provider: str) -> None:
    viewer, other = make.person(), make.person()
    film = make.video(level=0, title="Leaked", provider=provider)
    other.api.get("get-playback", video_id=str(film))
    playback = viewer.api.get("get-playback", video_id=str(film)).json()
    for address in (
        playback["playback_url"],
        playback["tokens"]["playback"],
        f"Look what I found: <{playback['playback_url']}> !",
    ):
        found = traced(cli, address)
        assert found["user"] == {"id": str(viewer.id), "email": viewer.email}
        assert found["video"] == {"id": str(film), "title": "Leaked"}
        assert found["playback_session_id"] == playback["session_id"]
        assert found["expires_at"] == playback["expires_at"]
    assert viewer.email in cli.run("trace", "-", given=playback["playback_url"]).stdout
    assert viewer.email not in playback["playback_url"]


def test_it_is_traced_long_after_it_died_and_the_login_ended(
    cli: CommandLine, make: Factory, environment: dict[str, str]
) -> None:
    viewer, film = make.person(), make.video(level=0)
    session_id = viewer.api.get("get-playback", video_id=str(film)).json()["session_id"]
    viewer.api.post("logout")
    long_ago = datetime.now(UTC) - timedelta(days=400)
    for signer in playback_signers(Environment(environment)).values():
        old = signer.sign("playback", expires_at=long_ago, trace=session_id).playback_url
        assert traced(cli, old)["user"]["id"] == str(viewer.id)


def test_nobody_is_accused_by_a_token_that_is_not_ours(
    cli: CommandLine, make: Factory, environment: dict[str, str]
) -> None:
    viewer, film = make.person(), make.video(level=0)
    session_id = viewer.api.get("get-playback", video_id=str(film)).json()["session_id"]
    soon = int(datetime.now(UTC).timestamp()) + 600
    theirs = ({"custom": {"session_id": session_id}}, {"custom": session_id}, {"custom": [session_id]})
    for claims in (*({"aud": "v", **claims} for claims in theirs), {"jti": session_id}):
        forged = jwt.encode({"sub": "playback", "exp": soon, **claims}, new_key(), "RS256")
        assert "proves nothing" in refused(cli, forged)
        unsigned = jwt.encode({"sub": "playback", "exp": soon, **claims}, "", "none")
        assert viewer.email not in cli.run("trace", unsigned).output


def test_what_leads_to_nobody(cli: CommandLine, make: Factory, environment: dict[str, str]) -> None:
    signer = playback_signers(Environment(environment))["mux"]
    soon = datetime.now(UTC) + timedelta(hours=1)
    picture = signer.thumbnail_url("playback", expires_at=soon)
    assert picture is not None
    assert "the same for everybody" in refused(cli, picture)
    unknown = signer.sign("playback", expires_at=soon, trace=str(uuid.uuid4())).playback_url
    assert "is gone" in refused(cli, unknown)
    for text in ("https://example.com/film.m3u8", "a.b.c", ""):
        assert "no playback token" in refused(cli, text)


def test_a_deletion_is_taken_back(cli: CommandLine, make: Factory) -> None:
    admin, film = make.admin(), make.video(level=0)
    viewer = make.person()
    admin.api.call("DELETE", "manage-video", params={"video_id": str(film)})
    assert viewer.api.get("get-playback", video_id=str(film)).status_code == 404
    assert cli.json("video", "restore", str(film), "--dry-run")["restored"] is False
    assert viewer.api.get("get-playback", video_id=str(film)).status_code == 404
    assert cli.json("video", "restore", str(film))["restored"] is True
    assert viewer.api.get("get-playback", video_id=str(film)).status_code == 200
    for nothing in (str(film), "x"):
        assert "could still be brought back" in cli.fails(1, "video", "restore", nothing)
