"""Checkouts that cannot be doubled: by a double click, two tabs, a lost answer or a late webhook."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import Row, delete, select

from lib.billing.ports import CheckoutSession
from lib.billing.service import Checkouts
from lib.database.engine import Database
from lib.database.schema import billing_accounts, checkouts
from lib.errors import AlreadySubscribedError, InvalidPromotionCodeError, UnavailableError
from lib.web.ports import SystemClock
from tests.api import refused
from tests.billing import BASIC, Billing
from tests.factories import Factory, Person, wait_for
from tests.fakes.payments import FakePayments

DECLINED = "4000000000000002"


def rows(database: Database, user_id: uuid.UUID) -> list[Row[Any]]:
    """The account's checkouts, oldest first."""
    with database.transaction() as tx:
        found = select(checkouts).where(checkouts.c.user_id == user_id).order_by(checkouts.c.created_at)
        return list(tx.execute(found))


def at_stripe(make: Factory, person: Person) -> list[dict[str, Any]]:
    """What Stripe knows of the person's checkouts, oldest first."""
    with make.database.transaction() as tx:
        customer = tx.scalar(
            select(billing_accounts.c.stripe_customer_id).where(billing_accounts.c.user_id == person.id)
        )
    response = httpx.get(
        f"{make.stack.base_url}/sandbox/stripe/v1/checkout/sessions",
        params={"customer": customer, "limit": 100},
        headers={"Authorization": f"Bearer {make.stack.settings.stripe_secret_key}"},
    )
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["data"]
    return found[::-1]


# -- over HTTP --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [None, "premium"], ids=["the first ever", "after another plan"])
def test_a_double_click(make: Factory, before: str | None) -> None:
    person = make.person()
    if before is not None:
        person.api.post("create-checkout", {"plan": before})
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: person.api.post("create-checkout", {"plan": "basic"}), range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
    assert len({answer.text for answer in answers}) == 1
    assert all(answer.headers["cache-control"] == "no-store" for answer in answers)
    wanted = answers[0].json()["session_id"]
    assert [row.stripe_session_id for row in rows(make.database, person.id) if row.state == "open"] == [
        wanted
    ]
    open_there = [session["id"] for session in at_stripe(make, person) if session["status"] == "open"]
    assert open_there == [wanted]
    assert len(at_stripe(make, person)) == (1 if before is None else 2)


def test_two_tabs_with_two_plans(make: Factory) -> None:
    person = make.person()
    basic = person.api.post("create-checkout", {"plan": "basic"}).json()
    response = person.api.post("create-checkout", {"plan": "premium"})
    assert response.status_code == 201
    assert [session["status"] for session in at_stripe(make, person)] == ["expired", "open"]
    old, new = rows(make.database, person.id)
    assert (old.state, old.url, old.plan) == ("expired", None, "basic")
    assert (new.state, new.url, new.plan) == ("open", response.json()["checkout_url"], "premium")
    paid = httpx.post(basic["checkout_url"], data={"card": "4242424242424242"})
    assert paid.status_code == 410, "the old page takes no money any more"


def test_another_promotion_code_is_another_checkout(make: Factory) -> None:
    person = make.person()
    plain = person.api.post("create-checkout", {"plan": "basic"}).json()
    response = person.api.post("create-checkout", {"plan": "basic", "promotion_code": "WELCOME10"})
    assert response.status_code == 201
    assert response.json()["session_id"] != plain["session_id"]
    first, second = at_stripe(make, person)
    assert (first["status"], second["status"]) == ("expired", "open")
    assert (first["amount_total"], second["amount_total"]) == (799, 719)


def test_what_is_refused(make: Factory) -> None:
    person = make.person()
    refused(person.api.post("create-checkout", {"plan": "gold"}), 404, "unknown_plan")
    wrong = {"plan": "basic", "promotion_code": "WELCOME11"}
    refused(person.api.post("create-checkout", wrong), 422, "invalid_promotion_code")
    problem = refused(person.api.post("create-checkout", {"price": 1}), 422, "invalid_request")
    assert {error["field"] for error in problem["errors"]} == {"plan", "price"}
    refused(make.client().post("create-checkout", {"plan": "basic"}), 401, "invalid_token")
    assert rows(make.database, person.id) == []


def test_who_has_a_subscription_buys_no_second(make: Factory) -> None:
    person = make.subscriber("basic")
    for plan in ("basic", "premium"):
        refused(person.api.post("create-checkout", {"plan": plan}), 409, "already_subscribed")
    make.control(email=person.email, action="cancel")
    wait_for(lambda: not person.api.get("account").json()["entitlement"]["active"])
    assert person.api.post("create-checkout", {"plan": "premium"}).status_code == 201


def test_a_declined_card_leaves_the_page_open(make: Factory) -> None:
    person = make.person()
    assert make.pay(person, card=DECLINED).status_code == 402
    again = person.api.post("create-checkout", {"plan": "basic"})
    assert again.status_code == 200
    assert httpx.post(again.json()["checkout_url"], data={"card": "4242424242424242"}).status_code == 303
    wait_for(lambda: person.api.get("account").json()["entitlement"]["active"])


def test_the_return_from_the_page(make: Factory) -> None:
    person, stranger = make.person(), make.person()
    session_id = person.api.post("create-checkout", {"plan": "basic"}).json()["session_id"]
    nothing = person.api.post("confirm-checkout", {"session_id": session_id})
    assert nothing.status_code == 200
    assert nothing.json()["subscription"] is None
    assert nothing.json()["entitlement"]["active"] is False
    make.pay(person)
    confirmed = person.api.post("confirm-checkout", {"session_id": session_id}).json()
    assert (confirmed["entitlement"]["plan"], confirmed["subscription"]["status"]) == ("basic", "active")
    (row,) = rows(make.database, person.id)
    assert (row.state, row.url) == ("complete", None)
    body = {"session_id": session_id}
    refused(stranger.api.post("confirm-checkout", body), 404, "not_found")
    refused(person.api.post("confirm-checkout", {"session_id": "cs_test_x"}), 404, "not_found")
    refused(make.client().post("confirm-checkout", body), 401, "invalid_token")


# -- Idempotency-Key --------------------------------------------------------------------------------------


def keyed(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


def test_the_same_key_is_the_same_answer(make: Factory) -> None:
    person = make.person()
    first = person.api.post("create-checkout", {"plan": "basic"}, headers=keyed("k"))
    again = person.api.post("create-checkout", {"plan": "basic"}, headers=keyed("k"))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    other = person.api.post("create-checkout", {"plan": "premium"}, headers=keyed("k"))
    refused(other, 422, "idempotency_key_reused")
    assert len(at_stripe(make, person)) == 1


def test_a_key_belongs_to_a_person_and_a_function(make: Factory) -> None:
    key, body = uuid.uuid4().hex, {"title": "A film"}
    admin, person = make.admin(), make.person()
    uploaded = admin.api.post("upload-asset", body, headers=keyed(key))
    assert uploaded.status_code == 201
    mine = admin.api.post("create-checkout", {"plan": "basic"}, headers=keyed(key))
    assert mine.status_code in (200, 201)
    theirs = person.api.post("create-checkout", {"plan": "basic"}, headers=keyed(key))
    assert theirs.json()["session_id"] != mine.json()["session_id"]
    again = admin.api.post("upload-asset", body, headers=keyed(key))
    assert again.json() == uploaded.json(), "no second video"


def test_a_refusal_frees_the_key(make: Factory) -> None:
    person = make.person()
    wrong = {"plan": "basic", "promotion_code": "WELCOME11"}
    refused(person.api.post("create-checkout", wrong, headers=keyed("k")), 422, "invalid_promotion_code")
    assert person.api.post("create-checkout", {"plan": "basic"}, headers=keyed("k")).status_code == 201


def test_one_key_many_times_at_once(make: Factory) -> None:
    person = make.person()

    def click(_: int) -> httpx.Response:
        return person.api.post("create-checkout", {"plan": "basic"}, headers=keyed("k"))

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(click, range(6)))
    # Whoever comes while the first is being worked on is asked to come again.
    assert {answer.status_code for answer in answers} <= {201, 503}
    # Not the text: the database keeps an answer's members in an order of its own.
    assert len({tuple(sorted(answer.json().items())) for answer in answers if answer.status_code == 201}) == 1
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
    assert click(0).status_code == 201
    assert len(at_stripe(make, person)) == 1


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_that_is_none(make: Factory, key: str) -> None:
    response = make.person().api.post("create-checkout", {"plan": "basic"}, headers=keyed(key))
    refused(response, 422, "invalid_request")


# -- in this process, where Stripe can be made to do anything -----------------------------------------------


def open_page(billing: Billing, user_id: uuid.UUID, plan: str = "basic") -> tuple[CheckoutSession, bool]:
    return billing.checkouts.open(user_id, plan_code=plan, promotion_code=None)


@pytest.mark.parametrize("plan", ["basic", "premium"])
def test_paid_but_the_webhook_is_late(database_apart: Database, plan: str) -> None:
    payments = FakePayments()
    billing = Billing(database_apart, payments)
    user_id = billing.user()
    session, _ = open_page(billing, user_id)
    payments.pay(session.id)
    with pytest.raises(AlreadySubscribedError):
        open_page(billing, user_id, plan)
    assert payments.calls.count("open_checkout") == 1
    assert billing.entitlement(user_id)["plan"] == "basic", "what was found is kept, webhook or not"
    assert rows(database_apart, user_id)[0].state == "complete"


def test_an_expired_page_is_replaced(database_apart: Database) -> None:
    payments = FakePayments()
    billing = Billing(database_apart, payments)
    user_id = billing.user()
    first, _ = open_page(billing, user_id)
    payments.expire_checkout(first.id)
    second, new = open_page(billing, user_id)
    assert new
    assert second.id != first.id
    assert [row.state for row in rows(database_apart, user_id)] == ["expired", "open"]


def test_a_page_with_a_former_price_is_replaced(database_apart: Database) -> None:
    payments = FakePayments()
    billing = Billing(database_apart, payments)
    user_id = billing.user()
    first, _ = open_page(billing, user_id)
    assert open_page(billing, user_id) == (first, False)
    payments.prices[BASIC.lookup_key] = "price_dearer"
    second, new = open_page(billing, user_id)
    assert (new, second.offer) == (True, "price_dearer")
    assert payments.checkout(first.id).state == "expired"
    assert payments.pay(second.id).price_id == "price_dearer"


def test_after_a_restore_no_page_comes_back_that_has_ended(make: Factory) -> None:
    """The counter of attempts is wound back, and Stripe answers a key for a day."""
    person = make.person()
    first = person.api.post("create-checkout", {"plan": "basic"}).json()
    person.api.post("create-checkout", {"plan": "premium"})
    with make.database.transaction() as tx:
        tx.execute(delete(checkouts).where(checkouts.c.user_id == person.id))
    again = person.api.post("create-checkout", {"plan": "basic"})
    assert again.status_code == 201
    assert again.json()["session_id"] != first["session_id"]
    assert httpx.get(again.json()["checkout_url"]).status_code == 200


class LostAnswer(FakePayments):
    """The page is made, and then the connection, or the process, is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = True
        self.made: list[str] = []

    def open_checkout(self, **wanted: Any) -> CheckoutSession:
        made = super().open_checkout(**wanted)
        self.made.append(made.id)
        if self.lost:
            raise UnavailableError("The payment provider is out of reach")
        return made


def test_the_answer_is_lost_between_stripe_and_our_commit(database_apart: Database) -> None:
    payments = LostAnswer()
    billing = Billing(database_apart, payments)
    user_id = billing.user()
    with pytest.raises(UnavailableError):
        open_page(billing, user_id)
    assert rows(database_apart, user_id) == []
    payments.lost = False
    session, new = open_page(billing, user_id)
    assert new
    assert payments.made == [session.id, session.id], "the same page, and the same customer"
    assert [row.stripe_session_id for row in rows(database_apart, user_id)] == [session.id]


class DyingAfterTheCustomer(FakePayments):
    """The customer is made, and then the process is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.dies = True

    def create_customer(self, **wanted: Any) -> str:
        made = super().create_customer(**wanted)
        if self.dies:
            raise KeyboardInterrupt
        return made


def test_a_customer_that_was_made_and_lost_is_taken_by_the_next_page(database_apart: Database) -> None:
    payments = DyingAfterTheCustomer()
    billing = Billing(database_apart, payments)
    user_id = billing.user()
    with pytest.raises(KeyboardInterrupt):
        open_page(billing, user_id)
    (lost,) = payments.customers.values()
    payments.dies = False
    session, _ = open_page(billing, user_id)
    assert payments.asked_to_pay(session.id) == lost
    assert payments.calls.count("create_customer") == 1


def test_a_wrong_code_costs_no_customer(database_apart: Database) -> None:
    payments = FakePayments()
    billing = Billing(database_apart, payments)
    user_id = billing.user()
    with pytest.raises(InvalidPromotionCodeError):
        billing.checkouts.open(user_id, plan_code="basic", promotion_code="WELCOME11")
    session, _ = open_page(billing, user_id)
    assert payments.calls.count("create_customer") == 1, "the next one finds it"
    assert len(payments.customers) == 1
    assert rows(database_apart, user_id)[0].stripe_session_id == session.id


def test_a_trial_is_given_once(database_apart: Database) -> None:
    payments = FakePayments()
    billing = Billing(database_apart, payments)
    trying = replace(BASIC, trial_days=7)
    billing.checkouts = Checkouts(database_apart, payments, billing.sync, (trying,), SystemClock())
    user_id = billing.user()
    session, _ = open_page(billing, user_id)
    assert payments.pay(session.id).status == "trialing"
    customer = payments.asked_to_pay(session.id)
    with database_apart.transaction() as tx:
        billing.sync.account(tx, user_id, actor="test")
    payments.change(customer, status="canceled")
    with database_apart.transaction() as tx:
        billing.sync.account(tx, user_id, actor="test")
    session, _ = open_page(billing, user_id)
    assert payments.pay(session.id).status == "active"
