"""infra/gcp's map of functions against the functions themselves.

Each function is started in a fresh process with what the map gives it in the cloud, and nothing else: it starts,
and it does not start without any one of its secrets and settings. So the map holds exactly what is needed. Those
that have to do with video are started with either provider alone and with both.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.service.app import ROOT, function_names

MAP: dict[str, dict[str, Any]] = json.loads((ROOT / "infra/gcp/functions.auto.tfvars.json").read_text())[
    "functions"
]
PROVIDERS = [("mux",), ("cloudflare",), ("mux", "cloudflare")]
# What infra/gcp sets beside the map: Cloud Run itself, and the database's for those with a pool.
CLOUD = {"K_SERVICE": "test", "GOOGLE_CLOUD_PROJECT": "test", "THREADS": "8", "TRUSTED_PROXIES": "1"}
DATABASE = {"INSTANCE_CONNECTION_NAME": "p:r:i", "DB_NAME": "streamly", "DB_USER": "fn-test@p.iam"}
# Good in form, worth nothing. What is not here comes from the settings of `make run`.
VALUES = {
    "SMTP_URL": "smtps://user:password@smtp.example.com",
    "STRIPE_SECRET_KEY": "sk_test_0",
    "TASKS_QUEUE": "projects/p/locations/r/queues/q",
    "TASKS_URL": "https://process-task-1.r.run.app",
    "RECONCILE_URL": "https://reconcile-1.r.run.app",
}
# Tries without each one first: a module that fails to import leaves nothing behind. Prints what was not missed.
STARTS = """
import importlib, json, os, sys
from lib.errors import ConfigError
module, needed = sys.argv[1], json.loads(sys.argv[2])
spare = []
for name in needed:
    value = os.environ.pop(name)
    try:
        importlib.import_module(module)
    except ConfigError as error:
        if name not in str(error):
            sys.exit(f"without {name}: {error}")
    else:
        spare.append(name)
        del sys.modules[module]
    os.environ[name] = value
importlib.import_module(module)
print(json.dumps(spare))
"""


def test_the_map_holds_every_function() -> None:
    assert sorted(MAP) == function_names()


@pytest.mark.parametrize(
    ("name", "providers"),
    [
        (name, providers)
        for name in sorted(MAP)
        for providers in (PROVIDERS if "providers" in MAP[name] else [()])
    ],
)
def test_a_function_gets_exactly_what_it_needs(
    settings: dict[str, str], name: str, providers: tuple[str, ...]
) -> None:
    entry = MAP[name]
    database = DATABASE if entry.get("pool", 0) else {}
    groups = [entry, *(entry["providers"][provider] for provider in providers)]
    mapped = [setting for group in groups for setting in (*group["secrets"], *group["settings"])]
    environment = {key: (settings | VALUES)[key] for key in mapped} | CLOUD | database
    if providers == ("cloudflare",):
        environment["VIDEO_PROVIDER"] = "cloudflare"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            STARTS,
            f"functions.{name.replace('-', '_')}.main",
            json.dumps(mapped + list(database)),
        ],
        cwd=ROOT,
        env=environment | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [], "the map gives what the function starts without"


def test_secrets_and_settings_do_not_mix() -> None:
    groups = [group for entry in MAP.values() for group in (entry, *entry.get("providers", {}).values())]
    secrets = {name for group in groups for name in group["secrets"]}
    settings = {name for group in groups for name in group["settings"]}
    assert secrets == {
        "ACCESS_TOKEN_KEYS",
        "CLOUDFLARE_API_TOKEN",
        "CLOUDFLARE_SIGNING_JWK",
        "CLOUDFLARE_WEBHOOK_SECRETS",
        "MUX_SIGNING_PRIVATE_KEY",
        "MUX_TOKEN_SECRET",
        "MUX_WEBHOOK_SECRETS",
        "SMTP_URL",
        "STRIPE_SECRET_KEY",
        "STRIPE_WEBHOOK_SECRETS",
    }
    assert secrets & settings == set()


@pytest.mark.parametrize("page", sorted((ROOT / "infra/gcp").glob("*.tf")), ids=lambda page: page.name)
def test_no_file_sets_a_plain_secret(page: Path) -> None:
    """These arguments are kept in the state; their write-only sisters are not."""
    assert re.findall(r"^\s*(secret_data|password|root_password)\s*=", page.read_text(), re.MULTILINE) == []


def test_the_limits_that_may_be_set_are_read_by_somebody() -> None:
    """`settings` in variables.tf against lib/config.py, which does not complain about a name it does not know."""
    variables = (ROOT / "infra/gcp/variables.tf").read_text()
    allowed = variables.partition("keys(var.settings), [")[2].partition("])")[0]
    names = re.findall(r"[A-Z_]+", allowed)
    known = (ROOT / "lib/config.py").read_text()
    assert names
    assert [name for name in names if f'"{name}"' not in known] == []
