"""Settings: what is missing or malformed stops the process with one line that names it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from lib.adapters.jwt_tokens import JwtTokens
from lib.adapters.playback_signers import CloudflareSigner, MuxSigner, playback_signers
from lib.config import Environment
from lib.errors import ConfigError

Ask = Callable[[Environment], object]

DATABASE: Ask = Environment.database
WEB: Ask = Environment.web
TOKENS: Ask = Environment.tokens
ACCOUNTS: Ask = Environment.accounts
PLANS: Ask = Environment.plans
MAIL: Ask = Environment.mail
ACCESS: Ask = Environment.access
STRIPE: Ask = Environment.stripe
MUX: Ask = Environment.mux
SIGNING: Ask = Environment.mux_signing
CLOUDFLARE: Ask = Environment.cloudflare
CLOUDFLARE_SIGNING: Ask = Environment.cloudflare_signing
PLAYBACK: Ask = Environment.playback
TASKS: Ask = Environment.tasks
TASK_CALLERS: Ask = Environment.task_callers
SCHEDULER: Ask = Environment.scheduler_callers


def access_keys(env: Environment) -> object:
    return JwtTokens(env.tokens())


def signer(env: Environment) -> object:
    return MuxSigner(env.mux_signing())


def cloudflare_signer(env: Environment) -> object:
    return CloudflareSigner(env.cloudflare_signing())


def one_line(error: ConfigError, name: str) -> None:
    """The message names the setting and fits on a console's line."""
    message = str(error)
    assert name in message
    assert "\n" not in message
    assert len(message) < 200


MISSING: list[tuple[str, Ask]] = [
    ("DATABASE_URL", DATABASE),
    ("ACCESS_TOKEN_KEYS", TOKENS),
    ("TOKEN_ISSUER", TOKENS),
    ("TOKEN_AUDIENCE", TOKENS),
    ("STRIPE_SECRET_KEY", STRIPE),
    ("STRIPE_WEBHOOK_SECRETS", Environment.stripe_webhook_secrets),
    ("PLANS", PLANS),
    ("MUX_TOKEN_ID", MUX),
    ("MUX_TOKEN_SECRET", MUX),
    ("MUX_SIGNING_KEY_ID", SIGNING),
    ("MUX_SIGNING_PRIVATE_KEY", SIGNING),
    ("MUX_WEBHOOK_SECRETS", Environment.mux_webhook_secrets),
    ("CLOUDFLARE_ACCOUNT_ID", CLOUDFLARE),
    ("CLOUDFLARE_API_TOKEN", CLOUDFLARE),
    ("CLOUDFLARE_CUSTOMER_CODE", CLOUDFLARE_SIGNING),
    ("CLOUDFLARE_SIGNING_KEY_ID", CLOUDFLARE_SIGNING),
    ("CLOUDFLARE_SIGNING_JWK", CLOUDFLARE_SIGNING),
    ("CLOUDFLARE_WEBHOOK_SECRETS", Environment.cloudflare_webhook_secrets),
    ("DISPATCHER_URL", TASKS),
    ("TASKS_URL", TASKS),
    ("TASKS_SERVICE_ACCOUNT", TASKS),
    ("TASKS_URL", TASK_CALLERS),
    ("TASKS_SERVICE_ACCOUNT", TASK_CALLERS),
    ("RECONCILE_URL", SCHEDULER),
    ("SCHEDULER_SERVICE_ACCOUNT", SCHEDULER),
    ("APP_URL", Environment.app_url),
    ("SMTP_URL", MAIL),
    ("MAIL_FROM", MAIL),
]


@pytest.mark.parametrize(("name", "ask"), MISSING)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_missing(settings: dict[str, str], name: str, ask: Ask, value: str | None) -> None:
    values = {key: found for key, found in settings.items() if key != name}
    if value is not None:
        values[name] = value
    with pytest.raises(ConfigError) as raised:
        ask(Environment(values))
    one_line(raised.value, name)


def _key(settings: dict[str, str], **changes: Any) -> str:
    key = json.loads(settings["ACCESS_TOKEN_KEYS"])["keys"][0] | changes
    return json.dumps({"keys": [{name: part for name, part in key.items() if part is not None}]})


def _plan(**changes: Any) -> str:
    plan = {
        "code": "basic",
        "name": "Basic",
        "level": 1,
        "stripe_lookup_key": "basic_monthly",
        "trial_days": 0,
        "streams": 2,
        "price": {"amount": 799, "currency": "usd", "interval": "month"},
    } | changes
    return json.dumps([{name: value for name, value in plan.items() if value is not None}])


WHOLE_NUMBERS: list[tuple[str, Ask, int, int]] = [
    ("DB_POOL_SIZE", DATABASE, 1, 100),
    ("MAX_BODY_BYTES", WEB, 1024, 2**24),
    ("TRUSTED_PROXIES", WEB, 0, 10),
    ("ACCESS_TOKEN_SECONDS", TOKENS, 30, 86400),
    ("PASSWORD_MIN_LENGTH", ACCOUNTS, 4, 128),
    ("REFRESH_TOKEN_DAYS", ACCOUNTS, 1, 365),
    ("SESSION_IDLE_DAYS", ACCOUNTS, 1, 365),
    ("HASHING_SLOTS", ACCOUNTS, 1, 64),
    ("PAST_DUE_GRACE_DAYS", ACCESS, 0, 60),
    ("RENEWAL_GRACE_HOURS", ACCESS, 0, 24 * 14),
    ("RENTAL_START_DAYS", ACCESS, 1, 365),
    ("PLAYBACK_MAX_SECONDS", PLAYBACK, 10, 86400),
    ("STREAM_LEASE_SECONDS", PLAYBACK, 10, 3600),
]


@pytest.mark.parametrize(("name", "ask", "least", "most"), WHOLE_NUMBERS)
def test_whole_numbers(settings: dict[str, str], name: str, ask: Ask, least: int, most: int) -> None:
    for good in (least, most):
        ask(Environment(settings | {name: str(good)}))
    for bad in (str(least - 1), str(most + 1), "many", "1.5", "1e3", "0x10", "9" * 5000):
        with pytest.raises(ConfigError) as raised:
            ask(Environment(settings | {name: bad}))
        one_line(raised.value, name)


MALFORMED: list[tuple[str, Ask, list[str]]] = [
    (
        "DATABASE_URL",
        DATABASE,
        [
            "postgresql://u:p@host/name",
            "mysql://u:p@host/name",
            "host:5432",
            "postgresql+pg8000://u:p@host:port/name",
            "postgresql+pg8000://u:p@host:99999/name",
        ],
    ),
    ("CORS_ORIGINS", WEB, ["*", "app.example.com", "https://app.example.com/path", "ftp://a", "https://["]),
    (
        "ACCESS_TOKEN_KEYS",
        TOKENS,
        ["x", "[]", "{}", '{"keys":[]}', '{"keys":[1]}', '{"keys":[{"kty":"RSA"}]}'],
    ),
    ("REGISTRATION", ACCOUNTS, ["closed", "Verified"]),
    (
        "SMTP_URL",
        MAIL,
        [
            "smtp.example.com",
            "http://smtp.example.com",
            "smtp://",
            "smtp://host:port",
            "smtp://host:25/path",
            "smtps://user@host",
            "smtps://host?tls=no",
        ],
    ),
    (
        "MAIL_FROM",
        MAIL,
        [
            "Streamly",
            "Streamly <streamly>",
            "a@b, c@d",
            "a@example.com>",
            "A <a@example.com",
            "A\nB <a@example.com>",
        ],
    ),
    ("PLANS", PLANS, ["x", "{}", "[]", "[1]", "[{}]"]),
    ("STRIPE_SECRET_KEY", STRIPE, ["pk_test_1", "sk_1", "test"]),
    ("STRIPE_API_BASE", STRIPE, ["localhost", "ftp://localhost", "http://", "http://localhost:x"]),
    ("MUX_API_BASE", MUX, ["localhost", "http://[x"]),
    ("MUX_STREAM_BASE", SIGNING, ["localhost"]),
    ("MUX_IMAGE_BASE", SIGNING, ["localhost"]),
    ("MUX_SIGNING_PRIVATE_KEY", signer, ["x", "bm8ga2V5", "-----BEGIN RSA PRIVATE KEY-----"]),
    ("VIDEO_PROVIDER", Environment.video_providers, ["vimeo", "Mux", "mux,cloudflare"]),
    ("CLOUDFLARE_API_BASE", CLOUDFLARE, ["localhost", "http://[x"]),
    ("CLOUDFLARE_STREAM_BASE", CLOUDFLARE_SIGNING, ["localhost"]),
    ("CLOUDFLARE_CUSTOMER_CODE", CLOUDFLARE_SIGNING, ["customer-x.cloudflarestream.com", "A", "a/b"]),
    ("CLOUDFLARE_SIGNING_JWK", cloudflare_signer, ["x", "e30=", "bm8ga2V5", "W10="]),
    ("CLOUDFLARE_SIGNING_KEY_ID", cloudflare_signer, ["another"]),
    (
        "CLOUDFLARE_ACCESS_RULES",
        CLOUDFLARE_SIGNING,
        [
            "GB",
            "{}",
            '[{"type": "any"}]',
            '[{"type": "country", "action": "allow", "country": ["GB"]}]',
            '[{"type": "any", "action": "deny"}]',
            '[{"type": "any", "action": "block", "ip": ["192.0.2.1"]}]',
            '[{"type": "ip.src", "action": "block"}]',
            '[{"type": "ip.src", "action": "block", "ip": []}]',
            '[{"type": "ip.geoip.country", "action": "allow", "country": "GB"}]',
            "[" + ", ".join(['{"type": "any", "action": "block"}'] * 6) + "]",
        ],
    ),
    ("TASKS_QUEUE", TASKS, ["queue", "projects/p/queues/q"]),
    ("TASKS_URL", TASKS, ["process-task", "http://[x", "mailto:a@b"]),
    ("TASKS_ENDPOINT", TASKS, ["http://localhost:1", "localhost", "localhost:port"]),
    ("DISPATCHER_URL", TASKS, ["localhost", "file:///etc/passwd"]),
    ("OIDC_ISSUER", TASK_CALLERS, ["me"]),
    ("OIDC_CERTS_URL", TASK_CALLERS, ["file:///etc/passwd", "certs"]),
    ("RECONCILE_URL", SCHEDULER, ["reconcile"]),
    ("APP_URL", Environment.app_url, ["app.example.com", "https://", "http://[::1"]),
]


@pytest.mark.parametrize(
    ("name", "ask", "value"), [(name, ask, value) for name, ask, values in MALFORMED for value in values]
)
def test_malformed(settings: dict[str, str], name: str, ask: Ask, value: str) -> None:
    with pytest.raises(ConfigError) as raised:
        ask(Environment(settings | {name: value}))
    one_line(raised.value, name)


@pytest.mark.parametrize(
    "changes",
    [
        {"crv": "P-384"},
        {"kid": None},
        {"d": None},
        {"d": "AQ"},
        {"x": "AQ"},
        {"y": "not base64!"},
        {"x": 1},
    ],
)
def test_unusable_signing_keys(settings: dict[str, str], changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as raised:
        access_keys(Environment(settings | {"ACCESS_TOKEN_KEYS": _key(settings, **changes)}))
    one_line(raised.value, "ACCESS_TOKEN_KEYS")


def test_a_kid_is_used_once(settings: dict[str, str]) -> None:
    keys = json.loads(settings["ACCESS_TOKEN_KEYS"])["keys"]
    with pytest.raises(ConfigError, match="kid once"):
        Environment(settings | {"ACCESS_TOKEN_KEYS": json.dumps({"keys": keys * 2})}).tokens()


@pytest.mark.parametrize(
    "changes",
    [
        {"code": None},
        {"code": "Has Spaces"},
        {"code": 7},
        {"level": 0},
        {"level": 1.5},
        {"level": "1"},
        {"level": True},
        {"streams": 0},
        {"trial_days": -1},
        {"stripe_lookup_key": ""},
        {"price": None},
        {"price": 799},
        {"price": {"amount": -1, "currency": "usd", "interval": "month"}},
        {"price": {"amount": 7.99, "currency": "usd", "interval": "month"}},
        {"price": {"amount": 799, "currency": "dollar", "interval": "month"}},
        {"price": {"amount": 799, "currency": "usd", "interval": "fortnight"}},
    ],
)
def test_malformed_plans(settings: dict[str, str], changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as raised:
        Environment(settings | {"PLANS": _plan(**changes)}).plans()
    one_line(raised.value, "PLANS")


@pytest.mark.parametrize("same", ["code", "stripe_lookup_key"])
def test_plans_differ(settings: dict[str, str], same: str) -> None:
    first = json.loads(_plan())[0]
    second = first | {"code": "other", "stripe_lookup_key": "other"} | {same: first[same]}
    with pytest.raises(ConfigError, match="PLANS"):
        Environment(settings | {"PLANS": json.dumps([first, second])}).plans()


SANDBOX: list[tuple[str, Ask]] = [
    ("STRIPE_API_BASE", STRIPE),
    ("MUX_API_BASE", MUX),
    ("MUX_STREAM_BASE", SIGNING),
    ("MUX_IMAGE_BASE", SIGNING),
    ("DISPATCHER_URL", TASKS),
    ("TASKS_ENDPOINT", TASKS),
    ("OIDC_ISSUER", TASK_CALLERS),
    ("OIDC_CERTS_URL", SCHEDULER),
]


@pytest.mark.parametrize(("name", "ask"), SANDBOX)
def test_no_sandbox_in_the_cloud(settings: dict[str, str], name: str, ask: Ask) -> None:
    cloud = {key: value for key, value in settings.items() if key not in dict(SANDBOX)}
    cloud |= {"K_SERVICE": "any", "TASKS_QUEUE": "projects/p/locations/l/queues/q"}
    ask(Environment(cloud))
    value = "localhost:8123" if name == "TASKS_ENDPOINT" else "http://localhost:8000/sandbox"
    with pytest.raises(ConfigError) as raised:
        ask(Environment(cloud | {name: value}))
    one_line(raised.value, name)
    assert "K_SERVICE" in str(raised.value)


def test_the_cloud_needs_a_queue(settings: dict[str, str]) -> None:
    cloud = {key: value for key, value in settings.items() if key != "DISPATCHER_URL"}
    with pytest.raises(ConfigError, match="TASKS_QUEUE"):
        Environment(cloud | {"K_SERVICE": "any"}).tasks()


@pytest.mark.parametrize("name", ["OIDC_ISSUER", "OIDC_CERTS_URL"])
@pytest.mark.parametrize("ask", [TASK_CALLERS, SCHEDULER])
def test_the_cloud_trusts_google_alone(settings: dict[str, str], name: str, ask: Ask) -> None:
    """Whoever could name the issuer could call process-task and reconcile."""
    others = {key: value for key, value in settings.items() if not key.startswith("OIDC_")}
    with pytest.raises(ConfigError, match=name):
        ask(Environment(others | {"K_SERVICE": "any", name: "https://issuer.example"}))


@pytest.mark.parametrize("key", ["sk_live_1", "rk_live_1"])
def test_no_sandbox_with_a_live_key(settings: dict[str, str], key: str) -> None:
    with pytest.raises(ConfigError, match="STRIPE_API_BASE") as raised:
        Environment(settings | {"STRIPE_SECRET_KEY": key}).stripe()
    assert key not in str(raised.value)
    real = {name: value for name, value in settings.items() if name != "STRIPE_API_BASE"}
    assert Environment(real | {"STRIPE_SECRET_KEY": key}).stripe().api_base is None


@pytest.mark.parametrize(
    ("name", "ask"), [("TASKS_SERVICE_ACCOUNT", TASK_CALLERS), ("SCHEDULER_SERVICE_ACCOUNT", SCHEDULER)]
)
@pytest.mark.parametrize("value", ["", ",", " , ,"])
def test_an_empty_list_of_callers_refuses_to_start(
    settings: dict[str, str], name: str, ask: Ask, value: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        ask(Environment(settings | {name: value}))
    one_line(raised.value, name)


def test_messages_repeat_no_secret(settings: dict[str, str]) -> None:
    for name, ask, value in (
        ("ACCESS_TOKEN_KEYS", TOKENS, '{"keys":[{"d":"hidden"}]}'),
        ("ACCESS_TOKEN_KEYS", TOKENS, "hidden"),
        ("STRIPE_SECRET_KEY", STRIPE, "hidden"),
        ("MUX_SIGNING_PRIVATE_KEY", signer, "hidden"),
        ("DATABASE_URL", DATABASE, "postgresql://u:hidden@host/name"),
    ):
        with pytest.raises(ConfigError) as raised:
            ask(Environment(settings | {name: value}))
        assert "hidden" not in str(raised.value)


def test_a_database_is_named_once(settings: dict[str, str]) -> None:
    connector = {"INSTANCE_CONNECTION_NAME": "p:r:i", "DB_NAME": "n", "DB_USER": "u"}
    with pytest.raises(ConfigError, match="INSTANCE_CONNECTION_NAME"):
        Environment(settings | connector).database()
    for missing in ("DB_NAME", "DB_USER"):
        with pytest.raises(ConfigError, match=missing):
            Environment({key: value for key, value in connector.items() if key != missing}).database()
    with pytest.raises(ConfigError, match="INSTANCE_CONNECTION_NAME"):
        Environment(connector | {"INSTANCE_CONNECTION_NAME": "i"}).database()
    found = Environment(connector).database()
    assert (found.url, found.instance, found.password, found.private_ip) == (None, "p:r:i", None, True)


def test_a_database_behind_a_unix_socket() -> None:
    url = "postgresql+pg8000://u:p@/name?unix_sock=/run/postgres/.s.PGSQL.5432"
    assert Environment({"DATABASE_URL": url}).database().url == url


def test_defaults(settings: dict[str, str]) -> None:
    env = Environment(settings)
    web = env.web()
    assert (web.max_body_bytes, web.trusted_proxies) == (65536, 0)
    assert env.web(max_body_bytes=1 << 20).max_body_bytes == 1 << 20
    assert Environment({"K_SERVICE": "any"}).web().trusted_proxies == 1
    assert env.tokens().access_seconds == 900
    assert (env.accounts().password_min_length, env.accounts().refresh_days) == (8, 30)
    assert (env.access().past_due_grace_days, env.access().renewal_grace_hours) == (3, 24)
    assert (env.playback().max_seconds, env.playback().lease_seconds) == (21600, 90)
    assert env.video_providers() == ("mux", "cloudflare")
    google = {key: value for key, value in settings.items() if not key.startswith("OIDC_")}
    callers = Environment(google).task_callers()
    assert callers.issuers == ("https://accounts.google.com", "accounts.google.com")
    assert callers.certs_url == "https://www.googleapis.com/oauth2/v3/certs"
    real = {key: value for key, value in settings.items() if not key.endswith("_BASE")}
    signing = Environment(real).mux_signing()
    assert (signing.stream_base, signing.image_base) == ("https://stream.mux.com", "https://image.mux.com")


def test_lists_and_trailing_slashes(settings: dict[str, str]) -> None:
    env = Environment(
        settings
        | {
            "CORS_ORIGINS": "https://a.example/ , http://b.example:8080",
            "STRIPE_WEBHOOK_SECRETS": "whsec_1, whsec_2,",
            "TASKS_SERVICE_ACCOUNT": "one@p, two@p",
            "APP_URL": "https://app.example.com/",
        }
    )
    assert env.web().cors_origins == ("https://a.example", "http://b.example:8080")
    assert env.stripe_webhook_secrets() == ("whsec_1", "whsec_2")
    assert env.tasks().service_account == "one@p"
    assert env.task_callers().emails == {"one@p", "two@p"}
    assert env.app_url() == "https://app.example.com"


def test_a_group_asks_for_its_own_settings_only(settings: dict[str, str]) -> None:
    """list-plans starts with PLANS and nothing else; a function gets no secret it does not need."""
    assert Environment({"PLANS": settings["PLANS"]}).plans()
    assert Environment({}).web()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("mux",)),
        ({"VIDEO_PROVIDER": "cloudflare"}, ("cloudflare",)),
        ({"CLOUDFLARE_SIGNING_KEY_ID": "k"}, ("mux", "cloudflare")),
        ({"CLOUDFLARE_SIGNING_KEY_ID": " "}, ("mux",)),
        ({"VIDEO_PROVIDER": "cloudflare", "MUX_TOKEN_ID": "t"}, ("cloudflare", "mux")),
    ],
)
def test_a_provider_is_set_up_where_something_of_it_is_given(
    given: dict[str, str], expected: tuple[str, ...]
) -> None:
    assert Environment(given).video_providers() == expected


def test_a_provider_set_up_by_half_stops_the_start(settings: dict[str, str]) -> None:
    """One that is not set up at all does not."""
    cloudflare = {name: value for name, value in settings.items() if name.startswith("CLOUDFLARE_")}
    mux_alone = {name: value for name, value in settings.items() if name not in cloudflare}
    assert set(playback_signers(Environment(mux_alone))) == {"mux"}
    half = mux_alone | {"CLOUDFLARE_CUSTOMER_CODE": "sandbox"}
    with pytest.raises(ConfigError, match="CLOUDFLARE_SIGNING_KEY_ID is missing"):
        playback_signers(Environment(half))
    assert set(playback_signers(Environment(mux_alone | cloudflare))) == {"mux", "cloudflare"}


@pytest.mark.parametrize(
    ("url", "host", "port", "security", "user", "password"),
    [
        ("smtps://u%40x:p%3A%2F@smtp.example.com", "smtp.example.com", 465, "tls", "u@x", "p:/"),
        ("smtp+starttls://u:p@smtp.example.com", "smtp.example.com", 587, "starttls", "u", "p"),
        ("smtp+starttls://smtp.example.com:2525/", "smtp.example.com", 2525, "starttls", None, None),
        ("smtp://localhost:1025", "localhost", 1025, "none", None, None),
    ],
)
def test_mail_servers(
    settings: dict[str, str],
    url: str,
    host: str,
    port: int,
    security: str,
    user: str | None,
    password: str | None,
) -> None:
    found = Environment(settings | {"SMTP_URL": url}).mail()
    assert (found.host, found.port, found.security) == (host, port, security)
    assert (found.user, found.password) == (user, password)


def test_no_mail_leaves_the_cloud_unencrypted(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as raised:
        Environment(
            settings | {"K_SERVICE": "process-task", "SMTP_URL": "smtp://u:p@smtp.example.com"}
        ).mail()
    one_line(raised.value, "SMTP_URL")
    assert "p@" not in str(raised.value)


@pytest.mark.parametrize(
    ("value", "name", "address"),
    [
        ("Streamly <streamly@example.com>", "Streamly", "streamly@example.com"),
        ("Kino, täglich <a+b@example.com>", "Kino, täglich", "a+b@example.com"),
        ("streamly@example.com", "", "streamly@example.com"),
    ],
)
def test_whom_mails_come_from(settings: dict[str, str], value: str, name: str, address: str) -> None:
    found = Environment(settings | {"MAIL_FROM": value}).mail()
    assert (found.sender_name, found.sender) == (name, address)
