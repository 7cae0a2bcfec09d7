"""From Stripe's event to the entitlement: at least once in, exactly once in effect, in any order."""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text, update

from lib.billing import inbox as events_kept
from lib.billing import store
from lib.billing.ports import Customer, Film
from lib.billing.processing import MOST_FAILURES
from lib.database.engine import Database
from lib.database.schema import audit_log, entitlements, grants, inbox, subscriptions, videos
from lib.errors import (
    AlreadySubscribedError,
    InvalidSignatureError,
    MalformedRequestError,
    UnavailableError,
)
from tests.billing import BASIC, PREMIUM, Billing, event, signed
from tests.fakes.payments import FakePayments


@pytest.fixture
def billing(database_apart: Database) -> Billing:
    return Billing(database_apart, FakePayments())


def fake(billing: Billing) -> FakePayments:
    assert isinstance(billing.payments, FakePayments)
    return billing.payments


def row(billing: Billing, payload: bytes) -> Any:
    with billing.database.transaction() as tx:
        return tx.execute(select(inbox).where(inbox.c.event_id == json.loads(payload)["id"])).one()


def changes(billing: Billing, user_id: uuid.UUID) -> int:
    """How often the audit log says that the user's entitlement changed."""
    with billing.database.transaction() as tx:
        return tx.execute(
            select(func.count())
            .select_from(audit_log)
            .where(audit_log.c.user_id == user_id, audit_log.c.kind == "entitlement_changed")
        ).scalar_one()


def test_an_event_becomes_access(billing: Billing) -> None:
    user = billing.user()
    customer = billing.customer(user)
    fake(billing).subscribe(customer, BASIC)
    payload = event(customer)
    billing.deliver(payload)
    assert row(billing, payload).state == "received"
    assert billing.entitlement(user)["active"] is False
    assert billing.work() == 1
    assert billing.entitlement(user)["plan"] == "basic"
    assert row(billing, payload).state == "processed"


def test_a_duplicate_changes_nothing(billing: Billing) -> None:
    user = billing.user()
    customer = billing.customer(user)
    fake(billing).subscribe(customer, BASIC)
    payload = event(customer)
    billing.deliver(payload)
    billing.work()
    billing.deliver(payload)
    assert billing.work() == 0, "a processed event makes no task"
    assert changes(billing, user) == 1
    assert fake(billing).calls.count("customer") == 1


def test_a_redelivery_before_it_was_processed_enqueues_again(billing: Billing) -> None:
    customer = billing.customer(billing.user())
    payload = event(customer)
    billing.deliver(payload)
    billing.deliver(payload)
    names = {task.name for task in billing.fake_tasks.queued}
    assert len(names) == 2, "the queue remembers names: each try needs a new one"
    assert billing.work() == 2
    assert fake(billing).calls.count("customer") == 1, "the second task finds it done"


def test_a_redelivery_waits_for_nobody_that_works_on_the_event(billing: Billing) -> None:
    payload = event(billing.customer(billing.user()))
    billing.deliver(payload)
    with billing.database.transaction() as tx:
        # As process-task does, for as long as Stripe takes to answer.
        assert events_kept.lock_event(tx, json.loads(payload)["id"]) is not None
        began = time.monotonic()
        billing.deliver(payload)
        assert time.monotonic() - began < 1
    assert billing.work() == 1, "who works on it sees to it"


def test_accounts_that_pay_the_same_price_do_not_wait_for_each_other(billing: Billing) -> None:
    sold = {"price_of_many": "basic"}
    with billing.database.transaction() as tx:
        store.remember_prices(tx, sold)
    with billing.database.transaction() as tx, billing.database.transaction() as other:
        store.remember_prices(tx, sold)
        other.execute(text("SET LOCAL lock_timeout = '500ms'"))
        store.remember_prices(other, sold)


def test_two_tasks_for_one_event_at_once(billing: Billing) -> None:
    user = billing.user()
    customer = billing.customer(user)
    fake(billing).subscribe(customer, BASIC)
    payload = event(customer)
    for _ in range(8):
        billing.deliver(payload)
    tasks = [dict(task.body) for task in billing.fake_tasks.queued]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(billing.events.process, tasks))
    assert fake(billing).calls.count("customer") == 1
    assert changes(billing, user) == 1


def test_a_payment_is_asked_after_as_a_film_s_too(billing: Billing) -> None:
    """The page may be one that our rows do not know, as after the database was built anew."""
    user = billing.user()
    customer = billing.customer(user)
    billing.deliver(event(customer))
    billing.work()
    film = Film(uuid.uuid4(), "A film", 399, "usd", None)
    with billing.database.transaction() as tx:
        tx.execute(insert(videos).values(id=film.id, title="A film", level=1, published=True, provider="mux"))
    page = fake(billing).open_film_checkout(
        customer_id=customer, user_id=user, film=film, promotion_code=None, attempt=uuid.uuid4().hex
    )
    fake(billing).pay_film(page.id)
    bought = select(grants.c.withheld).where(grants.c.user_id == user)
    for type_, withheld in (("checkout.session.completed", None), ("charge.refunded", "refunded")):
        billing.deliver(event(customer, type_))
        billing.work()
        with billing.database.transaction() as tx:
            assert list(tx.scalars(bought)) == [withheld]
        fake(billing).take_back_film(page.id, "refunded")


class SlowPayments(FakePayments):
    """Lets the test look at who is fetching: the fetch must come after the lock."""

    def __init__(self) -> None:
        super().__init__()
        self.fetching = 0
        self.most_at_once = 0
        self.guard = threading.Lock()
        self.proceed = threading.Event()

    def customer(self, customer_id: str, *, films: bool = False) -> Customer:
        with self.guard:
            self.fetching += 1
            self.most_at_once = max(self.most_at_once, self.fetching)
        self.proceed.wait(0.3)
        found = super().customer(customer_id, films=films)
        with self.guard:
            self.fetching -= 1
        return found


def test_two_events_of_one_account_at_once_take_turns(database_apart: Database) -> None:
    """Of two syncs the later one to write must be the later one to fetch."""
    payments = SlowPayments()
    billing = Billing(database_apart, payments)
    user = billing.user()
    customer = billing.customer(user)
    payments.subscribe(customer, BASIC)
    for _ in range(3):
        billing.deliver(event(customer))
    tasks = [dict(task.body) for task in billing.fake_tasks.queued]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(billing.events.process, tasks))
    assert payments.most_at_once == 1
    assert billing.entitlement(user)["plan"] == "basic"


def test_order_does_not_matter(billing: Billing) -> None:
    """`deleted` overtakes `updated`: what counts is what Stripe says when asked."""
    user = billing.user()
    customer = billing.customer(user)
    fake(billing).subscribe(customer, BASIC)
    late = event(customer, "customer.subscription.updated")
    fake(billing).change(customer, status="canceled")
    billing.deliver(event(customer, "customer.subscription.deleted"))
    billing.work()
    billing.deliver(late)
    billing.work()
    assert billing.entitlement(user) == {
        "active": False, "plan": None, "level": 0, "reason": "canceled", "until": None,
    }  # fmt: skip


def test_what_the_payload_says_is_not_believed(billing: Billing) -> None:
    user = billing.user()
    customer = billing.customer(user)
    lie = event(
        customer,
        data={"object": {"id": "sub_1", "object": "subscription", "customer": customer, "status": "active"}},
    )
    billing.deliver(lie)
    billing.work()
    assert billing.entitlement(user)["active"] is False


@pytest.mark.parametrize("type_", ["invoice.created", "payment_intent.succeeded", "something.new"])
def test_other_types_are_kept_and_ignored(billing: Billing, type_: str) -> None:
    payload = event(billing.customer(billing.user()), type_)
    billing.deliver(payload)
    assert row(billing, payload).state == "ignored"
    assert billing.work() == 0


@pytest.mark.parametrize("customer", ["cus_of_another_product", None])
def test_events_of_foreign_customers_are_acknowledged(billing: Billing, customer: str | None) -> None:
    payload = event(customer or "", data={"object": {"id": "sub_1", "customer": customer}})
    billing.deliver(payload)
    billing.work()
    assert row(billing, payload).state == "ignored"


def test_a_thin_event_is_read(billing: Billing) -> None:
    customer = billing.customer(billing.user())
    payload = event(
        "",
        "v1.customer.deleted",
        object="v2.core.event",
        data={},
        related_object={"id": customer, "type": "customer", "url": "/v1/customers/x"},
    )
    billing.deliver(payload)
    assert (row(billing, payload).customer_id, row(billing, payload).state) == (customer, "received")


def test_provider_down_leaves_the_event_for_the_next_try(billing: Billing) -> None:
    user = billing.user()
    customer = billing.customer(user)
    fake(billing).subscribe(customer, BASIC)
    payload = event(customer)
    billing.deliver(payload)
    task = dict(billing.fake_tasks.queued[0].body)
    fake(billing).down = True
    for _ in range(MOST_FAILURES + 5):
        with pytest.raises(UnavailableError):
            billing.events.process(task)
    assert (row(billing, payload).state, row(billing, payload).attempts) == ("received", 0)
    assert row(billing, payload).last_error == "UnavailableError"
    fake(billing).down = False
    billing.events.process(task)
    assert (row(billing, payload).state, row(billing, payload).last_error) == ("processed", None)
    assert billing.entitlement(user)["active"] is True


def test_queue_down_leaves_the_event_to_reconcile(billing: Billing) -> None:
    user = billing.user()
    customer = billing.customer(user)
    fake(billing).subscribe(customer, BASIC)
    payload = event(customer)
    billing.fake_tasks.down = True
    billing.deliver(payload)  # answered all the same: the row is safe
    assert row(billing, payload).state == "received"
    billing.fake_tasks.down = False
    billing.left.reconcile()
    assert billing.work() == 0, "too young to be called left"
    age(billing, payload)
    assert billing.left.reconcile()["events_enqueued"] >= 1
    billing.work()
    assert billing.entitlement(user)["active"] is True


def age(billing: Billing, payload: bytes) -> None:
    """Makes the event's last task an old one."""
    with billing.database.transaction() as tx:
        tx.execute(
            update(inbox)
            .where(inbox.c.event_id == row(billing, payload).event_id)
            .values(enqueued_at=datetime.now(UTC) - timedelta(minutes=5))
        )


def test_reconcile_leaves_a_running_task_alone(billing: Billing) -> None:
    customer = billing.customer(billing.user())
    payload = event(customer)
    billing.deliver(payload)
    age(billing, payload)
    with locked(billing.database, payload):
        billing.fake_tasks.queued.clear()
        billing.left.reconcile()
        event_id = row(billing, payload).event_id
        assert event_id not in {task.body["event_id"] for task in billing.fake_tasks.queued}


@contextmanager
def locked(database: Database, payload: bytes) -> Iterator[None]:
    with database.transaction() as tx:
        tx.execute(select(inbox).where(inbox.c.event_id == json.loads(payload)["id"]).with_for_update()).one()
        yield


def test_an_upgrade_replaces_the_plan(billing: Billing) -> None:
    user = billing.user()
    customer = billing.customer(user)
    fake(billing).subscribe(customer, BASIC)
    billing.deliver(event(customer))
    billing.work()
    fake(billing).change(customer, lookup_key=PREMIUM.lookup_key)
    billing.deliver(event(customer))
    billing.work()
    assert billing.entitlement(user)["plan"] == "premium"
    with billing.database.transaction() as tx:
        found = tx.execute(select(subscriptions.c.plan).where(subscriptions.c.user_id == user)).scalars()
        assert list(found) == ["premium"]


@pytest.mark.parametrize(
    ("type_", "how"), [("refund.updated", "refunded"), ("charge.dispute.closed", "disputed")]
)
def test_events_about_a_payment_name_no_customer(billing: Billing, type_: str, how: str) -> None:
    user = billing.user()
    customer = billing.customer(user)
    fake(billing).subscribe(customer, BASIC)
    billing.deliver(event(customer))
    billing.work()
    taken_id = fake(billing).take_back(customer, how)
    payload = event("", type_, data={"object": {"id": taken_id, "object": "a thing"}})
    billing.deliver(payload)
    billing.work()
    assert row(billing, payload).state == "processed"
    assert billing.entitlement(user)["reason"] == how


def test_a_status_that_is_new_gives_nothing_and_is_told(
    billing: Billing, capsys: pytest.CaptureFixture[str]
) -> None:
    user = billing.user()
    customer = billing.customer(user)
    found = fake(billing).subscribe(customer, BASIC, status="on_holiday")
    sync(billing, user)
    assert billing.entitlement(user)["active"] is False
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "on_holiday" in line]
    assert [(line["severity"], line["subscription"]) for line in lines] == [("ERROR", found.id)]


def test_a_refund_that_failed_is_told_to_operators(
    billing: Billing, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its money is with us again, and who was promised it hears of nothing."""
    user = billing.user()
    customer = billing.customer(user)
    fake(billing).subscribe(customer, BASIC)
    refund = fake(billing).take_back(customer, "refunded")
    fake(billing).change(customer, taken_back=None)
    billing.deliver(event("", "refund.failed", data={"object": {"id": refund, "object": "refund"}}))
    billing.work()
    assert billing.entitlement(user)["active"] is True
    with billing.database.transaction() as tx:
        told = select(audit_log).where(audit_log.c.user_id == user, audit_log.c.kind == "refund_failed")
        assert tx.execute(told).one().detail == {"refund": refund}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if refund in line]
    assert [line["severity"] for line in lines] == ["ERROR"]


def test_deleted_customer_loses_access(billing: Billing) -> None:
    user = billing.user()
    customer = billing.customer(user)
    fake(billing).subscribe(customer, BASIC)
    billing.deliver(event(customer))
    billing.work()
    fake(billing).delete(customer)
    billing.deliver(event(customer, "customer.deleted"))
    billing.work()
    assert billing.entitlement(user)["active"] is False


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=,v1=",
        "v1=00",
        "t=1",
        "nonsense",
        "t=99999999999999999999,v1=00",
        "t=-5,v1=00",
        "t=１２３,v1=00",
        "é=1",
    ],
)
def test_headers_that_sign_nothing(billing: Billing, header: str) -> None:
    with pytest.raises(InvalidSignatureError):
        billing.inbox.receive(event("cus_1"), header)


def test_only_a_present_signature_of_this_body_by_this_secret(billing: Billing) -> None:
    import time

    payload, now = event("cus_1"), time.time()
    wrong = {
        "another secret": signed(payload, secret="whsec_other"),
        "old": signed(payload, at=now - 301),
        "of the future": signed(payload, at=now + 301 + 5),
        "another body": signed(payload + b" "),
    }
    for header in wrong.values():
        with pytest.raises(InvalidSignatureError):
            billing.inbox.receive(payload, header)
    good = signed(payload)
    billing.inbox.receive(payload, good + ",v1=" + "0" * 64)
    billing.inbox.receive(payload, good.replace(",v1=", ",v0=abc,v1=" + "0" * 64 + ",v1="))


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"id": 5, "type": "x", "data": {"object": {}}}',
     b'{"id": "", "type": "x"}', b'{"id": "evt_1"}', b'{"id":"evt_1","type":"x","data":[1]}',
     b'{"id":"evt_1","type":"x","data":{"object":7}}', b"[" * 100_000],
)  # fmt: skip
def test_signed_but_no_event(billing: Billing, payload: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        billing.deliver(payload)


def test_several_secrets_while_one_is_replaced(database_apart: Database) -> None:
    from lib.billing.receiving import StripeInbox
    from lib.web.ports import SystemClock
    from tests.fakes.tasks import FakeTasks

    both = StripeInbox(database_apart, FakeTasks(), SystemClock(), ("whsec_new", "whsec_old"))
    for secret in ("whsec_new", "whsec_old"):
        payload = event("cus_1")
        both.receive(payload, signed(payload, secret=secret))


def test_a_deleted_customer_may_buy_again(billing: Billing) -> None:
    user = billing.user()
    first, _ = billing.checkouts.open(user, plan_code="basic", promotion_code=None)
    fake(billing).pay(first.id)
    with billing.database.transaction() as tx:
        billing.sync.account(tx, user, actor="test")
    customer = fake(billing).asked_to_pay(first.id)
    fake(billing).delete(customer)
    billing.deliver(event(customer, "customer.deleted"))
    billing.work()
    assert billing.entitlement(user)["active"] is False
    second, new = billing.checkouts.open(user, plan_code="basic", promotion_code=None)
    assert new
    assert fake(billing).asked_to_pay(second.id) != customer
    fake(billing).pay(second.id)
    with billing.database.transaction() as tx:
        billing.sync.account(tx, user, actor="test")
    assert billing.entitlement(user)["active"] is True


def sync(billing: Billing, user: uuid.UUID) -> None:
    with billing.database.transaction() as tx:
        billing.sync.account(tx, user, actor="test")


def test_whoever_pays_an_old_price_keeps_the_plan(billing: Billing) -> None:
    """A price is changed by a new price that takes the lookup key over."""
    user = billing.user()
    customer = billing.customer(user)
    price = f"price_{uuid.uuid4().hex}"
    fake(billing).subscribe(customer, BASIC, price_id=price)
    sync(billing, user)
    fake(billing).change(customer, lookup_key=None)
    sync(billing, user)
    assert billing.entitlement(user)["plan"] == "basic"


def test_a_price_never_met_opens_nothing(billing: Billing) -> None:
    user = billing.user()
    customer = billing.customer(user)
    fake(billing).subscribe(customer, BASIC, lookup_key=None, price_id=f"price_{uuid.uuid4().hex}")
    sync(billing, user)
    assert billing.entitlement(user)["active"] is False


def test_nobody_moves_up_unpaid(billing: Billing) -> None:
    user = billing.user()
    customer = billing.customer(user)
    fake(billing).subscribe(customer, BASIC)
    sync(billing, user)
    missed = datetime.now(UTC).replace(microsecond=0)
    fake(billing).change(
        customer,
        status="past_due",
        payment_missed_at=missed,
        lookup_key=PREMIUM.lookup_key,
        price_id="price_premium",
    )
    sync(billing, user)
    assert billing.entitlement(user)["plan"] == "basic"
    fake(billing).change(customer, status="active", payment_missed_at=None)
    sync(billing, user)
    assert billing.entitlement(user)["plan"] == "premium"


def test_a_customer_of_another_account_takes_nothing_away(billing: Billing) -> None:
    """As if the key of another Stripe account were set: every customer is unknown."""
    user = billing.user()
    customer = billing.customer(user)
    fake(billing).subscribe(customer, BASIC)
    sync(billing, user)
    payload = event(customer)
    billing.deliver(payload)
    fake(billing).customers.clear()
    task = dict(billing.fake_tasks.queued[0].body)
    with pytest.raises(UnavailableError):
        billing.events.process(task)
    assert billing.entitlement(user)["active"] is True
    assert row(billing, payload).state == "received"


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        ("v1.customer.subscription.updated", "subscription"),
        ("v1.checkout.session.completed", "checkout"),
    ],
)
def test_thin_events_name_a_thing_alone(billing: Billing, type_: str, kind: str) -> None:
    user = billing.user()
    page, _ = billing.checkouts.open(user, plan_code="basic", promotion_code=None)
    subscription = fake(billing).pay(page.id)
    thing = page.id if kind == "checkout" else subscription.id
    payload = event("", type_, object="v2.core.event", data={}, related_object={"id": thing, "type": kind})
    billing.deliver(payload)
    billing.work()
    assert billing.entitlement(user)["active"] is True
    assert row(billing, payload).state == "processed"


class PaidMeanwhile(FakePayments):
    """The customer pays between any two questions to the provider."""

    def __init__(self) -> None:
        super().__init__()
        self.page: str | None = None

    def _call(self, name: str) -> None:
        super()._call(name)
        if self.page is not None and len(self.calls) % 2:
            page, self.page = self.page, None
            self.pay(page)


@pytest.mark.parametrize("questions", range(4))
def test_a_payment_between_two_questions_sells_nothing_twice(
    database_apart: Database, questions: int
) -> None:
    payments = PaidMeanwhile()
    billing = Billing(database_apart, payments)
    user = billing.user()
    page, _ = billing.checkouts.open(user, plan_code="basic", promotion_code=None)
    payments.calls.extend(["before"] * questions)
    payments.page = page.id
    sync(billing, user)
    if payments.page is not None:
        payments.pay(page.id)
    with pytest.raises(AlreadySubscribedError):
        billing.checkouts.open(user, plan_code="basic", promotion_code=None)


def test_a_page_whose_payment_is_under_way_is_not_replaced(billing: Billing) -> None:
    user = billing.user()
    page, _ = billing.checkouts.open(user, plan_code="basic", promotion_code=None)
    fake(billing).paying.add(page.id)
    with pytest.raises(UnavailableError):
        billing.checkouts.open(user, plan_code="premium", promotion_code=None)
    assert billing.checkouts.open(user, plan_code="basic", promotion_code=None) == (page, False)


def test_the_news_of_the_end_was_lost(billing: Billing) -> None:
    """Our rows say active, the entitlement has ended, Stripe says canceled: buying works."""
    user = billing.user()
    page, _ = billing.checkouts.open(user, plan_code="basic", promotion_code=None)
    fake(billing).pay(page.id)
    sync(billing, user)
    customer = fake(billing).asked_to_pay(page.id)
    fake(billing).change(customer, status="canceled")
    with pytest.raises(AlreadySubscribedError):
        billing.checkouts.open(user, plan_code="basic", promotion_code=None)
    with billing.database.transaction() as tx:
        past = datetime.now(UTC) - timedelta(days=1)
        tx.execute(update(entitlements).where(entitlements.c.user_id == user).values(until=past))
    _, new = billing.checkouts.open(user, plan_code="basic", promotion_code=None)
    assert new


def test_a_customer_deleted_without_news_is_replaced(billing: Billing) -> None:
    user = billing.user()
    page, _ = billing.checkouts.open(user, plan_code="basic", promotion_code=None)
    customer = fake(billing).asked_to_pay(page.id)
    fake(billing).expire_checkout(page.id)
    fake(billing).delete(customer)
    again, new = billing.checkouts.open(user, plan_code="basic", promotion_code=None)
    assert new
    assert fake(billing).asked_to_pay(again.id) != customer


def test_what_was_bought_goes_with_a_customer_deleted_without_news(billing: Billing) -> None:
    user = billing.user()
    film = Film(uuid.uuid4(), "Metropolis", 399, "usd", None)
    with billing.database.transaction() as tx:
        sold = {"price_amount": film.amount, "price_currency": film.currency, "level": 2, "published": True}
        ready = {
            "provider": "mux",
            "status": "ready",
            "asset_id": f"asset-{film.id}",
            "playback_id": f"{film.id}",
        }
        tx.execute(insert(videos).values(id=film.id, title=film.title, **sold, **ready))
    page, _ = billing.checkouts.open_film(user, video_id=film.id, promotion_code=None)
    fake(billing).pay_film(page.id)
    sync(billing, user)
    fake(billing).delete(fake(billing).asked_to_pay(page.id))
    billing.checkouts.open(user, plan_code="basic", promotion_code=None)
    with billing.database.transaction() as tx:
        assert tx.scalars(select(grants.c.withheld).where(grants.c.user_id == user)).all() == ["canceled"]


def test_a_customer_of_another_account_is_not_replaced(billing: Billing) -> None:
    """With another account's key everybody would get a customer there, and lose the one that pays here."""
    user = billing.user()
    customer = billing.customer(user)
    fake(billing).customers.clear()
    with pytest.raises(UnavailableError):
        billing.checkouts.open(user, plan_code="basic", promotion_code=None)
    with billing.database.transaction() as tx:
        assert store.customer_of(tx, user) == customer


def test_what_is_left_is_left_longer_each_time(billing: Billing) -> None:
    payload = event(billing.customer(billing.user()))
    billing.deliver(payload)

    def left_since(minutes: float, enqueues: int) -> bool:
        with billing.database.transaction() as tx:
            tx.execute(
                update(inbox)
                .where(inbox.c.event_id == row(billing, payload).event_id)
                .values(enqueued_at=datetime.now(UTC) - timedelta(minutes=minutes), enqueues=enqueues)
            )
        billing.fake_tasks.queued.clear()
        billing.left.reconcile()
        event_id = row(billing, payload).event_id
        return event_id in {task.body["event_id"] for task in billing.fake_tasks.queued}

    assert left_since(0.6, 1)
    assert not left_since(0.6, 2)
    assert left_since(1.1, 2)
    assert not left_since(31, 20)
    assert left_since(33, 20)
