"""stripe-setup: the account as PLANS wants it, by the real SDK; a second time there is nothing to do."""

import json
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from infra.local.supervisor import Stack
from lib.billing.told import WANTED
from lib.web.signatures import verify
from tests.factories import Factory, wait_for
from tests.integration.command_line import CommandLine


class Shop:
    """PLANS of its own, in the account that all tests share."""

    def __init__(self, environment: dict[str, str], stack: Stack) -> None:
        self.mark = uuid.uuid4().hex[:8]
        self.stack = stack
        self._cli = CommandLine(environment)
        self.plans = [self.plan("small", 1, 500), self.plan("large", 2, 900)]

    def plan(self, code: str, level: int, amount: int, **more: Any) -> dict[str, Any]:
        price = {"amount": amount, "currency": "usd", "interval": "month"}
        name = f"{code}-{self.mark}"
        key = {"stripe_lookup_key": f"{name}_monthly", "streams": 1}
        return {"code": name, "name": code.title(), "level": level, "price": price} | key | more

    def run(self, *words: str) -> list[dict[str, Any]]:
        done = self._cli.json("stripe-setup", "--yes", *words, PLANS=json.dumps(self.plans))
        found: list[dict[str, Any]] = done["changes"]
        return found

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        response = httpx.get(
            f"{self.stack.base_url}/sandbox/stripe/v1/{path}",
            params=query,
            headers={"Authorization": f"Bearer {self.stack.settings.stripe_secret_key}"},
        )
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def post(self, path: str, **form: Any) -> None:
        response = httpx.post(
            f"{self.stack.base_url}/sandbox/stripe/v1/{path}",
            data=form,
            headers={"Authorization": f"Bearer {self.stack.settings.stripe_secret_key}"},
        )
        assert response.status_code == 200, response.text

    def price(self, number: int) -> dict[str, Any]:
        found = self.get(
            "prices", **{"lookup_keys[]": self.plans[number]["stripe_lookup_key"], "active": "true"}
        )
        price: dict[str, Any] = found["data"][0]
        return price


@pytest.fixture
def shop(environment: dict[str, str], stack: Stack) -> Shop:
    return Shop(environment, stack)


def made(changes: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(change["what"], change["action"]) for change in changes]


PORTAL = {("portal", "create"), ("portal", "update")}


def test_it_says_what_it_would_do_and_does_nothing(shop: Shop) -> None:
    told = made(shop.run("--dry-run"))
    assert told[:4] == [("product", "create"), ("price", "create")] * 2
    assert told[4] in PORTAL
    assert made(shop.run("--dry-run")) == told, "nothing was done"
    keys = [plan["stripe_lookup_key"] for plan in shop.plans]
    assert shop.get("prices", **{"lookup_keys[]": keys})["data"] == []


def test_a_second_time_there_is_nothing_to_do(shop: Shop) -> None:
    first = shop.run()
    assert made(first)[:4] == [("product", "create"), ("price", "create")] * 2
    assert shop.run() == []
    price = shop.price(1)
    assert (price["unit_amount"], price["currency"], price["recurring"]["interval"]) == (900, "usd", "month")
    assert price["product"] == f"streamly_{shop.plans[1]['code']}"


def test_a_price_that_changed_takes_the_key_along(shop: Shop) -> None:
    shop.run()
    before = shop.price(0)
    shop.plans[0]["price"]["amount"] = 600
    told = shop.run("--dry-run")
    assert made(told) == [("price", "replace"), ("portal", "update")]
    assert made(shop.run()) == made(told)
    after = shop.price(0)
    assert (after["unit_amount"], after["product"]) == (600, before["product"])
    old = shop.get(f"prices/{before['id']}")
    assert (old["lookup_key"], old["unit_amount"]) == (None, 500), "who pays it goes on paying it"
    assert shop.run() == []


def test_plans_whose_prices_share_a_product_are_offered_together(shop: Shop) -> None:
    shop.run()
    monthly = shop.price(0)
    yearly = shop.plan("small-yearly", 1, 5000)
    yearly["price"]["interval"], yearly["name"] = "year", shop.plans[0]["name"]
    shop.post(
        "prices",
        product=monthly["product"],
        currency="usd",
        unit_amount=5000,
        lookup_key=yearly["stripe_lookup_key"],
        **{"recurring[interval]": "year"},
    )
    shop.plans.append(yearly)
    (portal,) = shop.run()
    assert (portal["what"], portal["action"]) == ("portal", "update")
    found = shop.get(f"billing_portal/configurations/{portal['id']}")
    products = found["features"]["subscription_update"]["products"]
    assert [each["product"] for each in products] == [monthly["product"], shop.price(1)["product"]]
    assert products[0]["prices"] == [monthly["id"], shop.price(2)["id"]]
    assert shop.run() == []


def test_a_plan_that_is_renamed_keeps_its_product(shop: Shop) -> None:
    shop.run()
    shop.plans[0]["name"] = "Tiny"
    assert made(shop.run()) == [("product", "update")]
    assert shop.get(f"products/streamly_{shop.plans[0]['code']}")["name"] == "Tiny"
    assert shop.run() == []


def test_a_plan_that_is_not_sold_is_left_alone(shop: Shop) -> None:
    shop.plans[1]["sold"] = False
    assert made(shop.run())[:2] == [("product", "create"), ("price", "create")]
    keys = {"lookup_keys[]": shop.plans[1]["stripe_lookup_key"]}
    assert shop.get("prices", **keys)["data"] == []


def test_it_can_be_given_up_before_anything_is_done(shop: Shop, environment: dict[str, str]) -> None:
    cli = CommandLine(environment)
    done = cli.run("stripe-setup", given="n\n", PLANS=json.dumps(shop.plans))
    assert done.exit_code == 1
    assert "create product" in done.stderr
    keys = [plan["stripe_lookup_key"] for plan in shop.plans]
    assert shop.get("prices", **{"lookup_keys[]": keys})["data"] == []


@pytest.fixture
def listener() -> Iterator[tuple[str, list[tuple[bytes, str]]]]:
    """An address that takes what is sent to it: body and signature."""
    received: list[tuple[bytes, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            received.append((self.rfile.read(length), self.headers["Stripe-Signature"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not to the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/stripe-webhook", received
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_endpoint_gets_what_is_wanted_signed_with_the_secret_that_was_told(
    shop: Shop, make: Factory, listener: tuple[str, list[tuple[bytes, str]]]
) -> None:
    url, received = listener
    told = shop.run("--webhook-url", url)
    setting = next(change["set"] for change in told if change["what"] == "webhook")
    name, _, secret = setting.partition("=")
    assert name == "STRIPE_WEBHOOK_SECRETS"
    assert shop.run("--webhook-url", url) == []
    endpoint = next(e for e in shop.get("webhook_endpoints", limit=100)["data"] if e["url"] == url)
    assert sorted(endpoint["enabled_events"]) == sorted(WANTED)
    assert "secret" not in endpoint
    make.subscriber()
    wait_for(lambda: any(b"checkout.session.completed" in body for body, _ in received))
    for body, signature in received:
        event = json.loads(body)
        verify(body, signature, (secret,), _moment(signature))
        assert event["type"] in WANTED


def _moment(signature: str) -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(int(signature.partition(",")[0].removeprefix("t=")), UTC)


def test_the_portal_offers_what_was_set_up(shop: Shop, environment: dict[str, str], make: Factory) -> None:
    from lib.adapters.stripe_payments import StripePayments
    from lib.config import Environment

    changes = shop.run()
    portal_id = next(change["id"] for change in changes if change["what"] == "portal")
    customer = shop.get("customers", email=make.subscriber().email)["data"][0]["id"]
    settings = Environment(environment | {"STRIPE_PORTAL_CONFIGURATION": portal_id}).stripe()
    page = httpx.get(StripePayments(settings, "https://app.example.com").open_portal(customer)).text
    assert "Change to Large, $9.00" in page
    assert "Premium" not in page
