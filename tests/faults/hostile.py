"""Who asks in the hostile tests: people and machines made by rows and keys alone, in no time and as many as are wanted."""

import hashlib
import hmac
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert

from infra.local.supervisor import Stack
from lib.adapters.argon2_hasher import Argon2Hasher
from lib.adapters.jwt_tokens import JwtTokens
from lib.config import Environment
from lib.database.engine import Database
from lib.database.schema import sessions, users
from lib.web.operation import Operation, Who
from lib.web.ports import Claims
from tests.factories import PASSWORD
from tests.machines import identity


@dataclass(frozen=True)
class Webhook:
    """How a provider signs."""

    header: str
    secrets: str
    names: tuple[str, str]


WEBHOOKS = {
    "stripe-webhook": Webhook("Stripe-Signature", "STRIPE_WEBHOOK_SECRETS", ("t", "v1")),
    "mux-webhook": Webhook("Mux-Signature", "MUX_WEBHOOK_SECRETS", ("t", "v1")),
    "cloudflare-webhook": Webhook("Webhook-Signature", "CLOUDFLARE_WEBHOOK_SECRETS", ("time", "sig1")),
}


@dataclass(frozen=True)
class Guest:
    """Somebody with an account, logged in."""

    id: uuid.UUID
    session: uuid.UUID
    email: str
    token: str


class Callers:
    """Makes whoever an operation is for."""

    def __init__(self, stack: Stack, environment: dict[str, str], database: Database) -> None:
        self._stack = stack
        self._database = database
        settings = Environment(environment)
        self._tokens = JwtTokens(settings.tokens())
        self._hash = Argon2Hasher(slots=1).hash(PASSWORD)

    def guest(self, role: str = "viewer") -> Guest:
        user_id, session_id, now = uuid.uuid4(), uuid.uuid4(), datetime.now(UTC)
        email = f"{user_id.hex}@example.com"
        user = {"id": user_id, "email": email, "role": role, "password_hash": self._hash}
        login = {"id": session_id, "user_id": user_id, "expires_at": now + timedelta(days=1)}
        with self._database.transaction() as tx:
            tx.execute(insert(users).values(**user))
            tx.execute(insert(sessions).values(**login))
        token, _ = self._tokens.issue(Claims(user_id, session_id), now=now)
        return Guest(user_id, session_id, email, token)

    def machine(self, function: str, **changes: Any) -> str:
        """An identity token as the local dispatcher's and scheduler's."""
        return identity(self._stack.settings, function, **changes)

    def tokens(self, operation: Operation) -> dict[str, str | None]:
        """For each kind of caller that is let in, a token of somebody new; None: without."""
        if operation.who is Who.ANYONE:
            return {"stranger": None}
        if operation.who is Who.SERVICE:
            return {"machine": self.machine(operation.function)}
        found: dict[str, str | None] = {role: self.guest(role).token for role in ("viewer", "admin")}
        return found if operation.who is not Who.EITHER else found | {"stranger": None}


def functions_url(stack: Stack) -> str:
    """The functions themselves, without the gateway, whose pages stand in front of two of them."""
    return stack.children["functions"]._health_url.removesuffix("/health")


def signatures(environment: dict[str, str], function: str, payload: bytes) -> dict[str, str]:
    """The header with which a provider would send this; nothing for a function that is no webhook."""
    webhook = WEBHOOKS.get(function)
    if webhook is None:
        return {}
    moment = str(int(time.time()))
    secret = environment[webhook.secrets].split(",")[0]
    digest = hmac.new(secret.encode(), moment.encode() + b"." + payload, hashlib.sha256).hexdigest()
    return {webhook.header: f"{webhook.names[0]}={moment},{webhook.names[1]}={digest}"}
