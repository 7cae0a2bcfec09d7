"""What happens to a subscription at Stripe happens to access here, through the real webhooks."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from lib.database.schema import billing_accounts
from tests.factories import Factory, Person, wait_for

GRACE = timedelta(days=3)
RENEWAL_GRACE = timedelta(hours=24)
Account = dict[str, dict[str, Any]]


@pytest.fixture
def video_id(make: Factory) -> uuid.UUID:
    return make.video(level=1)


def account(person: Person) -> Account:
    found: Account = person.api.get("account").json()
    return found


def until(person: Person, holds: Callable[[Account], object]) -> Account:
    """The account, once it is as expected: two seconds are what a webhook may take, on a slow machine more."""

    def found() -> Account | None:
        now = account(person)
        return now if holds(now) else None

    return wait_for(found, 10) or {}


def playback(person: Person, video_id: uuid.UUID) -> tuple[int, str]:
    """Status and, of a refusal, the code; the account and the answer to a viewer must agree."""
    response = person.api.get("get-playback", video_id=str(video_id))
    return response.status_code, response.json().get("code", "")


WATCHES = (200, "")
DENIED = (402, "subscription_required")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_renewal_prolongs_access(make: Factory) -> None:
    person = make.subscriber()
    before = account(person)
    assert before["entitlement"]["reason"] == "subscription"
    end = moment(before["subscription"]["current_period_end"])
    assert moment(before["entitlement"]["until"]) == end + RENEWAL_GRACE
    make.control(email=person.email, action="renew")
    after = until(person, lambda now: moment(now["subscription"]["current_period_end"]) > end)
    assert moment(after["entitlement"]["until"]) > end + RENEWAL_GRACE


def test_a_missed_payment_is_forgiven_for_a_while(make: Factory, video_id: uuid.UUID) -> None:
    person = make.subscriber()
    make.control(email=person.email, action="fail_payment")
    found = until(person, lambda now: now["entitlement"]["reason"] == "grace")
    assert found["subscription"]["status"] == "past_due"
    assert found["entitlement"]["active"] is True
    assert abs(moment(found["entitlement"]["until"]) - datetime.now(UTC) - GRACE) < timedelta(minutes=2)
    assert playback(person, video_id) == WATCHES
    make.control(email=person.email, action="recover")
    until(person, lambda now: now["entitlement"]["reason"] == "subscription")


def test_to_cancel_at_the_end_keeps_access_to_the_end(make: Factory, video_id: uuid.UUID) -> None:
    person = make.subscriber()
    make.control(email=person.email, action="cancel_at_period_end")
    found = until(person, lambda now: now["subscription"]["cancel_at_period_end"])
    assert found["entitlement"]["active"] is True
    assert found["entitlement"]["until"] == found["subscription"]["current_period_end"]
    assert playback(person, video_id) == WATCHES
    make.control(email=person.email, action="resume")
    until(person, lambda now: not now["subscription"]["cancel_at_period_end"])


def test_canceled_at_once(make: Factory, video_id: uuid.UUID) -> None:
    person = make.subscriber()
    assert playback(person, video_id) == WATCHES
    make.control(email=person.email, action="cancel")
    found = until(person, lambda now: not now["entitlement"]["active"])
    assert (found["subscription"]["status"], found["entitlement"]["reason"]) == ("canceled", "canceled")
    assert playback(person, video_id) == DENIED


def test_paused_and_resumed(make: Factory, video_id: uuid.UUID) -> None:
    person = make.subscriber()
    make.control(email=person.email, action="pause")
    until(person, lambda now: now["entitlement"]["reason"] == "paused")
    assert playback(person, video_id) == DENIED
    make.control(email=person.email, action="resume")
    until(person, lambda now: now["entitlement"]["reason"] == "subscription")
    assert playback(person, video_id) == WATCHES


@pytest.mark.parametrize(("action", "reason"), [("refund", "refunded"), ("dispute_lost", "disputed")])
def test_money_taken_back(make: Factory, video_id: uuid.UUID, action: str, reason: str) -> None:
    person = make.subscriber()
    make.control(email=person.email, action=action)
    found = until(person, lambda now: not now["entitlement"]["active"])
    assert found["entitlement"] == {
        "active": False, "plan": None, "level": 0, "reason": reason, "until": None,
    }  # fmt: skip
    assert playback(person, video_id) == DENIED
    # The subscription goes on; what is paid next counts.
    make.control(email=person.email, action="renew")
    until(person, lambda now: now["entitlement"]["active"])


def test_a_deleted_customer(make: Factory, video_id: uuid.UUID) -> None:
    person = make.subscriber()
    with make.database.transaction() as tx:
        customer = tx.scalar(
            select(billing_accounts.c.stripe_customer_id).where(billing_accounts.c.user_id == person.id)
        )
    deleted = httpx.delete(
        f"{make.stack.base_url}/sandbox/stripe/v1/customers/{customer}",
        headers={"Authorization": f"Bearer {make.stack.settings.stripe_secret_key}"},
    )
    assert deleted.status_code == 200, deleted.text
    until(person, lambda now: not now["entitlement"]["active"])
    assert playback(person, video_id) == DENIED
    # And may come back.
    make.pay(person)
    until(person, lambda now: now["entitlement"]["active"])
    assert playback(person, video_id) == WATCHES


def test_the_plan_decides_what_may_be_watched(make: Factory, video_id: uuid.UUID) -> None:
    film = make.video(level=2)
    basic, premium = make.subscriber("basic"), make.subscriber("premium")
    assert playback(basic, video_id) == WATCHES
    assert playback(basic, film) == (403, "plan_upgrade_required")
    assert playback(premium, video_id) == WATCHES
    assert playback(premium, film) == WATCHES
    assert playback(make.person(), film) == DENIED
