"""redeem: a gift code gives its days once, whoever asks how often."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Row, func, select, text

from lib.accounts import store as accounts
from lib.billing import closure_store
from lib.billing.gifts import ALPHABET, ATTEMPTS, Gifts, Redemptions, code_hash, new_code
from lib.database.engine import Database
from lib.database.schema import audit_log, gift_codes, grants
from lib.errors import UnknownPlanError
from lib.web.ports import SystemClock
from tests.api import refused
from tests.billing import PLANS, Billing
from tests.factories import Factory, Person, wait_for
from tests.fakes.payments import FakePayments


def made(database: Database, plan: str = "basic", **terms: Any) -> str:
    wanted: dict[str, Any] = {"days": 30, "count": 1, "note": None, "expires_at": None} | terms
    gifts = Gifts(database, PLANS, SystemClock())
    return gifts.make(plan, **wanted, actor="operator:test")[0]


def redeemed(person: Person, code: str) -> dict[str, Any]:
    answer = person.api.post("redeem", {"code": code})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["entitlement"]
    return found


def days_left(entitlement: dict[str, Any]) -> int:
    left = datetime.fromisoformat(entitlement["until"]) - datetime.now(UTC)
    return round(left / timedelta(days=1))


def test_a_code_gives_its_plan_for_its_days(make: Factory) -> None:
    person, video = make.person(), make.video(level=2)
    refused(person.api.get("get-playback", video_id=str(video)), 402, "subscription_required")
    given = redeemed(person, made(make.database, "premium", days=7))
    assert (given["active"], given["plan"], given["level"], given["reason"]) == (True, "premium", 2, "gift")
    assert days_left(given) == 7
    assert person.api.get("account").json()["entitlement"] == given
    playing = person.api.get("get-playback", video_id=str(video))
    assert playing.status_code == 200
    assert playing.json()["entitlement"]["reason"] == "gift"


def test_however_it_was_typed(make: Factory) -> None:
    code = made(make.database)
    typed = code.replace("-", " ").replace("0", "o").replace("1", "l").lower()
    assert redeemed(make.person(), f" {typed} ")["reason"] == "gift"


def test_a_second_time_it_gives_nothing_to_anybody(make: Factory) -> None:
    person, code = make.person(), made(make.database)
    redeemed(person, code)
    refused(person.api.post("redeem", {"code": code}), 409, "already_redeemed")
    refused(make.person().api.post("redeem", {"code": code}), 409, "already_redeemed")
    assert days_left(person.api.get("account").json()["entitlement"]) == 30


def test_the_same_request_repeated_has_the_same_answer(make: Factory) -> None:
    person, code = make.person(), made(make.database)
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first = person.api.post("redeem", {"code": code}, headers=key)
    again = person.api.post("redeem", {"code": code}, headers=key)
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert first.status_code == 200


def test_two_codes_give_both_their_days(make: Factory) -> None:
    person = make.person()
    redeemed(person, made(make.database, days=30))
    assert days_left(redeemed(person, made(make.database, days=10))) == 40


def test_a_gift_beside_a_better_one_is_not_lost(make: Factory) -> None:
    person = make.person()
    redeemed(person, made(make.database, "basic", days=30))
    given = redeemed(person, made(make.database, "premium", days=10))
    assert (given["plan"], days_left(given)) == ("premium", 10)


def test_unknown_expired_and_malformed(make: Factory) -> None:
    person = make.person()
    refused(person.api.post("redeem", {"code": new_code()}), 404, "unknown_code")
    gone = made(make.database, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    refused(person.api.post("redeem", {"code": gone}), 404, "unknown_code")
    refused(person.api.post("redeem", {"code": "x" * 101}), 422, "invalid_request")
    refused(person.api.post("redeem", {}), 422, "invalid_request")
    refused(make.client().post("redeem", {"code": gone}), 401, "invalid_token")


def test_guessing_is_throttled(make: Factory) -> None:
    person, code = make.person(), made(make.database)
    for _ in range(ATTEMPTS):
        refused(person.api.post("redeem", {"code": new_code()}), 404, "unknown_code")
    answer = person.api.post("redeem", {"code": code})
    refused(answer, 429, "too_many_requests")
    assert 0 < int(answer.headers["Retry-After"]) <= 901
    assert redeemed(make.person(), code)["active"], "refused for the guesser alone"


def test_many_at_once_and_one_gets_it(make: Factory) -> None:
    code = made(make.database)
    people = [make.person() for _ in range(8)]
    gate = threading.Barrier(len(people) * 2)

    def ask(person: Person) -> int:
        gate.wait(10)
        return person.api.post("redeem", {"code": code}).status_code

    with ThreadPoolExecutor(len(people) * 2) as pool:
        answers = list(pool.map(ask, people * 2))
    assert sorted(answers) == [200] + [409] * 15
    with make.database.transaction() as tx:
        source_id = code_hash(code).hex()
        number = select(func.count()).select_from(grants).where(grants.c.source_id == source_id)
        assert tx.scalar(number) == 1


def test_the_code_itself_is_kept_nowhere(make: Factory) -> None:
    person, code = make.person(), made(make.database, note="spring")
    redeemed(person, code)
    with make.database.transaction() as tx:
        row = tx.execute(select(gift_codes).where(gift_codes.c.code_hash == code_hash(code))).one()
        said = tx.execute(select(audit_log).where(audit_log.c.user_id == person.id)).all()
    assert row.redeemed_by == person.id
    kinds = {line.kind for line in said}
    assert {"gift_redeemed", "entitlement_changed"} <= kinds
    for words in (str(row), *map(str, said)):
        assert code not in words
        assert code.replace("-", "") not in words


@pytest.mark.parametrize(("gone", "left"), [(0, 30), (1, 40), (2, 30)])
def test_a_gift_that_is_taken_back_leaves_the_others_their_days(
    database_apart: Database, gone: int, left: int
) -> None:
    """Ten days, then none, then thirty would be a gap that nobody gave."""
    billing = Billing(database_apart, FakePayments())
    user = billing.user()
    redemptions = Redemptions(database_apart, PLANS, billing.membership, SystemClock())
    gifts = Gifts(database_apart, PLANS, SystemClock())
    days = (20, 10, 20)
    for each in days:
        redemptions.redeem(user, "viewer", made(database_apart, days=each))

    def stacked() -> list[Row[Any]]:
        with database_apart.transaction() as tx:
            mine = select(grants).where(grants.c.user_id == user).order_by(grants.c.starts_at)
            return list(tx.execute(mine))

    taken = stacked()[gone].id
    for _ in range(2):
        with database_apart.transaction() as tx:
            gifts.take_back(tx, user, taken, actor="operator:ann")
        kept = [row for row in stacked() if row.id != taken]
        lengths = [(row.ends_at - row.starts_at).days for row in kept]
        assert lengths == [each for number, each in enumerate(days) if number != gone]
        assert kept[0].ends_at == kept[1].starts_at
        assert days_left(billing.entitlement(user)) == left


def test_a_code_has_a_hundred_random_bits() -> None:
    codes = {new_code() for _ in range(1000)}
    assert len(codes) == 1000
    for code in codes:
        assert len(code.replace("-", "")) == 20
        assert set(code) <= {*ALPHABET, "-"}
    assert len(ALPHABET) == len(set(ALPHABET)) == 32


def test_only_plans_that_there_are_can_be_given(make: Factory) -> None:
    with pytest.raises(UnknownPlanError):
        made(make.database, "platinum")


def test_who_redeems_and_leaves_at_once_waits_for_no_deadlock(database_apart: Database) -> None:
    billing = Billing(database_apart, FakePayments())
    user = billing.user()
    redemptions = Redemptions(database_apart, PLANS, billing.membership, SystemClock())
    codes = [made(database_apart) for _ in range(2)]
    redemptions.redeem(user, "viewer", codes[0])
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    def waits() -> bool:
        with database_apart.transaction() as other:
            return bool(other.scalar(waiting))

    with ThreadPoolExecutor(1) as pool:
        with database_apart.transaction() as tx:
            # As a deletion does, which is taken back then.
            accounts.lock_person(tx, user, leaving=True)
            redeeming = pool.submit(redemptions.redeem, user, "viewer", codes[1])
            wait_for(waits)
            closure_store.lock_customer(tx, user)
            tx.rollback()
        assert redeeming.result()["active"]
