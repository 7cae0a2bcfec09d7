"""Deletion behind the answers: with fakes in a database apart, stopped and crossed wherever it may be."""

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection, func, insert, select, text, update

from lib.accounts import store as accounts
from lib.accounts.changing import Changes, Wishes
from lib.accounts.closing import Closing
from lib.accounts.confirming import CurrentPassword
from lib.accounts.email_changes import EmailChanges
from lib.accounts.mail_throttle import MailThrottle
from lib.accounts.outbox import Outbox
from lib.accounts.registering import Registrations
from lib.accounts.verifying import Verification
from lib.adapters.argon2_hasher import Argon2Hasher
from lib.adapters.jwt_tokens import JwtTokens
from lib.billing import store
from lib.billing.closures import CLOSE_CUSTOMER, LEFT_AFTER, Cancellations, Closures
from lib.billing.ports import CheckoutSession
from lib.config import Environment
from lib.database.engine import Database
from lib.database.schema import audit_log, closures, inbox, users
from lib.errors import InvalidTokenError, LastAdminError, UnavailableError
from lib.web.ports import Caller, SystemClock
from tests.billing import Billing, event
from tests.factories import PASSWORD
from tests.fakes.payments import FakePayments
from tests.fakes.tasks import FakeTasks


class Leaving:
    """Accounts' deletion over billing's closures, as the functions wire them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.payments = FakePayments()
        self.tasks = FakeTasks()
        self.billing = Billing(database, self.payments)
        self.hasher = Argon2Hasher(4, memory_kib=64, passes=1)
        self.closures = Closures(database, self.tasks)
        self.closing = Closing(database, CurrentPassword(database, self.hasher), self.closures)
        self.cancellations = Cancellations(database, self.payments)

    def person(self, role: str = "viewer") -> Caller:
        with self.database.transaction() as tx:
            user = accounts.add_user(
                tx,
                email=f"{uuid.uuid4().hex}@example.com",
                name=None,
                password_hash=self.hasher.hash(PASSWORD),
            )
            assert user is not None
            accounts.give_role(tx, user.id, role)
        return Caller(user.id, uuid.uuid4(), role)

    def page(self, person: Caller) -> CheckoutSession:
        return self.billing.checkouts.open(person.user_id, plan_code="basic", promotion_code=None)[0]

    def payer(self) -> tuple[Caller, str]:
        person = self.person()
        page = self.page(person)
        self.payments.pay(page.id)
        return person, self.payments.asked_to_pay(page.id)

    def close(self, person: Caller) -> None:
        self.closing.close(person, PASSWORD)

    def work(self) -> None:
        """The queue brings what it has."""
        queued, self.tasks.queued = self.tasks.queued, []
        for task in queued:
            assert task.kind == CLOSE_CUSTOMER
            self.cancellations.cancel_everything(dict(task.body))

    def later(self, span: timedelta) -> None:
        """As if so much time had passed since the last task was made."""
        with self.database.transaction() as tx:
            tx.execute(update(closures).values(enqueued_at=closures.c.enqueued_at - span))

    def left(self) -> int:
        with self.database.transaction() as tx:
            return tx.scalar(select(func.count()).select_from(closures)) or 0

    def users(self) -> int:
        with self.database.transaction() as tx:
            return tx.scalar(select(func.count()).select_from(users)) or 0

    def kinds(self, person: Caller) -> list[str]:
        with self.database.transaction() as tx:
            mine = audit_log.c.user_id == person.user_id
            return list(tx.scalars(select(audit_log.c.kind).where(mine).order_by(audit_log.c.id)))


@pytest.fixture
def leaving(database_apart: Database) -> Leaving:
    return Leaving(database_apart)


def test_the_customer_goes_after_the_account(leaving: Leaving) -> None:
    person, customer = leaving.payer()
    leaving.close(person)
    assert (leaving.users(), leaving.left()) == (0, 1)
    assert not leaving.payments.customer(customer).deleted
    leaving.work()
    assert leaving.payments.customer(customer).deleted
    assert leaving.left() == 0
    assert leaving.kinds(person)[-2:] == ["account_deleted", "customer_deleted"]


def test_who_never_bought_leaves_nothing(leaving: Leaving) -> None:
    leaving.close(leaving.person())
    assert (leaving.left(), leaving.tasks.queued, leaving.payments.calls) == (0, [], [])


def test_a_task_that_comes_twice_finds_nothing_left(leaving: Leaving) -> None:
    person, _ = leaving.payer()
    leaving.close(person)
    leaving.work()
    calls = len(leaving.payments.calls)
    leaving.cancellations.cancel_everything({"user_id": str(person.user_id)})
    assert len(leaving.payments.calls) == calls
    assert leaving.kinds(person).count("customer_deleted") == 1


def test_two_tasks_at_once_take_turns(leaving: Leaving) -> None:
    person, _ = leaving.payer()
    leaving.close(person)
    body = {"user_id": str(person.user_id)}
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: leaving.cancellations.cancel_everything(body), range(2)))
    assert leaving.payments.calls.count("delete_customer") == 1
    assert leaving.kinds(person).count("customer_deleted") == 1


def test_the_queue_is_down_and_reconcile_finds_what_is_left(leaving: Leaving) -> None:
    person, customer = leaving.payer()
    leaving.tasks.down = True
    leaving.close(person)
    assert leaving.tasks.queued == []
    leaving.tasks.down = False
    assert leaving.closures.reconcile() == {"closures_left": 0, "closures_enqueued": 0}, "not yet"
    leaving.later(LEFT_AFTER * 2)
    assert leaving.closures.reconcile() == {"closures_left": 1, "closures_enqueued": 1}
    leaving.work()
    assert leaving.payments.customer(customer).deleted


def test_a_lost_task_is_made_again_under_a_new_name(leaving: Leaving) -> None:
    """The queue remembers names: the same one again would be a silent nothing."""
    person, _ = leaving.payer()
    leaving.close(person)
    (lost,) = leaving.tasks.queued
    leaving.tasks.queued = []
    leaving.later(LEFT_AFTER * 2)
    leaving.closures.reconcile()
    (again,) = leaving.tasks.queued
    assert again.name != lost.name
    assert again.body == lost.body


def test_what_is_left_is_left_longer_each_time(leaving: Leaving) -> None:
    person, _ = leaving.payer()
    leaving.close(person)
    for enqueues in range(1, 4):
        leaving.later(LEFT_AFTER * 2 ** (enqueues - 1) - timedelta(seconds=5))
        assert leaving.closures.reconcile()["closures_left"] == 0
        leaving.later(timedelta(seconds=10))
        assert leaving.closures.reconcile()["closures_left"] == 1


def test_the_provider_is_down_and_nothing_is_forgotten(leaving: Leaving) -> None:
    person, customer = leaving.payer()
    leaving.close(person)
    leaving.payments.down = True
    task = leaving.tasks.queued[0]
    with pytest.raises(UnavailableError):
        leaving.work()
    leaving.payments.down = False
    assert leaving.left() == 1
    leaving.cancellations.cancel_everything(dict(task.body))
    assert leaving.payments.customer(customer).deleted


def test_a_customer_of_another_account_stays_to_be_dealt_with(
    leaving: Leaving, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key was mixed up, most likely: what is not ended is not forgotten, and the log says so."""
    person = leaving.person()
    with leaving.database.transaction() as tx:
        tx.execute(insert(closures).values(user_id=person.user_id, stripe_customer_id="cus_of_others"))
    with pytest.raises(UnavailableError):
        leaving.cancellations.cancel_everything({"user_id": str(person.user_id)})
    assert leaving.left() == 1
    assert "another account's" in capsys.readouterr().out


def test_open_pages_close_before_the_customer_goes(leaving: Leaving) -> None:
    person = leaving.person()
    page = leaving.page(person)
    leaving.close(person)
    leaving.work()
    assert leaving.payments.checkout(page.id).state == "expired"
    calls = leaving.payments.calls
    assert calls.index("expire_checkout") < calls.index("delete_customer")


def test_a_payment_under_way_is_waited_for(leaving: Leaving) -> None:
    """It cannot be stopped; if it succeeds, what it bought ends with the customer."""
    person = leaving.person()
    page = leaving.page(person)
    customer = leaving.payments.asked_to_pay(page.id)
    leaving.payments.paying.add(page.id)
    leaving.close(person)
    task = leaving.tasks.queued[0]
    with pytest.raises(UnavailableError):
        leaving.work()
    assert "delete_customer" not in leaving.payments.calls
    leaving.payments.pay(page.id)
    leaving.cancellations.cancel_everything(dict(task.body))
    assert leaving.payments.customer(customer).deleted


def test_events_of_who_is_gone_are_acknowledged_and_ignored(leaving: Leaving) -> None:
    person, customer = leaving.payer()
    payload = event(customer)
    leaving.billing.deliver(payload)
    leaving.close(person)
    leaving.billing.work()
    leaving.work()
    for type_ in ("customer.subscription.deleted", "checkout.session.completed"):
        leaving.billing.deliver(event(customer, type_))
    leaving.billing.work()
    with leaving.database.transaction() as tx:
        assert set(tx.scalars(select(inbox.c.state))) == {"ignored"}
    assert "entitlement_changed" not in leaving.kinds(person)[-2:]


class SlowPayments(FakePayments):
    """Somebody's deletion begins while their page is being opened."""

    meanwhile: Callable[[], None]

    def create_customer(self, *, user_id: uuid.UUID, email: str, attempt: str) -> str:
        made = super().create_customer(user_id=user_id, email=email, attempt=attempt)
        self.meanwhile()
        return made


@pytest.mark.parametrize("bought_before", [False, True], ids=["no billing row yet", "with one"])
def test_a_purchase_under_way_is_waited_for(leaving: Leaving, bought_before: bool) -> None:
    """The customer it makes is known to the deletion, whichever row is there first."""
    person = leaving.person()
    if bought_before:
        with leaving.database.transaction() as tx:
            store.lock_account(tx, person.user_id)
    slow = SlowPayments()
    leaving.cancellations = Cancellations(leaving.database, slow)
    with ThreadPoolExecutor(1) as pool:
        began = []

        def meanwhile() -> None:
            began.append(pool.submit(leaving.close, person))
            waits_for_a_lock(leaving.database)

        slow.meanwhile = meanwhile
        Billing(leaving.database, slow).checkouts.open(person.user_id, plan_code="basic", promotion_code=None)
        began[0].result(timeout=20)
    assert leaving.users() == 0
    leaving.work()
    (customer,) = slow.customers.values()
    assert slow.customer(customer).deleted
    assert {session.state for session in slow._sessions.values()} == {"expired"}


class DyingPayments(FakePayments):
    """The customer is made, and then the process is gone."""

    def create_customer(self, *, user_id: uuid.UUID, email: str, attempt: str) -> str:
        super().create_customer(user_id=user_id, email=email, attempt=attempt)
        raise KeyboardInterrupt


def test_a_customer_whose_id_was_lost_goes_too(leaving: Leaving) -> None:
    dying = DyingPayments()
    leaving.cancellations = Cancellations(leaving.database, dying)
    person = leaving.person()
    with pytest.raises(KeyboardInterrupt):
        Billing(leaving.database, dying).checkouts.open(
            person.user_id, plan_code="basic", promotion_code=None
        )
    leaving.close(person)
    assert leaving.left() == 1
    leaving.work()
    (customer,) = dying.customers.values()
    assert dying.customer(customer).deleted
    assert leaving.left() == 0
    assert leaving.kinds(person)[-1] == "customer_deleted"


def waits_for_a_lock(database: Database) -> None:
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + 10
    while True:
        with database.transaction() as tx:
            if tx.scalar(query):
                return
        assert time.monotonic() < deadline, "nobody waited"
        time.sleep(0.02)


def test_the_database_is_away_once_the_account_is_gone(leaving: Leaving) -> None:
    """Who left is told so: a second try would find no login."""
    person, customer = leaving.payer()

    class Away(Database):
        def __init__(self, there: Database) -> None:
            self.there = there

        @contextmanager
        def transaction(self, *, slow: bool = False) -> Iterator[Connection]:
            with self.there.transaction(slow=slow) as tx:
                yield tx
            raise UnavailableError("The database cannot be reached")

    leaving.closing = Closing(
        leaving.database,
        CurrentPassword(leaving.database, leaving.hasher),
        Closures(Away(leaving.database), leaving.tasks),
    )
    leaving.close(person)
    assert (leaving.users(), leaving.left(), leaving.tasks.queued) == (0, 1, [])
    leaving.later(LEFT_AFTER * 2)
    leaving.closures.reconcile()
    leaving.work()
    assert leaving.payments.customer(customer).deleted


def test_a_mail_is_asked_for_by_who_is_leaving(leaving: Leaving, environment: dict[str, str]) -> None:
    """Registering the address once more, and another link for it: refused, and no fault of ours."""
    env = Environment(environment)
    settings = replace(env.accounts(), verified_only=True)
    outbox, tokens = Outbox(leaving.tasks), JwtTokens(env.tokens())
    there = Registrations(leaving.database, leaving.hasher, tokens, SystemClock(), settings, leaving.tasks)
    verification = Verification(leaving.database, outbox, MailThrottle(count_loopback=True))
    for ask in ("register", "verify-email"):
        person = leaving.person()
        with ThreadPoolExecutor(1) as pool:
            with leaving.database.transaction() as tx:
                email = accounts.lock_person(tx, person.user_id, leaving=True).email
                if ask == "register":
                    asked = pool.submit(
                        there.register, email=email, password=PASSWORD, name=None, address="192.0.2.1"
                    )
                else:
                    asked = pool.submit(verification.send_again, person.user_id, "192.0.2.1")
                waits_for_a_lock(leaving.database)
                accounts.delete_user(tx, person.user_id)
            with pytest.raises(UnavailableError if ask == "register" else InvalidTokenError):
                asked.result(timeout=20)


def test_a_new_password_and_the_deletion_take_turns(leaving: Leaving) -> None:
    """Both take the streams' lock before the account's: neither waits for the other for ever."""
    person, outbox = leaving.person(), Outbox(leaving.tasks)
    current = CurrentPassword(leaving.database, leaving.hasher)
    throttle = MailThrottle(count_loopback=True)
    changes = Changes(leaving.database, leaving.hasher, current, outbox, EmailChanges(outbox), throttle)
    wishes = Wishes(None, False, None, "another walk by another sea", PASSWORD)
    with ThreadPoolExecutor(1) as pool:
        with leaving.database.transaction() as tx:
            accounts.lock_streams(tx, person.user_id)
            changed = pool.submit(changes.apply, person, wishes, address="")
            waits_for_a_lock(leaving.database)
            accounts.lock_person(tx, person.user_id, leaving=True)
            accounts.delete_user(tx, person.user_id)
        with pytest.raises(InvalidTokenError):
            changed.result(timeout=20)


def test_who_buys_after_leaving_is_nobody(leaving: Leaving) -> None:
    """The token was checked, then the account went."""
    person = leaving.person()
    leaving.close(person)
    with pytest.raises(InvalidTokenError):
        leaving.page(person)
    assert leaving.payments.calls == []


def test_the_last_admin_stays(leaving: Leaving) -> None:
    first, second = leaving.person("admin"), leaving.person("admin")
    leaving.close(first)
    with pytest.raises(LastAdminError):
        leaving.close(second)
    assert leaving.users() == 1
    assert "account_deleted" not in leaving.kinds(second)


def test_of_two_admins_who_leave_at_once_one_stays(leaving: Leaving) -> None:
    admins = [leaving.person("admin") for _ in range(2)]

    def leave(person: Caller) -> str:
        try:
            leaving.close(person)
        except LastAdminError:
            return "stays"
        return "leaves"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(leave, admins)) == ["leaves", "stays"]
    assert leaving.users() == 1


def test_a_task_for_nobody(leaving: Leaving) -> None:
    leaving.cancellations.cancel_everything({"user_id": str(uuid.uuid4())})
    assert leaving.payments.calls == []
