"""What a function loads before its first request: a viewer waits for it."""

import json
import os
import subprocess
import sys

import pytest

from infra.service.app import ROOT, function_names

# Nobody needs these to start; the connector and the clients are loaded at first use, by their adapters.
NEVER = {
    "aiohttp",
    "alembic",
    "email_validator",
    "fastapi",
    "google.cloud.sql.connector",
    "google.cloud.tasks",
    "google.cloud.tasks_v2",
    "grpc",
    "httpx",
    "infra",
    "mux_python",
    "pytest",
    "scipy",
    "starlette",
    "tests",
}
DRIVER = {"pg8000"}
DATABASE = DRIVER | {"sqlalchemy"}
BODY = {"pydantic"}
TOKEN = {"jwt", "cryptography"}
HASHING = {"argon2"}
MAIL = {"smtplib", "lib.adapters.jinja_templates"}
STRIPE = {"stripe", "requests"}
COSTLY = DATABASE | BODY | TOKEN | HASHING | MAIL | STRIPE

# Function -> what it needs of the costly ones; the others must stay out.
NEEDS: dict[str, set[str]] = {
    "account": DATABASE | BODY | TOKEN | HASHING,
    "api-docs": set(),
    "cloudflare-webhook": DATABASE,
    "confirm-checkout": DATABASE | BODY | TOKEN | STRIPE,
    "create-checkout": DATABASE | BODY | TOKEN | STRIPE,
    "create-portal": DATABASE | BODY | TOKEN | STRIPE,
    "get-playback": DRIVER | TOKEN,
    "heartbeat": DRIVER | BODY | TOKEN,
    "jwks": set(),
    "list-plans": set(),
    "list-videos": DATABASE | TOKEN,
    "login": DRIVER | BODY | TOKEN | HASHING,
    "logout": DATABASE | BODY | TOKEN,
    "manage-video": DATABASE | BODY | TOKEN,
    "mux-webhook": DATABASE,
    "process-task": DATABASE | BODY | TOKEN | MAIL | STRIPE,
    "reconcile": DATABASE | BODY | TOKEN | STRIPE,
    "redeem": DATABASE | BODY | TOKEN,
    "refresh": DATABASE | BODY | TOKEN,
    "register": DRIVER | BODY | TOKEN | HASHING,
    "reset-password": DATABASE | BODY | HASHING,
    "stripe-webhook": DRIVER,
    "upload-asset": DATABASE | BODY | TOKEN,
    "verify-email": DATABASE | BODY | TOKEN,
}
LOADED = "import json, sys, main; getattr(main, sys.argv[1]); print(json.dumps(sorted(sys.modules)))"


def test_every_function_is_in_the_table() -> None:
    assert sorted(NEEDS) == function_names()


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_loads_only_what_it_needs(settings: dict[str, str], name: str) -> None:
    loaded = set(json.loads(_python(LOADED, name, settings).stdout))
    assert loaded & NEVER == set()
    assert loaded & COSTLY == NEEDS[name]
    others = {f"functions.{other.replace('-', '_')}" for other in NEEDS if other != name}
    assert loaded & others == set()


@pytest.mark.parametrize("name", ["register", "reset-password", "stripe-webhook", "verify-email"])
def test_the_queue_s_client_waits_for_the_first_task(settings: dict[str, str], name: str) -> None:
    """With a queue as in the cloud, not the local dispatcher."""
    queue = {"TASKS_QUEUE": "projects/p/locations/l/queues/q"}
    real = {key: value for key, value in settings.items() if key != "DISPATCHER_URL"}
    loaded = set(json.loads(_python(LOADED, name, real | queue).stdout))
    assert loaded & NEVER == set()
    assert loaded & COSTLY == NEEDS[name]


def test_the_connector_waits_for_the_first_connection(settings: dict[str, str]) -> None:
    instance = {"INSTANCE_CONNECTION_NAME": "p:r:i", "DB_NAME": "n", "DB_USER": "u"}
    real = {key: value for key, value in settings.items() if key != "DATABASE_URL"}
    loaded = set(json.loads(_python(LOADED, "get-playback", real | instance).stdout))
    assert loaded & NEVER == set()


CONNECTOR = "import sys; from lib.database.cloud_sql import load_connector; load_connector(); "
ADMIN = "import google.cloud.sqladmin_v1beta4 as admin; admin.SqlDataServiceClient, admin.types.DataPacket; "


def test_the_connector_loads_no_clients_of_the_admin_api(settings: dict[str, str]) -> None:
    """A third of its import, for a way of connecting that is not ours."""
    loaded = set(
        json.loads(
            _python(CONNECTOR + "import json; print(json.dumps(list(sys.modules)))", "", settings).stdout
        )
    )
    assert "google.cloud.sql.connector.connector" in loaded
    assert not [name for name in loaded if name.startswith("google.cloud.sqladmin_v1beta4.")]


@pytest.mark.parametrize("code", [CONNECTOR + ADMIN, ADMIN + CONNECTOR + ADMIN])
def test_who_needs_the_admin_api_s_clients_has_them(settings: dict[str, str], code: str) -> None:
    """Google's connector among others, whose module holds the package."""
    seen = "import google.cloud.sql.connector.sqldata_client as data; print(data.sqladmin_v1beta4 is admin)"
    assert _python(code + seen, "", settings).stdout == "True\n"


def test_what_is_kept_from_a_start_is_there_afterwards(settings: dict[str, str]) -> None:
    """Stripe's SDK does not find it; Google's connector does."""
    later = "import sys, main; getattr(main, sys.argv[1]); import aiohttp, gc, stripe; print(gc.isenabled())"
    assert _python(later, "create-checkout", settings).stdout == "True\n"


def test_functions_of_one_process_share_what_they_keep(settings: dict[str, str]) -> None:
    """Slots for hashing, checked tokens, signatures: each many megabytes, and worth more the more ask for it."""
    together = """
import collections, gc, json, sys, main
names = json.loads(sys.argv[1])
loaded = [getattr(main, name.replace("-", "_")) for name in names]
gc.unfreeze()
kinds = ("Argon2Hasher", "JwtTokens", "MuxSigner", "CloudflareSigner", "Pool")
found = collections.Counter(type(thing).__name__ for thing in gc.get_objects())
print(json.dumps({kind: found[kind] for kind in kinds}))
"""
    found = json.loads(_python(together, json.dumps(function_names()), settings).stdout)
    assert found == {"Argon2Hasher": 1, "JwtTokens": 1, "MuxSigner": 1, "CloudflareSigner": 1, "Pool": 1}


@pytest.mark.parametrize("name", ["_private", "__path__", "no-such", "../login", "get.playback", ""])
def test_names_that_are_no_function(settings: dict[str, str], name: str) -> None:
    found = _python("import sys, main; print(hasattr(main, sys.argv[1]))", name, settings)
    assert found.stdout == "False\n"


def _python(code: str, argument: str, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a line in a fresh process, with these settings and no others."""
    return subprocess.run(
        [sys.executable, "-c", code, argument],
        cwd=ROOT,
        env=settings | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
