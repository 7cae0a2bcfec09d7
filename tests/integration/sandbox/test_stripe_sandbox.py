"""The Stripe stand-in, spoken to by the real library over HTTP, its webhooks received and verified."""

import asyncio
import json
import socket
import threading
import time
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from infra.local.sandbox import stripe as sandbox
from infra.local.sandbox.deliveries import Deliveries
from infra.local.sandbox.state import State

KEY = "sk_test_sandbox_0123456789abcdef"
SECRET = "whsec_0123456789abcdef"
GOOD, DECLINED = "4242424242424242", "4000000000000002"
DAY = 86400


@dataclass(frozen=True)
class Settings:
    base_url: str
    stripe_secret_key: str = KEY
    stripe_webhook_secret: str = SECRET


@dataclass
class Receiver:
    """The webhook's end: keeps what came, and answers ``status``."""

    status: int = 200
    events: list[stripe.Event] = field(default_factory=list)
    refused: int = 0
    thin: list[tuple[bytes, str]] = field(default_factory=list)
    """Bodies and signatures of thin events, which the library reads in another way."""

    async def take(self, request: Request) -> Response:
        body, signature = await request.body(), request.headers["Stripe-Signature"]
        if json.loads(body)["object"] == "v2.core.event":
            self.thin.append((body, signature))
            return PlainTextResponse("")
        event = stripe.Webhook.construct_event(body, signature, SECRET)
        if self.status == 200:
            self.events.append(event)
        else:
            self.refused += 1
        return PlainTextResponse("", self.status)

    def types(self) -> list[str]:
        return [event.type for event in self.events]


class Sandbox:
    """The stand-in and a receiver served on one port, with the library pointed at it."""

    def __init__(self, path: Path, port: int, receiver: Receiver) -> None:
        settings = Settings(f"http://127.0.0.1:{port}")
        self.base = f"{settings.base_url}/sandbox/stripe"
        self.receiver = receiver
        self.state = State(path)
        deliveries = Deliveries(self.state, delays=[0.05] * 40)
        part = sandbox.create_app(self.state, deliveries, settings)

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            running = asyncio.create_task(deliveries.run())
            async with part.router.lifespan_context(part):
                yield
            running.cancel()
            await asyncio.wait([running])

        app = Starlette(
            routes=[
                Mount("/sandbox/stripe", part),
                Route("/stripe-webhook", receiver.take, methods=["POST"]),
            ],
            lifespan=lifespan,
        )
        self._server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        until(lambda: self._server.started)
        self.client = stripe.StripeClient(
            KEY, base_addresses={"api": self.base}, http_client=stripe.RequestsClient(timeout=5)
        )
        self.v1 = self.client.v1

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive(), "the server does not end"
        self.state.close()

    def price(self, key: str = "basic_monthly") -> str:
        return self.v1.prices.list({"lookup_keys": [key], "active": True}).data[0].id

    def session(self, **more: Any) -> Any:
        customer = more.pop("customer", None) or self.v1.customers.create({"email": "ann@example.com"}).id
        wanted: Any = {
            "mode": "subscription",
            "customer": customer,
            "client_reference_id": "user_1",
            "metadata": {"user_id": "user_1"},
            "subscription_data": {"metadata": {"user_id": "user_1"}},
            "line_items": more.get("line_items") or [{"price": self.price(), "quantity": 1}],
            "success_url": "http://127.0.0.1/success?session_id={CHECKOUT_SESSION_ID}",
            "cancel_url": "http://127.0.0.1/cancel",
            **more,
        }
        return self.v1.checkout.sessions.create(wanted)

    def pay(self, session: Any, card: str = GOOD, **more: str) -> httpx.Response:
        return httpx.post(session.url, data={"card": card, **more}, timeout=15)

    def subscribed(self, **more: Any) -> stripe.Subscription:
        session = self.session(**more)
        assert self.pay(session).status_code == 303
        paid = self.v1.checkout.sessions.retrieve(session.id)
        return self.v1.subscriptions.retrieve(str(paid.subscription))

    def control(self, status: int = 200, **order: Any) -> Any:
        answer = httpx.post(f"{self.base}/control", json=order, timeout=15)
        assert answer.status_code == status, answer.text
        return answer.json()

    def settled(self) -> None:
        """Wait until every webhook has arrived."""
        until(lambda: all(d["status"] == "delivered" for d in self.deliveries()))

    def deliveries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(f"{self.base}/deliveries").json()["deliveries"]
        return found


def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to pass"
        threading.Event().wait(0.01)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def box(tmp_path: Path, port: int) -> Iterator[Sandbox]:
    made = Sandbox(tmp_path / "sandbox.sqlite", port, Receiver())
    yield made
    made.stop()


def refusal(code: str | None = None, param: str | None = None, status: int = 400) -> Any:
    def fits(error: stripe.StripeError) -> bool:
        body: Any = json.loads(str(error.http_body))["error"]
        return error.http_status == status and (body.get("code"), body.get("param")) == (code, param)

    return pytest.raises(stripe.StripeError, check=fits)


def test_a_paid_checkout_makes_everything_stripe_makes(box: Sandbox) -> None:
    session = box.session()
    assert session.url == f"{box.base}/pay/{session.id}"
    assert (session.status, session.payment_status, session.subscription) == ("open", "unpaid", None)
    page = httpx.get(session.url)
    assert page.status_code == 200
    assert "Basic" in page.text
    assert "$7.99" in page.text

    answer = box.pay(session)

    assert answer.status_code == 303
    assert answer.headers["location"] == f"http://127.0.0.1/success?session_id={session.id}"
    # Like Stripe the page held the customer back until the webhook had been answered.
    assert "checkout.session.completed" in box.receiver.types()
    paid = box.v1.checkout.sessions.retrieve(
        session.id, {"expand": ["subscription.latest_invoice.payments", "line_items", "customer"]}
    )
    assert (paid.status, paid.payment_status, paid.url, paid.amount_total) == ("complete", "paid", None, 799)
    assert paid.customer.email == "ann@example.com"  # type: ignore[union-attr]
    subscription: Any = paid.subscription
    assert (subscription.status, subscription.metadata["user_id"]) == ("active", "user_1")
    assert "current_period_end" not in subscription
    (item,) = subscription["items"].data
    assert item.current_period_end > time.time() + 27 * DAY
    invoice = subscription.latest_invoice
    assert (invoice.status, invoice.amount_paid) == ("paid", 799)
    assert invoice.parent.subscription_details.subscription == subscription.id
    intent = invoice.payments.data[0].payment.payment_intent
    found = box.v1.invoice_payments.list({"payment": {"type": "payment_intent", "payment_intent": intent}})
    assert [payment.invoice for payment in found.data] == [invoice.id]
    box.settled()
    for kind in ("customer.subscription.created", "invoice.paid", "charge.succeeded", "customer.created"):
        assert kind in box.receiver.types()
    listed = box.v1.events.list({"limit": 100})
    assert {event.id for event in listed.data} == {event.id for event in box.receiver.events}
    assert {event.pending_webhooks for event in listed.data} == {0}


def test_a_declined_card_pays_nothing_and_leaves_the_session_open(box: Sandbox) -> None:
    session = box.session()
    answer = box.pay(session, DECLINED)
    assert answer.status_code == 402
    assert "declined" in answer.text
    assert box.pay(session, "1234").status_code == 400
    assert box.v1.checkout.sessions.retrieve(session.id).status == "open"
    assert not box.v1.subscriptions.list({"status": "all"}).data
    assert not box.v1.charges.list().data
    assert box.pay(session).status_code == 303


def test_a_double_click_buys_once(box: Sandbox) -> None:
    session = box.session()
    with ThreadPoolExecutor(4) as clicks:
        answers = list(clicks.map(lambda _: box.pay(session), range(4)))
    assert {answer.status_code for answer in answers} == {303}
    assert len(box.v1.subscriptions.list({"customer": session.customer}).data) == 1


def test_a_repeated_key_repeats_the_answer(box: Sandbox) -> None:
    options: Any = {"idempotency_key": "k1"}
    first = box.v1.customers.create({"email": "a@example.com"}, options)
    again = box.v1.customers.create({"email": "a@example.com"}, options)
    assert first.id == again.id
    assert again.last_response is not None
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert again.last_response.headers["Request-Id"].startswith("req_")
    with pytest.raises(stripe.IdempotencyError):
        box.v1.customers.create({"email": "b@example.com"}, options)
    with pytest.raises(stripe.IdempotencyError):
        box.v1.products.create({"name": "x"}, options)
    with pytest.raises(stripe.IdempotencyError):
        box.v1.customers.create({}, {"idempotency_key": "x" * 256})
    box.control(action="advance", to=(datetime.now(UTC) + timedelta(hours=25)).isoformat())
    assert box.v1.customers.create({"email": "a@example.com"}, options).id != first.id


def test_the_key_and_the_route_must_exist(box: Sandbox) -> None:
    stranger = stripe.StripeClient("sk_test_other", base_addresses={"api": box.base})
    with pytest.raises(stripe.AuthenticationError):
        stranger.v1.customers.list()
    with refusal(status=404):
        box.client.raw_request("get", "/v1/tax_rates")
    with refusal("resource_missing", "id", 404):
        box.v1.customers.retrieve("cus_nobody")


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"colour": "red"}, "parameter_unknown", "colour"),
        ({"subscription_data": {"plan": "x"}}, "parameter_unknown", "subscription_data[plan]"),
        ({"consent_collection": {"promotions": "auto"}}, None, "consent_collection"),
        ({"line_items": [{"price": "price_x", "quantity": 1}]}, "resource_missing", "line_items[0][price]"),
        ({"line_items": []}, "parameter_missing", "line_items"),
        ({"customer": "cus_x"}, "resource_missing", "customer"),
        ({"mode": "donation"}, None, "mode"),
        ({"success_url": "success"}, "url_invalid", "success_url"),
        ({"success_url": ""}, "parameter_invalid_empty", "success_url"),
        ({"expires_at": "soon"}, "parameter_invalid_integer", "expires_at"),
        ({"expires_at": int(time.time()) + 60}, None, "expires_at"),
        ({"expires_at": int(time.time()) + 3 * DAY}, None, "expires_at"),
        ({"client_reference_id": "x" * 201}, None, "client_reference_id"),
        ({"client_reference_id": "ann@example.com"}, None, "client_reference_id"),
        ({"metadata": {"k" * 41: "v"}}, None, f"metadata[{'k' * 41}]"),
        ({"metadata": {"k": "v" * 501}}, None, "metadata[k]"),
        ({"metadata": {f"k{i}": "v" for i in range(51)}}, None, "metadata"),
        ({"customer_email": "a@example.com"}, None, "customer"),
        ({"allow_promotion_codes": True, "discounts": [{"coupon": "c"}]}, None, "allow_promotion_codes"),
        ({"automatic_tax": {"enabled": True}}, "customer_tax_location_invalid", "automatic_tax"),
        ({"expand": ["colour"]}, None, "expand"),
    ],
)
def test_what_stripe_refuses_is_refused(
    box: Sandbox, changes: dict[str, Any], code: str | None, param: str
) -> None:
    with refusal(code, param):
        box.session(**changes)


def test_an_inactive_price_cannot_be_bought(box: Sandbox) -> None:
    box.v1.prices.update(price := box.price(), {"active": False})
    with refusal(None, "line_items[0][price]"):
        box.session(line_items=[{"price": price, "quantity": 1}])


def test_lists_come_in_pages(box: Sandbox) -> None:
    made = [box.v1.customers.create({"email": f"{n}@example.com"}).id for n in range(5)][::-1]
    first = box.v1.customers.list({"limit": 2})
    assert ([c.id for c in first.data], first.has_more) == (made[:2], True)
    assert [c.id for c in first.auto_paging_iter()] == made
    back = box.v1.customers.list({"limit": 2, "ending_before": made[4]})
    assert ([c.id for c in back.data], back.has_more) == (made[2:4], True)
    assert not box.v1.customers.list({"created": {"gt": int(time.time()) + 9}}).data
    assert [c.id for c in box.v1.customers.list({"email": "3@example.com"}).data] == [made[1]]
    with refusal("parameter_invalid_integer", "limit"):
        box.v1.customers.list({"limit": 101})


def test_sessions_expire_on_demand_and_with_time(box: Sandbox) -> None:
    session = box.session()
    assert box.v1.checkout.sessions.expire(session.id).status == "expired"
    assert httpx.get(session.url).status_code == 410
    assert box.pay(session).status_code == 410
    with refusal():
        box.v1.checkout.sessions.expire(session.id)
    other = box.session(expires_at=int(time.time()) + 3600)
    box.control(action="advance", to=(datetime.now(UTC) + timedelta(hours=2)).isoformat())
    assert box.v1.checkout.sessions.retrieve(other.id).status == "expired"
    box.settled()
    assert box.receiver.types().count("checkout.session.expired") == 2


def test_a_trial_and_a_welcome_code(box: Sandbox) -> None:
    code = box.v1.promotion_codes.list({"code": "welcome10", "active": True}).data[0]
    session = box.session(discounts=[{"promotion_code": code.id}])
    assert session.amount_total == 719
    box.pay(session)
    assert box.v1.invoices.list({"customer": session.customer}).data[0].amount_paid == 719
    trial = box.subscribed(
        subscription_data={"trial_period_days": 7},
        customer=box.v1.customers.create({"email": "b@b.example"}).id,
    )
    assert trial.status == "trialing"
    assert trial.trial_end == trial["items"].data[0].current_period_end
    box.control(action="advance", to=(datetime.now(UTC) + timedelta(days=8)).isoformat())
    after = box.v1.subscriptions.retrieve(trial.id, {"expand": ["latest_invoice"]})
    assert (after.status, after.latest_invoice.amount_paid) == ("active", 799)  # type: ignore[union-attr]
    box.settled()
    assert "customer.subscription.trial_will_end" in box.receiver.types()


def test_what_a_bank_and_a_customer_do(box: Sandbox) -> None:
    subscription = box.subscribed()
    first_end = subscription["items"].data[0].current_period_end
    renewed = box.control(email="Ann@example.com", action="renew")["subscription"]
    assert renewed["items"]["data"][0]["current_period_end"] > first_end
    failed = box.control(email="ann@example.com", action="fail_payment")["subscription"]
    assert failed["status"] == "past_due"
    assert box.v1.invoices.retrieve(failed["latest_invoice"]).status == "open"
    box.control(422, email="ann@example.com", action="fail_payment")
    recovered = box.control(subscription=subscription.id, action="recover")["subscription"]
    assert recovered["status"] == "active"
    assert box.v1.invoices.retrieve(failed["latest_invoice"]).status == "paid"
    paused = box.control(customer=str(subscription.customer), action="pause")["subscription"]
    assert paused["pause_collection"] == {"behavior": "void", "resumes_at": None}
    assert box.control(email="ann@example.com", action="resume")["subscription"]["pause_collection"] is None
    ending = box.control(email="ann@example.com", action="cancel_at_period_end")["subscription"]
    assert ending["cancel_at_period_end"]
    box.control(email="ann@example.com", action="refund")
    assert box.v1.refunds.list().data[0].amount == 799
    box.control(422, email="ann@example.com", action="refund")
    assert box.control(email="ann@example.com", action="cancel")["subscription"]["status"] == "canceled"
    assert not box.v1.subscriptions.list({"customer": str(subscription.customer)}).data
    box.settled()
    for kind in (
        "invoice.payment_failed",
        "customer.subscription.updated",
        "charge.refunded",
        "refund.created",
        "customer.subscription.deleted",
    ):
        assert kind in box.receiver.types()
    updated = next(
        e
        for e in box.receiver.events
        if e.type == "customer.subscription.updated" and e.data.object["status"] == "past_due"
    )
    assert updated.data.previous_attributes is not None
    assert updated.data.previous_attributes["status"] == "active"


def test_a_lost_dispute_and_orders_nobody_understands(box: Sandbox) -> None:
    box.subscribed()
    box.control(email="ann@example.com", action="dispute_lost")
    dispute = box.v1.disputes.list().data[0]
    assert dispute.status == "lost"
    assert box.v1.charges.retrieve(str(dispute.charge)).disputed
    box.settled()
    assert "charge.dispute.closed" in box.receiver.types()
    box.control(404, email="nobody@example.com", action="renew")
    box.control(422, email="ann@example.com", action="explode")
    box.control(422, action="renew")
    box.control(422, action="advance", to="2020-01-01T00:00:00Z")
    assert httpx.post(f"{box.base}/control", content=b"{").status_code == 400


def test_time_renews_retries_and_ends(box: Sandbox) -> None:
    subscription = box.subscribed()
    start = datetime.now(UTC)
    box.control(action="advance", to=(start + timedelta(days=65)).isoformat())
    invoices = box.v1.invoices.list({"subscription": subscription.id}).data
    assert [invoice.billing_reason for invoice in invoices] == [
        "subscription_cycle",
        "subscription_cycle",
        "subscription_create",
    ]
    assert box.v1.customers.create({}).created > time.time() + 64 * DAY
    # The first events are older than the 30 days Stripe keeps them.
    assert "customer.created" not in {
        e.type
        for e in box.v1.events.list({"limit": 100, "created": {"lt": int(start.timestamp()) + DAY}}).data
    }
    box.control(email="ann@example.com", action="fail_payment")
    box.control(action="advance", to=(start + timedelta(days=85)).isoformat())
    ended = box.v1.subscriptions.retrieve(subscription.id)
    assert ended.status == "canceled"
    assert ended.cancellation_details is not None
    assert ended.cancellation_details.reason == "payment_failed"
    box.settled()
    assert box.receiver.types().count("invoice.payment_failed") == 4


def test_what_the_api_changes_about_a_subscription(box: Sandbox) -> None:
    subscription = box.subscribed()
    (item,) = subscription["items"].data
    box.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": item.id, "price": box.price("premium_monthly")}],
            "proration_behavior": "always_invoice",
            "metadata": {"plan": "premium", "user_id": ""},
        },
    )
    after = box.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert after["items"].data[0].price.lookup_key == "premium_monthly"
    assert after.metadata.to_dict() == {"plan": "premium"}
    assert 690 <= after.latest_invoice.amount_paid <= 700  # type: ignore[union-attr]
    assert box.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True}).cancel_at
    assert box.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": False}).cancel_at is None
    assert box.v1.subscriptions.cancel(subscription.id).status == "canceled"
    with refusal("resource_missing", "id", 404):
        box.v1.subscriptions.cancel(subscription.id)


def test_the_portal_cancels_and_takes_back(box: Sandbox) -> None:
    subscription = box.subscribed()
    portal = box.v1.billing_portal.sessions.create(
        {"customer": str(subscription.customer), "return_url": "http://127.0.0.1/account"}
    )
    assert "Cancel at the period" in httpx.get(portal.url).text
    for action, ending in (("cancel", True), ("resume", False)):
        answer = httpx.post(portal.url, data={"subscription": subscription.id, "action": action})
        assert answer.status_code == 303
        assert box.v1.subscriptions.retrieve(subscription.id).cancel_at_period_end is ending
    assert httpx.post(portal.url, data={"subscription": "sub_other", "action": "cancel"}).status_code == 400


def test_a_rental_is_paid_once(box: Sandbox) -> None:
    session = box.session(
        mode="payment",
        subscription_data=None,
        line_items=[
            {
                "quantity": 1,
                "price_data": {"currency": "usd", "unit_amount": 399, "product_data": {"name": "A film"}},
            }
        ],
        payment_intent_data={"metadata": {"video_id": "v1"}},
    )
    assert box.pay(session).status_code == 303
    paid = box.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent.latest_charge"]})
    intent: Any = paid.payment_intent
    assert (intent.status, intent.metadata["video_id"], intent.latest_charge.amount) == (
        "succeeded",
        "v1",
        399,
    )
    refund = box.v1.refunds.create({"payment_intent": intent.id, "amount": 100})
    assert refund.status == "succeeded"
    with refusal(None, "amount"):
        box.v1.refunds.create({"payment_intent": intent.id, "amount": 300})


def test_a_deleted_customer_is_gone_with_its_subscriptions(box: Sandbox) -> None:
    subscription = box.subscribed()
    box.v1.customers.delete(str(subscription.customer))
    assert box.v1.customers.retrieve(str(subscription.customer)).deleted
    assert box.v1.subscriptions.retrieve(subscription.id).status == "canceled"
    with refusal("resource_missing", "customer"):
        box.session(customer=str(subscription.customer))
    box.settled()
    assert "customer.deleted" in box.receiver.types()


def test_webhooks_are_retried_and_sent_again_on_demand(box: Sandbox) -> None:
    box.receiver.status = 500
    customer = box.v1.customers.create({"email": "a@example.com"})
    until(lambda: box.receiver.refused >= 2)
    assert box.deliveries()[0]["last_status"] == 500
    box.receiver.status = 200
    box.settled()
    (event,) = box.receiver.events
    assert event.data.object["id"] == customer.id
    delivery = box.deliveries()[0]
    assert delivery["attempts"] >= 3
    answer = httpx.post(f"{box.base}/deliveries/{delivery['id']}/redeliver")
    assert answer.status_code == 202
    until(lambda: len(box.receiver.events) == 2)
    assert box.receiver.events[1].id == event.id
    assert httpx.post(f"{box.base}/deliveries/dlv_x/redeliver").status_code == 404


def test_a_restart_forgets_nothing(tmp_path: Path, port: int) -> None:
    receiver = Receiver(status=503)
    before = Sandbox(tmp_path / "sandbox.sqlite", port, receiver)
    before.control(action="advance", to=(datetime.now(UTC) + timedelta(days=2)).isoformat())
    customer = before.v1.customers.create({"email": "a@example.com"}, {"idempotency_key": "k"})
    price = before.price()
    before.stop()
    receiver.status = 200
    after = Sandbox(tmp_path / "sandbox.sqlite", port, receiver)
    try:
        assert (
            after.v1.customers.create({"email": "a@example.com"}, {"idempotency_key": "k"}).id == customer.id
        )
        assert after.price() == price
        assert after.v1.customers.create({}).created > time.time() + DAY
        after.settled()
        assert receiver.types().count("customer.created") == 2
    finally:
        after.stop()


def test_every_object_is_shaped_as_the_library_declares(box: Sandbox) -> None:
    box.subscribed()
    box.control(email="ann@example.com", action="refund")
    box.control(email="ann@example.com", action="renew")
    box.control(email="ann@example.com", action="dispute_lost")
    types: dict[str, Any] = {
        "charge": stripe.Charge,
        "checkout.session": stripe.checkout.Session,
        "coupon": stripe.Coupon,
        "customer": stripe.Customer,
        "dispute": stripe.Dispute,
        "event": stripe.Event,
        "invoice": stripe.Invoice,
        "invoice_payment": stripe.InvoicePayment,
        "payment_intent": stripe.PaymentIntent,
        "payment_method": stripe.PaymentMethod,
        "price": stripe.Price,
        "product": stripe.Product,
        "promotion_code": stripe.PromotionCode,
        "refund": stripe.Refund,
        "subscription": stripe.Subscription,
    }
    wrong = []
    for kind, declared in types.items():
        things = box.state.all(f"stripe.{kind}")
        assert things, kind
        nested = [(kind, declared, thing) for thing in things]
        if kind == "subscription":
            nested += [("item", stripe.SubscriptionItem, t["items"]["data"][0]) for t in things]
        if kind == "invoice":
            nested += [("line", stripe.InvoiceLineItem, t["lines"]["data"][0]) for t in things]
        for name, declaration, thing in nested:
            fields = {n: h for n, h in declaration.__annotations__.items() if n != "OBJECT_NAME"}
            needed = {n for n, h in fields.items() if type(None) not in typing.get_args(h)}
            seen = {n for n in thing if not n.startswith("_")}
            wrong += [f"{name} lacks {n}" for n in needed - seen] + [
                f"{name} has {n}" for n in seen - fields.keys()
            ]
    assert not wrong, json.dumps(sorted(set(wrong)), indent=1)
