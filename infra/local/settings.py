"""Keys and names of one local installation, made once and kept in its data folder."""

import base64
import json
import os
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from lib.adapters.token_keys import make_key

DEFAULT_PLANS = [
    {
        "code": "basic",
        "name": "Basic",
        "level": 1,
        "stripe_lookup_key": "basic_monthly",
        "trial_days": 0,
        "streams": 2,
        "price": {"amount": 799, "currency": "usd", "interval": "month"},
    },
    {
        "code": "premium",
        "name": "Premium",
        "level": 2,
        "stripe_lookup_key": "premium_monthly",
        "trial_days": 0,
        "streams": 4,
        "price": {"amount": 1499, "currency": "usd", "interval": "month"},
    },
]

# Settings of the functions that have no local value of their own but are passed on when given.
PASSED_ON = (
    "VIDEO_PROVIDER",
    "CLOUDFLARE_ACCESS_RULES",
    "MUX_RESTRICTION_WEB",
    "MUX_RESTRICTION_NATIVE",
    "MUX_RESTRICTION_CAST",
    "MUX_DRM_CONFIGURATION_ID",
    "TASKS_QUEUE",
    "TASKS_ENDPOINT",
    "REGISTRATION",
    "DB_POOL_SIZE",
    "HASHING_SLOTS",
    "PASSWORD_MIN_LENGTH",
    "ACCESS_TOKEN_SECONDS",
    "REFRESH_TOKEN_DAYS",
    "SESSION_IDLE_DAYS",
    "REFRESH_GRACE_SECONDS",
    "PAST_DUE_GRACE_DAYS",
    "RENEWAL_GRACE_HOURS",
    "RENTAL_START_DAYS",
    "CHECKOUT_PROMOTION_CODES",
    "CHECKOUT_AUTOMATIC_TAX",
    "CHECKOUT_TERMS",
    "STRIPE_PORTAL_CONFIGURATION",
    "PLAYBACK_MAX_SECONDS",
    "STREAM_LEASE_SECONDS",
    "MAX_BODY_BYTES",
    "TRUSTED_PROXIES",
)


@dataclass(frozen=True)
class LocalSettings:
    """What one local installation knows about itself.

    Everything but `data_dir` and the ports is made at the first `load` and the same ever after.
    """

    data_dir: Path
    port: int
    admin_password: str
    access_token_keys: str
    """JSON text of a JWK set holding one private ES256 key."""
    stripe_secret_key: str
    stripe_webhook_secret: str
    mux_token_id: str
    mux_token_secret: str
    mux_webhook_secret: str
    mux_signing_key_id: str
    mux_signing_private_key: str
    """Base64 of a PEM (RSA 2048), the way Mux hands its signing keys out."""
    cloudflare_account_id: str
    cloudflare_api_token: str
    cloudflare_webhook_secret: str
    cloudflare_signing_key_id: str
    cloudflare_signing_jwk: str
    """Base64 of a JWK (RSA 2048), the way Cloudflare hands its signing keys out."""
    oidc_key_id: str
    oidc_private_key: str
    """PEM (RSA 2048) the dispatcher signs its callers' identity with."""
    smtp_port: int = 1025
    """Of the sandbox's mail server; not kept, `make run` takes a free one."""

    @property
    def base_url(self) -> str:
        """Where everything is reached, without a trailing slash."""
        return f"http://localhost:{self.port}"

    @classmethod
    def load(cls, data_dir: Path, port: int) -> "LocalSettings":
        """Read `<data_dir>/settings.json`, making it, or what an older version left out of it, first.

        Args:
            data_dir: Folder of this installation's data; created if missing.
            port: TCP port of the gateway; not kept, it may differ from run to run.

        Raises:
            ValueError: The file is there but is not what this version writes.
        """
        path = data_dir / "settings.json"
        data_dir.mkdir(parents=True, exist_ok=True)
        try:
            kept = json.loads(path.read_text()) if path.exists() else {}
            if {field.name for field in fields(cls)} - {"data_dir", "port"} - set(kept):
                kept = _make_secrets() | kept
                write_private(path, json.dumps(kept, indent=2))
            return cls(data_dir=data_dir, port=port, **kept)
        except (TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is not readable ({error}); `make clean` starts afresh") from error

    def function_environment(self, database_url: str, overrides: Mapping[str, str]) -> dict[str, str]:
        """The complete settings of the functions.

        Args:
            database_url: `postgresql+pg8000://…` of the database to use.
            overrides: The caller's environment; a setting found there wins. A provider whose own key is
                given there is taken for real: none of its sandbox values are used beside it.

        Returns:
            Setting name to value, nothing else (no PATH, no HOME).
        """
        stripe = {
            "STRIPE_SECRET_KEY": self.stripe_secret_key,
            "STRIPE_WEBHOOK_SECRETS": self.stripe_webhook_secret,
            "STRIPE_API_BASE": f"{self.base_url}/sandbox/stripe",
        }
        mux = {
            "MUX_TOKEN_ID": self.mux_token_id,
            "MUX_TOKEN_SECRET": self.mux_token_secret,
            "MUX_SIGNING_KEY_ID": self.mux_signing_key_id,
            "MUX_SIGNING_PRIVATE_KEY": self.mux_signing_private_key,
            "MUX_WEBHOOK_SECRETS": self.mux_webhook_secret,
            "MUX_API_BASE": f"{self.base_url}/sandbox/mux",
            "MUX_STREAM_BASE": f"{self.base_url}/sandbox/mux/stream",
            "MUX_IMAGE_BASE": f"{self.base_url}/sandbox/mux/image",
        }
        cloudflare = {
            "CLOUDFLARE_ACCOUNT_ID": self.cloudflare_account_id,
            "CLOUDFLARE_API_TOKEN": self.cloudflare_api_token,
            "CLOUDFLARE_CUSTOMER_CODE": "sandbox",
            "CLOUDFLARE_SIGNING_KEY_ID": self.cloudflare_signing_key_id,
            "CLOUDFLARE_SIGNING_JWK": self.cloudflare_signing_jwk,
            "CLOUDFLARE_WEBHOOK_SECRETS": self.cloudflare_webhook_secret,
            "CLOUDFLARE_API_BASE": f"{self.base_url}/sandbox/cloudflare/client/v4",
            "CLOUDFLARE_STREAM_BASE": f"{self.base_url}/sandbox/cloudflare/stream",
        }
        mailbox = {"SMTP_URL": f"smtp://localhost:{self.smtp_port}"}
        dispatcher = {"DISPATCHER_URL": f"{self.base_url}/sandbox/tasks"}
        everywhere = {
            "DATABASE_URL": database_url,
            # One process serves every function with eight threads, from one pool.
            "DB_POOL_SIZE": "10",
            "ACCESS_TOKEN_KEYS": self.access_token_keys,
            "TOKEN_ISSUER": self.base_url,
            "TOKEN_AUDIENCE": "streamly",
            "TASKS_URL": f"{self.base_url}/process-task",
            "TASKS_SERVICE_ACCOUNT": "tasks@local.streamly,playback@local.streamly",
            "SCHEDULER_SERVICE_ACCOUNT": "scheduler@local.streamly",
            "RECONCILE_URL": f"{self.base_url}/reconcile",
            "OIDC_ISSUER": f"{self.base_url}/sandbox/tasks",
            "OIDC_CERTS_URL": f"{self.base_url}/sandbox/tasks/certs",
            "APP_URL": self.base_url,
            "MAIL_FROM": "Streamly <streamly@example.com>",
            "CORS_ORIGINS": self.base_url,
            "PLANS": json.dumps(DEFAULT_PLANS),
        }
        given = {name: value for name, value in overrides.items() if value}
        environment = everywhere
        for sandboxed, key in (
            (stripe, "STRIPE_SECRET_KEY"),
            (mux, "MUX_TOKEN_ID"),
            (cloudflare, "CLOUDFLARE_API_TOKEN"),
            (mailbox, "SMTP_URL"),
            (dispatcher, "TASKS_QUEUE"),
        ):
            if given.get(key, sandboxed.get(key)) == sandboxed.get(key):
                environment |= sandboxed
        known = {*everywhere, *stripe, *mux, *cloudflare, *mailbox, *dispatcher, *PASSED_ON} - {
            "DATABASE_URL"
        }
        return environment | {name: value for name, value in given.items() if name in known}


def _make_secrets() -> dict[str, str]:
    """Fresh values for every field that is kept."""
    cloudflare_key_id = secrets.token_hex(16)
    return {
        "admin_password": secrets.token_urlsafe(12),
        "access_token_keys": json.dumps({"keys": [make_key()]}),
        "stripe_secret_key": f"sk_test_sandbox_{secrets.token_hex(16)}",
        "stripe_webhook_secret": f"whsec_{secrets.token_hex(24)}",
        "mux_token_id": str(uuid.uuid4()),
        "mux_token_secret": secrets.token_urlsafe(48),
        "mux_webhook_secret": secrets.token_hex(20),
        "mux_signing_key_id": secrets.token_urlsafe(32),
        "mux_signing_private_key": base64.b64encode(_make_rsa_pem()).decode(),
        "cloudflare_account_id": secrets.token_hex(16),
        "cloudflare_api_token": secrets.token_urlsafe(30),
        "cloudflare_webhook_secret": secrets.token_hex(16),
        "cloudflare_signing_key_id": cloudflare_key_id,
        "cloudflare_signing_jwk": _make_rsa_jwk(cloudflare_key_id),
        "oidc_key_id": secrets.token_hex(20),
        "oidc_private_key": _make_rsa_pem().decode(),
    }


def _make_rsa_pem() -> bytes:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _make_rsa_jwk(key_id: str) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = RSAAlgorithm.to_jwk(key, as_dict=True) | {"kid": key_id, "use": "sig", "alg": "RS256"}
    # The standard's list of what may be done with it, which Cloudflare's keys do not have.
    jwk.pop("key_ops", None)
    return base64.b64encode(json.dumps(jwk).encode()).decode()


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner can read, whole or not at all."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    unfinished.replace(path)
