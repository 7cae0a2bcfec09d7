"""What the Stripe stand-in does when it is told to be out, and its webhooks late, doubled, lost or thin."""

import json
from collections import Counter
from typing import Any

import httpx
import pytest
import stripe

from lib.billing.told import told
from tests.integration.sandbox.test_stripe_sandbox import (
    KEY,
    SECRET,
    Sandbox,
    box,
    port,
    until,
)

__all__ = ["box", "port"]


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("429", stripe.RateLimitError),
        ("500", stripe.APIError),
        ("hang", stripe.APIConnectionError),
        ("refuse", stripe.APIConnectionError),
    ],
)
def test_an_outage(box: Sandbox, mode: str, error: type[Exception]) -> None:
    client = stripe.StripeClient(
        KEY, base_addresses={"api": box.base}, http_client=stripe.RequestsClient(timeout=0.5)
    )
    box.control(action="outage", mode=mode, seconds=60)
    with pytest.raises(error):
        client.v1.customers.list()
    box.control(action="outage", mode="none")
    assert client.v1.customers.list().data == []


def test_an_outage_ends_by_itself(box: Sandbox) -> None:
    box.control(action="outage", mode="500", seconds=0.2)

    def answers() -> bool:
        found = httpx.get(f"{box.base}/v1/customers", headers={"Authorization": f"Bearer {KEY}"})
        return found.status_code == 200

    until(answers)


@pytest.mark.parametrize(
    "order",
    [
        {"action": "outage", "mode": "rain"},
        {"action": "outage", "mode": "hang", "seconds": -1},
        {"action": "outage", "mode": "hang", "hours": 3},
        {"action": "webhooks", "lose": 101},
        {"action": "webhooks", "double": True},
        {"action": "webhooks", "form": "fat"},
        {"action": "webhooks", "chance": 3},
    ],
    ids=str,
)
def test_weather_that_cannot_be(box: Sandbox, order: dict[str, Any]) -> None:
    assert box.control(422, **order)["ok"] is False


def arrived(box: Sandbox) -> Counter[str]:
    return Counter(event.id for event in box.receiver.events)


def test_webhooks_are_lost_and_doubled(box: Sandbox) -> None:
    box.control(action="webhooks", lose=30, double=30, seed=7)
    for number in range(60):
        box.v1.customers.create({"email": f"ann{number}@example.com"})
    box.settled()
    counts = Counter(arrived(box).values())
    assert counts[2] > 0, "some came twice"
    assert 0 < sum(counts.values()) < 60, "some did not come"
    assert len(box.v1.events.list({"limit": 100}).data) == 60, "all of them happened"


def test_the_same_seed_is_the_same_weather(box: Sandbox) -> None:
    def came() -> list[int]:
        box.control(action="webhooks", lose=50, double=50, seed=11)
        before = arrived(box)
        made = [box.v1.customers.create({"email": "ann@example.com"}).id for _ in range(20)]
        box.settled()
        after = arrived(box) - before
        by_customer = {event.data.object["id"]: event.id for event in box.receiver.events}
        return [after[by_customer[one]] if one in by_customer else 0 for one in made]

    assert came() == came()


def test_webhooks_overtake_each_other(box: Sandbox) -> None:
    box.control(action="webhooks", delay=1, seed=3)
    made = [box.v1.customers.create({"email": "ann@example.com"}).id for _ in range(12)]
    until(lambda: len(box.receiver.events) == 12)
    assert [event.data.object["id"] for event in box.receiver.events] != made


def test_a_page_does_not_wait_for_a_webhook_that_is_lost(box: Sandbox) -> None:
    box.control(action="webhooks", lose=100, seed=1)
    assert box.pay(box.session()).status_code == 303


def test_thin_events_are_what_the_library_takes_for_such(box: Sandbox) -> None:
    box.control(action="webhooks", form="thin")
    box.subscribed()
    box.settled()
    happened = {event.id: event for event in box.v1.events.list({"limit": 100}).data}
    seen = set()
    for body, signature in box.receiver.thin:
        notification = box.client.parse_event_notification(body, signature, SECRET)
        ours = told(json.loads(body))
        snapshot = happened[ours.id]
        assert notification.type == f"v1.{snapshot.type}"
        assert ours.object_id == snapshot.data.object["id"]
        assert b"email" not in body
        seen.add(ours.id)
    assert seen == set(happened)


def test_the_bank_asks_first(box: Sandbox) -> None:
    """3-D Secure: no money before the cardholder has said yes."""
    session = box.session()
    asked = box.pay(session, "4000002500003155")
    assert asked.status_code == 200
    assert "Your bank asks" in asked.text
    assert box.v1.checkout.sessions.retrieve(session.id).status == "open"
    assert box.pay(session, "4000002500003155", authentication="fail").status_code == 402
    assert box.v1.checkout.sessions.retrieve(session.id).status == "open"
    assert box.pay(session, "4000002500003155", authentication="complete").status_code == 303
    assert box.v1.checkout.sessions.retrieve(session.id).status == "complete"
