"""Settings: frozen, built from a mapping, checked once.

Nothing here reads the environment: the caller hands a mapping to `Environment` and asks it for the
groups its function needs; a group not asked for need not be set. Names and defaults are those of
docs/settings.md.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from lib.errors import ConfigError

# Scheme -> security, and the port that goes with it.
_SMTP = {"smtps": ("tls", 465), "smtp+starttls": ("starttls", 587), "smtp": ("none", 25)}
_INTERVALS = ("day", "week", "month", "year")


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Either `url`, or `instance` with `name` and `user` through the Cloud SQL connector.

    `password` None with `instance` means IAM login. `pool_size` is per process.
    """

    url: str | None
    instance: str | None
    name: str | None
    user: str | None
    password: str | None
    private_ip: bool
    pool_size: int


@dataclass(frozen=True, slots=True)
class WebSettings:
    """What every endpoint needs: allowed origins, body limit in bytes, trusted hops, project for traces."""

    cors_origins: tuple[str, ...]
    max_body_bytes: int
    trusted_proxies: int
    project: str | None


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Access tokens: `keys` is the parsed JWK set, its first key signs. Seconds."""

    keys: tuple[dict[str, Any], ...]
    issuer: str
    audience: str
    access_seconds: int


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """`count_loopback`: whether registrations and mails asked for from loopback are throttled as others are.

    `verified_only`: an account is of no use, and whether there is one is told to nobody, before its address is
    verified.
    """

    password_min_length: int
    refresh_days: int
    idle_days: int
    refresh_grace_seconds: int
    hashing_slots: int
    count_loopback: bool
    verified_only: bool


@dataclass(frozen=True, slots=True)
class MailSettings:
    """The server that mails go to, and whom they come from.

    `security` is tls (from the first byte), starttls (demanded) or none.
    """

    host: str
    port: int
    security: str
    user: str | None
    password: str | None
    sender_name: str
    sender: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What can be bought. `amount` in the currency's smallest unit.

    A plan that is not `sold` any more still gives those who pay for it what they bought.
    """

    code: str
    name: str
    level: int
    lookup_key: str
    trial_days: int
    streams: int
    amount: int
    currency: str
    interval: str
    sold: bool = True


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """How long a late payment or a late webhook is forgiven, and within what time a rental is to be begun."""

    past_due_grace_days: int
    renewal_grace_hours: int
    rental_start_days: int = 30


@dataclass(frozen=True, slots=True)
class CheckoutSettings:
    """What payment pages ask for besides the money; each has its own preparation in Stripe's dashboard."""

    automatic_tax: bool = False
    terms: bool = False
    promotion_codes: bool = True


@dataclass(frozen=True, slots=True)
class StripeSettings:
    secret_key: str
    api_base: str | None
    portal: str | None = None


@dataclass(frozen=True, slots=True)
class MuxSettings:
    """With `drm_configuration_id` new films are made to be played with DRM only."""

    token_id: str
    token_secret: str
    api_base: str | None
    drm_configuration_id: str | None = None


@dataclass(frozen=True, slots=True)
class MuxSigningSettings:
    """`private_key` as Mux gives it: base64 of a PEM. `restrictions`: kind of client -> id of the playback
    restriction its tokens name. `drm`: whether players get a token for licences too."""

    key_id: str
    private_key: str
    stream_base: str
    image_base: str
    restrictions: Mapping[str, str] = field(default_factory=dict)
    drm: bool = False


@dataclass(frozen=True, slots=True)
class CloudflareSettings:
    account_id: str
    api_token: str
    api_base: str


@dataclass(frozen=True, slots=True)
class CloudflareSigningSettings:
    """`jwk` as Cloudflare gives it: base64 of a JSON Web Key. `access_rules` are put into every token."""

    key_id: str
    jwk: str
    stream_base: str
    access_rules: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class PlaybackSettings:
    max_seconds: int
    lease_seconds: int


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """Where tasks go: a Cloud Tasks `queue` (full name), or the local `dispatcher` when there is none.

    `endpoint` is host:port of a plain-text emulator; `url` is where process-task listens.
    """

    queue: str | None
    url: str
    service_account: str
    endpoint: str | None
    dispatcher: str | None


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """Where process-task listens, and who hands out the identity to call it with."""

    url: str
    identity_base: str


@dataclass(frozen=True, slots=True)
class CallerSettings:
    """Which service accounts may call: OIDC issuers, certificates, audience, emails (never empty)."""

    issuers: tuple[str, ...]
    certs_url: str
    audience: str
    emails: frozenset[str]


class Environment:
    """Reads groups of settings from a mapping.

    Raises:
        ConfigError: from any method, naming the setting and what it should be.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.in_cloud = bool(values.get("K_SERVICE"))

    def database(self) -> DatabaseSettings:
        url = self._optional("DATABASE_URL")
        instance = self._optional("INSTANCE_CONNECTION_NAME")
        if url and instance:
            raise ConfigError("DATABASE_URL and INSTANCE_CONNECTION_NAME are both set: keep one")
        # A Unix socket has no host.
        if url and not _is_url(url, "postgresql+pg8000", host=False):
            raise ConfigError("DATABASE_URL should be postgresql+pg8000://user:password@host:port/name")
        if not url and not instance:
            raise ConfigError(
                "DATABASE_URL is missing: postgresql+pg8000://user:password@host:port/name "
                "(or set INSTANCE_CONNECTION_NAME, DB_NAME and DB_USER)"
            )
        if instance and instance.count(":") != 2:
            raise ConfigError("INSTANCE_CONNECTION_NAME should be project:region:instance")
        return DatabaseSettings(
            url=url,
            instance=instance,
            name=self._required("DB_NAME", "name of the database") if instance else None,
            user=self._required("DB_USER", "database user") if instance else None,
            password=self._optional("DB_PASSWORD"),
            private_ip=self._optional("DB_IP_TYPE", "private") != "public",
            pool_size=self._integer("DB_POOL_SIZE", 5, 1, 100),
        )

    def web(self, *, max_body_bytes: int = 65536) -> WebSettings:
        origins = tuple(origin.rstrip("/") for origin in self._list("CORS_ORIGINS"))
        for origin in origins:
            if not _is_url(origin, "http", "https") or origin.count("/") != 2:
                raise ConfigError(
                    "CORS_ORIGINS should be a comma list of origins like https://app.example.com"
                )
        return WebSettings(
            cors_origins=origins,
            max_body_bytes=max(max_body_bytes, self._integer("MAX_BODY_BYTES", 65536, 1024, 2**24)),
            trusted_proxies=self._integer("TRUSTED_PROXIES", 1 if self.in_cloud else 0, 0, 10),
            project=self._optional("GOOGLE_CLOUD_PROJECT"),
        )

    def token_keys(self) -> tuple[dict[str, Any], ...]:
        """The keys of the JWK set, the one that signs first."""
        keys = self._json("ACCESS_TOKEN_KEYS", 'a JWK set {"keys":[…]} of private ES256 keys')
        found = keys.get("keys") if isinstance(keys, dict) else None
        if not isinstance(found, list) or not found:
            raise ConfigError('ACCESS_TOKEN_KEYS should be a JWK set {"keys":[…]} with at least one key')
        for key in found:
            if not isinstance(key, dict) or key.get("kty") != "EC" or key.get("crv") != "P-256":
                raise ConfigError("ACCESS_TOKEN_KEYS should hold EC keys on curve P-256 (ES256)")
            if not all(isinstance(key.get(part), str) for part in ("kid", "x", "y", "d")):
                raise ConfigError("ACCESS_TOKEN_KEYS should hold private keys with kid, x, y and d")
        if len({key["kid"] for key in found}) != len(found):
            raise ConfigError("ACCESS_TOKEN_KEYS should hold every kid once")
        return tuple(found)

    def tokens(self) -> TokenSettings:
        return TokenSettings(
            keys=self.token_keys(),
            issuer=self._required("TOKEN_ISSUER", "the iss of access tokens, e.g. https://api.example.com"),
            audience=self._required("TOKEN_AUDIENCE", "the aud of access tokens, e.g. streamly"),
            access_seconds=self._integer("ACCESS_TOKEN_SECONDS", 900, 30, 86400),
        )

    def accounts(self) -> AccountSettings:
        registration = self._optional("REGISTRATION", "open")
        if registration not in ("open", "verified"):
            raise ConfigError("REGISTRATION should be open or verified")
        return AccountSettings(
            password_min_length=self._integer("PASSWORD_MIN_LENGTH", 8, 4, 128),
            refresh_days=self._integer("REFRESH_TOKEN_DAYS", 30, 1, 365),
            idle_days=self._integer("SESSION_IDLE_DAYS", 14, 1, 365),
            refresh_grace_seconds=self._integer("REFRESH_GRACE_SECONDS", 10, 0, 300),
            hashing_slots=self._integer("HASHING_SLOTS", 4, 1, 64),
            count_loopback=self.in_cloud,
            verified_only=registration == "verified",
        )

    def mail(self) -> MailSettings:
        form = "smtps://user:password@host:port (or smtp+starttls://, or, locally only, smtp://)"
        url = self._required("SMTP_URL", form)
        if not _is_url(url, *_SMTP):
            raise ConfigError(f"SMTP_URL should be {form}")
        parts = urlsplit(url)
        security, port = _SMTP[parts.scheme]
        if self.in_cloud and security == "none":
            raise ConfigError("SMTP_URL should be smtps:// or smtp+starttls:// where K_SERVICE is set")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ConfigError(f"SMTP_URL should end with the port: {form}")
        if bool(parts.username) != bool(parts.password):
            raise ConfigError("SMTP_URL should have both user and password, or neither")
        sender_name, sender = _sender(self._required("MAIL_FROM", "Streamly <streamly@example.com>"))
        return MailSettings(
            host=parts.hostname or "",
            port=parts.port or port,
            security=security,
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            sender_name=sender_name,
            sender=sender,
        )

    def plans(self) -> tuple[Plan, ...]:
        entries = self._json("PLANS", "a JSON list of plans")
        if not isinstance(entries, list) or not entries:
            raise ConfigError("PLANS should be a JSON list with at least one plan")
        plans = tuple(self._plan(entry) for entry in entries)
        for what in ("code", "lookup_key"):
            if len({getattr(plan, what) for plan in plans}) != len(plans):
                raise ConfigError(f"PLANS should hold every {what} once")
        return plans

    @staticmethod
    def _plan(entry: object) -> Plan:
        try:
            if not isinstance(entry, dict):
                raise TypeError
            price = entry["price"]
            plan = Plan(
                code=_text(entry["code"]),
                name=_text(entry.get("name", entry["code"])),
                level=_whole(entry["level"]),
                lookup_key=_text(entry["stripe_lookup_key"]),
                trial_days=_whole(entry.get("trial_days", 0)),
                streams=_whole(entry["streams"]),
                amount=_whole(price["amount"]),
                currency=_text(price["currency"]).lower(),
                interval=_text(price["interval"]),
                sold=_flag(entry.get("sold", True)),
            )
        except (KeyError, TypeError):
            raise ConfigError(
                "PLANS: each should be {code, name, level, stripe_lookup_key, trial_days, streams, "
                "price: {amount, currency, interval}, sold}"
            ) from None
        if not re.fullmatch(r"[a-z0-9_-]{1,50}", plan.code):
            raise ConfigError("PLANS: code should be 1 to 50 of a-z, 0-9, _ and -")
        if not (1 <= plan.level <= 1000 and plan.streams >= 1 and 0 <= plan.trial_days <= 730):
            raise ConfigError(f"PLANS: {plan.code} should have level 1-1000, streams >= 1, trial_days 0-730")
        if plan.amount < 0 or not re.fullmatch(r"[a-z]{3}", plan.currency) or plan.interval not in _INTERVALS:
            raise ConfigError(
                f"PLANS: the price of {plan.code} should have amount >= 0 in the smallest unit, "
                f"a three-letter currency and an interval of {', '.join(_INTERVALS)}"
            )
        return plan

    def access(self) -> AccessSettings:
        return AccessSettings(
            past_due_grace_days=self._integer("PAST_DUE_GRACE_DAYS", 3, 0, 60),
            renewal_grace_hours=self._integer("RENEWAL_GRACE_HOURS", 24, 0, 24 * 14),
            rental_start_days=self._integer("RENTAL_START_DAYS", 30, 1, 365),
        )

    def checkout(self) -> CheckoutSettings:
        return CheckoutSettings(
            automatic_tax=self._switch("CHECKOUT_AUTOMATIC_TAX", default=False),
            terms=self._switch("CHECKOUT_TERMS", default=False),
            promotion_codes=self._switch("CHECKOUT_PROMOTION_CODES", default=True),
        )

    def app_url(self) -> str:
        return self._url("APP_URL", "the client application, e.g. https://app.example.com")

    def stripe(self) -> StripeSettings:
        key = self._required("STRIPE_SECRET_KEY", "sk_live_…, sk_test_… or a restricted key rk_…")
        if not re.match(r"(sk|rk)_(live|test)_", key):
            raise ConfigError("STRIPE_SECRET_KEY should start with sk_live_, sk_test_, rk_live_ or rk_test_")
        portal = self._optional("STRIPE_PORTAL_CONFIGURATION")
        if portal and not re.fullmatch(r"bpc_\w+", portal):
            raise ConfigError("STRIPE_PORTAL_CONFIGURATION should be bpc_…, as stripe-setup prints it")
        return StripeSettings(key, self._sandbox_base("STRIPE_API_BASE", live="_live_" in key), portal)

    def stripe_webhook_secrets(self) -> tuple[str, ...]:
        return self._secrets("STRIPE_WEBHOOK_SECRETS", "whsec_…")

    def mux(self) -> MuxSettings:
        return MuxSettings(
            token_id=self._required("MUX_TOKEN_ID", "the id of a Mux access token"),
            token_secret=self._required("MUX_TOKEN_SECRET", "the secret of a Mux access token"),
            api_base=self._sandbox_base("MUX_API_BASE", live=False),
            drm_configuration_id=self._optional("MUX_DRM_CONFIGURATION_ID"),
        )

    def mux_signing(self) -> MuxSigningSettings:
        restrictions = {
            "web": self._optional("MUX_RESTRICTION_WEB"),
            "native": self._optional("MUX_RESTRICTION_NATIVE"),
            "cast": self._optional("MUX_RESTRICTION_CAST"),
        }
        return MuxSigningSettings(
            key_id=self._required("MUX_SIGNING_KEY_ID", "the id of a Mux signing key"),
            private_key=self._required("MUX_SIGNING_PRIVATE_KEY", "base64 of its PEM, as Mux gives it"),
            stream_base=self._sandbox_base("MUX_STREAM_BASE", live=False) or "https://stream.mux.com",
            image_base=self._sandbox_base("MUX_IMAGE_BASE", live=False) or "https://image.mux.com",
            restrictions={kind: value for kind, value in restrictions.items() if value},
            drm=self._optional("MUX_DRM_CONFIGURATION_ID") is not None,
        )

    def mux_webhook_secrets(self) -> tuple[str, ...]:
        return self._secrets("MUX_WEBHOOK_SECRETS", "the signing secret of the Mux webhook")

    def cloudflare(self) -> CloudflareSettings:
        return CloudflareSettings(
            account_id=self._required("CLOUDFLARE_ACCOUNT_ID", "the id of the Cloudflare account"),
            api_token=self._required("CLOUDFLARE_API_TOKEN", "an API token that may edit Stream"),
            api_base=self._sandbox_base("CLOUDFLARE_API_BASE", live=False)
            or "https://api.cloudflare.com/client/v4",
        )

    def cloudflare_signing(self) -> CloudflareSigningSettings:
        code = self._required("CLOUDFLARE_CUSTOMER_CODE", "CODE of customer-CODE.cloudflarestream.com")
        if not re.fullmatch("[a-z0-9]{1,63}", code):
            raise ConfigError("CLOUDFLARE_CUSTOMER_CODE should be CODE of customer-CODE.cloudflarestream.com")
        return CloudflareSigningSettings(
            key_id=self._required("CLOUDFLARE_SIGNING_KEY_ID", "the id of a Stream signing key"),
            jwk=self._required("CLOUDFLARE_SIGNING_JWK", "base64 of its JWK, as Cloudflare gives it"),
            stream_base=self._sandbox_base("CLOUDFLARE_STREAM_BASE", live=False)
            or f"https://customer-{code}.cloudflarestream.com",
            access_rules=self._access_rules(),
        )

    def _access_rules(self) -> tuple[Mapping[str, Any], ...]:
        if self._optional("CLOUDFLARE_ACCESS_RULES") is None:
            return ()
        form = "a JSON list of 1 to 5 of Cloudflare's access rules, as docs/settings.md shows them"
        rules = self._json("CLOUDFLARE_ACCESS_RULES", form)
        if not isinstance(rules, list) or not 1 <= len(rules) <= 5 or not all(map(_is_access_rule, rules)):
            raise ConfigError(f"CLOUDFLARE_ACCESS_RULES should be {form}")
        return tuple(rules)

    def cloudflare_webhook_secrets(self) -> tuple[str, ...]:
        return self._secrets("CLOUDFLARE_WEBHOOK_SECRETS", "the secret Cloudflare gave for the webhook")

    def video_providers(self) -> tuple[str, ...]:
        """The providers that are set up, the one for new uploads first.

        Besides that one it is every provider of which any setting is given: one that is half set up stops
        the function at its start, with the setting that is missing.
        """
        first = self._optional("VIDEO_PROVIDER", "mux") or "mux"
        known = ("mux", "cloudflare")
        if first not in known:
            raise ConfigError("VIDEO_PROVIDER should be mux or cloudflare")
        given = [name for name, value in self._values.items() if value.strip()]
        return first, *(
            name
            for name in known
            if name != first and any(key.startswith(f"{name.upper()}_") for key in given)
        )

    def playback(self) -> PlaybackSettings:
        return PlaybackSettings(
            max_seconds=self._integer("PLAYBACK_MAX_SECONDS", 21600, 10, 86400),
            lease_seconds=self._integer("STREAM_LEASE_SECONDS", 90, 10, 3600),
        )

    def tasks(self) -> TaskSettings:
        queue = self._optional("TASKS_QUEUE")
        if queue and not re.fullmatch(r"projects/[^/]+/locations/[^/]+/queues/[^/]+", queue):
            raise ConfigError("TASKS_QUEUE should be projects/PROJECT/locations/REGION/queues/NAME")
        dispatcher = self._sandbox_base("DISPATCHER_URL", live=False)
        if not queue and self.in_cloud:
            raise ConfigError("TASKS_QUEUE is missing: projects/PROJECT/locations/REGION/queues/NAME")
        if not queue and not dispatcher:
            raise ConfigError("TASKS_QUEUE is missing (or, locally, DISPATCHER_URL of the local dispatcher)")
        endpoint = self._optional("TASKS_ENDPOINT")
        if endpoint and self.in_cloud:
            raise ConfigError("TASKS_ENDPOINT should not be set where K_SERVICE is set: it is for emulators")
        if endpoint and not re.fullmatch(r"[^/:]+:\d{1,5}", endpoint):
            raise ConfigError("TASKS_ENDPOINT should be host:port of an emulator")
        emails = self._list("TASKS_SERVICE_ACCOUNT")
        if not emails:
            raise ConfigError("TASKS_SERVICE_ACCOUNT is missing: the email that tasks call process-task as")
        return TaskSettings(
            queue=queue,
            url=self._url("TASKS_URL", "the URL of process-task"),
            service_account=emails[0],
            endpoint=endpoint,
            dispatcher=dispatcher,
        )

    def task_callers(self) -> CallerSettings:
        return self._callers("TASKS_URL", "TASKS_SERVICE_ACCOUNT")

    def queue_account(self) -> str:
        """The one of TASKS_SERVICE_ACCOUNT that the queue calls as: the first."""
        return self._emails("TASKS_SERVICE_ACCOUNT")[0]

    def _emails(self, name: str) -> tuple[str, ...]:
        emails = self._list(name)
        if not emails:
            raise ConfigError(f"{name} is missing: a comma list of the service accounts that may call")
        return emails

    def syncs(self) -> SyncSettings:
        """To call process-task directly: as whom, the metadata server of the machine says, or the dispatcher."""
        return SyncSettings(
            url=self._url("TASKS_URL", "the URL of process-task"),
            identity_base=self._sandbox_base("DISPATCHER_URL", live=False)
            or "http://metadata.google.internal",
        )

    def scheduler_callers(self) -> CallerSettings:
        return self._callers("RECONCILE_URL", "SCHEDULER_SERVICE_ACCOUNT")

    def _callers(self, audience: str, emails: str) -> CallerSettings:
        allowed = frozenset(self._emails(emails))
        # In the cloud Google alone says who calls.
        issuer = self._sandbox_base("OIDC_ISSUER", live=False)
        certs_url = self._sandbox_base("OIDC_CERTS_URL", live=False)
        return CallerSettings(
            issuers=(issuer,) if issuer else ("https://accounts.google.com", "accounts.google.com"),
            certs_url=certs_url or "https://www.googleapis.com/oauth2/v3/certs",
            audience=self._url(audience, "the OIDC audience, the URL of the called function"),
            emails=allowed,
        )

    def _sandbox_base(self, name: str, *, live: bool) -> str | None:
        """An address that replaces a real service: never in the cloud, never with a live key."""
        base = self._optional(name)
        if base and self.in_cloud:
            raise ConfigError(f"{name} should not be set where K_SERVICE is set: it is for local stand-ins")
        if base and live:
            raise ConfigError(f"{name} should not be set together with a live key")
        if base and not _is_url(base, "http", "https"):
            raise ConfigError(f"{name} should be the URL of a local stand-in")
        return base.rstrip("/") if base else None

    def _secrets(self, name: str, form: str) -> tuple[str, ...]:
        secrets = self._list(name)
        if not secrets:
            raise ConfigError(f"{name} is missing: a comma list of secrets ({form})")
        return secrets

    def _optional(self, name: str, default: str | None = None) -> str | None:
        return self._values.get(name, "").strip() or default

    def _required(self, name: str, form: str) -> str:
        value = self._optional(name)
        if not value:
            raise ConfigError(f"{name} is missing: {form}")
        return value

    def _url(self, name: str, form: str) -> str:
        value = self._required(name, form).rstrip("/")
        if not _is_url(value, "http", "https"):
            raise ConfigError(f"{name} should be a URL: {form}")
        return value

    def _list(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in self._values.get(name, "").split(",") if part.strip())

    def _integer(self, name: str, default: int, least: int, most: int) -> int:
        value = self._optional(name)
        if value is None:
            return default
        if not re.fullmatch(r"\d{1,9}", value) or not least <= int(value) <= most:
            raise ConfigError(f"{name} should be a whole number from {least} to {most}")
        return int(value)

    def _switch(self, name: str, *, default: bool) -> bool:
        value = self._optional(name, "on" if default else "off")
        if value not in ("on", "off"):
            raise ConfigError(f"{name} should be on or off")
        return value == "on"

    def _json(self, name: str, form: str) -> object:
        try:
            value: object = json.loads(self._required(name, form))
        except ValueError:
            raise ConfigError(f"{name} should be {form}, but is not JSON") from None
        return value


def _is_url(value: str, *schemes: str, host: bool = True) -> bool:
    """Whether it is a URL of one of the schemes, well formed and, unless it may do without, with a host."""
    try:
        parts = urlsplit(value)
        return parts.scheme in schemes and bool(parts.hostname or not host) and parts.port != 0
    except ValueError:
        return False


_LISTED_BY = {"any": None, "ip.src": "ip", "ip.geoip.country": "country"}


def _is_access_rule(rule: object) -> bool:
    """Whether Cloudflare knows such a rule."""
    if not isinstance(rule, dict) or rule.get("type") not in _LISTED_BY:
        return False
    listed = _LISTED_BY[rule["type"]]
    values = rule.get(listed) if listed else ["any"]
    return (
        rule.get("action") in ("allow", "block")
        and set(rule) == {"type", "action"} | ({listed} if listed else set())
        and isinstance(values, list)
        and bool(values)
        and all(isinstance(value, str) and value for value in values)
    )


def _sender(value: str) -> tuple[str, str]:
    """Name and address of `Name <address>`, or of an address alone."""
    found = re.fullmatch(r"(?:([^<>\"\x00-\x1f]*)<)?([!-;=?-~]+@[A-Za-z0-9.-]+)(>?)", value)
    if not found or (found[1] is None) is not (found[3] == ""):
        raise ConfigError("MAIL_FROM should be like Streamly <streamly@example.com>")
    return (found[1] or "").strip(), found[2]


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


def _whole(value: object) -> int:
    """JSON's true is no number here, and 1.5 is not rounded."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value
