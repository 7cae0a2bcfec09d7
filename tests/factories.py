"""Valid people, subscriptions and films; a test states only what matters to it."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx
from sqlalchemy import insert
from sqlalchemy.dialects.postgresql import insert as insert_or_update

from infra.local.supervisor import ADMIN_EMAIL, Stack
from lib.database.engine import Database
from lib.database.schema import billing_accounts, entitlements, videos
from tests.api import Api

T = TypeVar("T")
PASSWORD = "a long walk by the sea"


@dataclass
class Person:
    """Somebody with an account, logged in."""

    api: Api
    id: uuid.UUID
    email: str
    refresh_token: str


class Factory:
    """Makes things in the running stack."""

    def __init__(self, stack: Stack, database: Database) -> None:
        self.stack = stack
        self.database = database
        self._clients: list[Api] = []

    def __enter__(self) -> "Factory":
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.http.close()

    def client(self, token: str | None = None) -> Api:
        client = Api(self.stack.base_url, token)
        self._clients.append(client)
        return client

    def person(self, **body: Any) -> Person:
        """A viewer who just registered."""
        wanted = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD} | body
        response = self.client().post("register", wanted)
        assert response.status_code == 201, response.text
        return self._person(response)

    def login(self, email: str, password: str = PASSWORD, **body: Any) -> Person:
        """Another login of an account, as from another device."""
        response = self.client().post("login", {"email": email, "password": password} | body)
        assert response.status_code == 200, response.text
        return self._person(response)

    def _person(self, response: httpx.Response) -> Person:
        found = response.json()
        client = self.client(found["access_token"])
        return Person(client, uuid.UUID(found["user"]["id"]), found["user"]["email"], found["refresh_token"])

    def admin(self) -> Person:
        """The demo admin."""
        return self.login(ADMIN_EMAIL, self.stack.settings.admin_password)

    def subscriber(self, plan: str = "basic") -> Person:
        """A viewer who paid in the sandbox, and whose access is there."""
        person = self.person()
        self.pay(person, plan)
        wait_for(lambda: person.api.get("account").json()["entitlement"]["active"])
        return person

    def pay(self, person: Person, plan: str = "basic", card: str = "4242424242424242") -> httpx.Response:
        """Open a checkout and submit its page; the page's answer."""
        opened = person.api.post("create-checkout", {"plan": plan})
        assert opened.status_code in (200, 201), opened.text
        return httpx.post(opened.json()["checkout_url"], data={"card": card}, timeout=30)

    def entitle(self, person: Person, **values: Any) -> None:
        """Access (basic, for 30 days, two streams) by its row alone: nothing at Stripe stands behind it."""
        row = {
            "plan": "basic",
            "level": 1,
            "streams": 2,
            "reason": "subscription",
            "until": datetime.now(UTC) + timedelta(days=30),
        } | values
        account = insert_or_update(billing_accounts).values(user_id=person.id).on_conflict_do_nothing()
        right = insert_or_update(entitlements).values(user_id=person.id, **row)
        with self.database.transaction() as tx:
            tx.execute(account)
            tx.execute(right.on_conflict_do_update(index_elements=[entitlements.c.user_id], set_=row))

    def control(self, **command: Any) -> dict[str, Any]:
        """What a customer or a bank would do (the sandbox's control)."""
        response = httpx.post(f"{self.stack.base_url}/sandbox/stripe/control", json=command, timeout=30)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def stripe(self, method: str, path: str, **form: Any) -> dict[str, Any]:
        """One call of Stripe's API, past our own code."""
        sent: dict[str, Any] = {"params" if method == "GET" else "data": form}
        response = httpx.request(
            method,
            f"{self.stack.base_url}/sandbox/stripe/v1/{path}",
            headers={"Authorization": f"Bearer {self.stack.settings.stripe_secret_key}"},
            timeout=30,
            **sent,
        )
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def customer(self, person: Person) -> str:
        """The person's one customer at Stripe."""
        (found,) = self.stripe("GET", "customers", email=person.email, limit=100)["data"]
        return str(found["id"])

    def invoices(self, person: Person) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.stripe("GET", "invoices", customer=self.customer(person))["data"]
        return found

    def video(self, **values: Any) -> uuid.UUID:
        """A film that is ready to be watched; the row alone, nothing at the provider."""
        video_id: uuid.UUID = values.pop("id", uuid.uuid4())
        row = {
            "title": "A film",
            "level": 1,
            "published": True,
            "status": "ready",
            "provider": "mux",
            "asset_id": f"asset-{video_id}",
            "playback_id": f"playback-{video_id}",
            "duration": 60.0,
            # Its provider knows nothing of it: no reconcile should come to ask.
            "checked_at": datetime.now(UTC) + timedelta(days=1),
        } | values
        with self.database.transaction() as tx:
            tx.execute(insert(videos).values(id=video_id, **row))
        return video_id


def wait_for(found: Callable[[], T | None], seconds: float = 15) -> T:
    """What `found` gives once it is truthy; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = found()
        if value or time.monotonic() > deadline:
            assert value, "waited in vain"
            return value
        time.sleep(0.02)
