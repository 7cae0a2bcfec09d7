"""One film by itself: rented or bought, watched within its window, ended by a refund."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Row, select, update

from lib.database.schema import audit_log, billing_accounts, checkouts, grants, videos
from tests.api import refused
from tests.factories import Factory, Person, wait_for

PRICE = {"price_amount": 399, "price_currency": "usd"}
RENTAL = PRICE | {"rental_hours": 48}


def page(person: Person, video: uuid.UUID, **more: Any) -> httpx.Response:
    return person.api.post("create-checkout", {"video_id": str(video)} | more)


def pay(person: Person, video: uuid.UUID, card: str = "4242424242424242") -> str:
    """Open the page and pay on it; the checkout's id."""
    opened = page(person, video)
    assert opened.status_code in (200, 201), opened.text
    paid = httpx.post(opened.json()["checkout_url"], data={"card": card}, timeout=30)
    assert paid.status_code == 303, paid.text
    found: str = opened.json()["session_id"]
    return found


def watch(person: Person, video: uuid.UUID) -> httpx.Response:
    return person.api.get("get-playback", video_id=str(video))


def grant(make: Factory, session_id: str) -> Row[Any]:
    with make.database.transaction() as tx:
        return tx.execute(select(grants).where(grants.c.source_id == session_id)).one()


def rented(make: Factory, **film: Any) -> tuple[Person, uuid.UUID, str]:
    person, video = make.person(), make.video(**({"level": 2} | RENTAL | film))
    session_id = pay(person, video)
    confirmed = person.api.post("confirm-checkout", {"session_id": session_id})
    assert confirmed.status_code == 200, confirmed.text
    return person, video, session_id


def test_account_tells_what_can_be_watched_and_until_when(make: Factory) -> None:
    person, video, session_id = rented(make, title="Metropolis")
    (found,) = person.api.get("account").json()["films"]
    assert (found["video_id"], found["title"], found["reason"]) == (str(video), "Metropolis", "rental")
    assert (found["window_hours"], found["first_played_at"]) == (48, None)
    assert watch(person, video).status_code == 200
    (begun,) = person.api.get("account").json()["films"]
    assert begun["first_played_at"] is not None
    assert begun["until"] < found["until"]
    bought = make.video(level=2, **PRICE)
    pay(person, bought)
    wait_for(lambda: len(person.api.get("account").json()["films"]) == 2)
    told = person.api.get("account").json()["films"][0]
    assert (told["video_id"], told["reason"], told["until"]) == (str(bought), "purchase", None)
    make.control(session=session_id, action="refund")
    wait_for(lambda: [each["reason"] for each in person.api.get("account").json()["films"]] == ["purchase"])
    held = person.api.get("account", export=1).json()["held"]
    assert {row["source_id"] for row in held["grants"]} >= {session_id}
    assert held["checkouts"]
    deleted = {"deleted_at": datetime.now(UTC), "purge_at": datetime.now(UTC) + timedelta(days=7)}
    with make.database.transaction() as tx:
        tx.execute(update(videos).where(videos.c.id == bought).values(deleted))
    assert person.api.get("account").json()["films"] == []


def test_of_films_of_one_second_the_one_noted_last_is_the_newest(make: Factory) -> None:
    person, first, first_id = rented(make)
    second = make.video(level=2, **PRICE)
    second_id = pay(person, second)
    wait_for(lambda: len(person.api.get("account").json()["films"]) == 2)
    now = datetime.now(UTC).replace(microsecond=0)
    for newest, older, order in (
        (second_id, first_id, [str(second), str(first)]),
        (first_id, second_id, [str(first), str(second)]),
    ):
        with make.database.transaction() as tx:
            for source_id, noted in ((newest, now), (older, now - timedelta(milliseconds=1))):
                changed = update(grants).where(grants.c.source_id == source_id)
                tx.execute(changed.values(starts_at=now, created_at=noted))
        assert [film["video_id"] for film in person.api.get("account").json()["films"]] == order


def test_a_page_with_a_former_price_of_the_film_is_replaced(make: Factory) -> None:
    person, video = make.person(), make.video(level=2, **RENTAL)
    first = page(person, video)
    assert page(person, video).json()["session_id"] == first.json()["session_id"]
    with make.database.transaction() as tx:
        tx.execute(update(videos).where(videos.c.id == video).values(price_amount=499))
    second = page(person, video)
    assert second.status_code == 201
    assert "$4.99" in httpx.get(second.json()["checkout_url"]).text
    assert httpx.get(first.json()["checkout_url"]).status_code == 410


def test_a_rental_opens_this_film_alone(make: Factory) -> None:
    person, video = make.person(), make.video(level=2, **RENTAL)
    refused(watch(person, video), 402, "subscription_required")
    session_id = pay(person, video)
    answer = person.api.post("confirm-checkout", {"session_id": session_id}).json()
    assert answer["subscription"] is None
    assert answer["entitlement"]["active"] is False, "a film is no plan"
    playing = watch(person, video)
    assert playing.status_code == 200, playing.text
    right = playing.json()["entitlement"]
    assert (right["plan"], right["reason"]) == (None, "rental")
    refused(watch(person, make.video(level=1)), 402, "subscription_required")


def test_the_webhook_alone_is_enough(make: Factory) -> None:
    person, video = make.person(), make.video(level=1, **RENTAL)
    pay(person, video)
    wait_for(lambda: watch(person, video).status_code == 200)


def test_the_window_begins_with_the_first_play(make: Factory) -> None:
    person, video, session_id = rented(make)
    before = grant(make, session_id)
    assert before.first_played_at is None
    assert before.ends_at - before.starts_at == timedelta(days=30)
    until = datetime.fromisoformat(watch(person, video).json()["entitlement"]["until"])
    after = grant(make, session_id)
    assert after.ends_at == after.first_played_at + timedelta(hours=48)
    assert abs(until - after.ends_at) < timedelta(seconds=1)
    watch(person, video)
    assert grant(make, session_id).ends_at == after.ends_at, "once begun it is not begun again"
    person.api.post("confirm-checkout", {"session_id": session_id})
    assert grant(make, session_id).ends_at == after.ends_at, "nor does a sync begin it again"


def test_urls_do_not_outlive_the_window(make: Factory) -> None:
    person, video, session_id = rented(make)
    watch(person, video)
    soon = datetime.now(UTC) + timedelta(seconds=40)
    with make.database.transaction() as tx:
        tx.execute(update(grants).where(grants.c.source_id == session_id).values(ends_at=soon))
    expires = datetime.fromisoformat(watch(person, video).json()["expires_at"])
    assert expires <= soon


def test_after_the_window_it_can_be_rented_again(make: Factory) -> None:
    person, video, session_id = rented(make)
    playing = watch(person, video).json()
    refused(page(person, video), 409, "already_bought")
    past = datetime.now(UTC) - timedelta(seconds=1)
    with make.database.transaction() as tx:
        tx.execute(update(grants).where(grants.c.source_id == session_id).values(ends_at=past))
    gone = refused(watch(person, video), 402, "subscription_required")
    assert gone["reason"] == "expired"
    assert person.api.get("account").json()["films"] == []
    beat = {"session_id": playing["session_id"], "position": 3}
    refused(person.api.post("heartbeat", beat), 402, "subscription_required")
    again = pay(person, video)
    assert again != session_id
    wait_for(lambda: watch(person, video).status_code == 200)


def test_a_film_that_was_bought_stays(make: Factory) -> None:
    person, video, session_id = rented(make, rental_hours=None)
    right = watch(person, video).json()["entitlement"]
    assert (right["reason"], right["until"]) == ("purchase", None)
    found = grant(make, session_id)
    assert (found.ends_at, found.window_hours) == (None, None)


@pytest.mark.parametrize("amount", [None, 100], ids=["in full", "in part"])
def test_a_refund_ends_it_when_it_is_in_full(make: Factory, amount: int | None) -> None:
    person, video, session_id = rented(make)
    intent = make.stripe("GET", f"checkout/sessions/{session_id}")["payment_intent"]
    form = {"payment_intent": intent} | ({"amount": amount} if amount else {})
    make.stripe("POST", "refunds", **form)
    if amount:
        wait_for(lambda: make.stripe("GET", "charges", payment_intent=intent)["data"][0]["amount_refunded"])
        person.api.post("confirm-checkout", {"session_id": session_id})
        assert watch(person, video).status_code == 200
        return
    wait_for(lambda: watch(person, video).status_code == 402)
    assert refused(watch(person, video), 402, "subscription_required")["reason"] == "refunded"
    assert grant(make, session_id).withheld == "refunded"


def test_what_the_plan_opens_is_not_sold_again(make: Factory) -> None:
    subscriber = make.subscriber("premium")
    answer = refused(page(subscriber, make.video(level=2, **RENTAL)), 409, "already_subscribed")
    assert "plan" in answer["detail"]


def test_what_a_lower_plan_does_not_open_is(make: Factory) -> None:
    subscriber, video = make.subscriber("basic"), make.video(level=2, **RENTAL)
    refused(watch(subscriber, video), 403, "plan_upgrade_required")
    session_id = pay(subscriber, video)
    subscriber.api.post("confirm-checkout", {"session_id": session_id})
    assert watch(subscriber, video).json()["entitlement"]["reason"] == "rental"
    # The plan's films go on as before, and do not begin the rental of another.
    assert watch(subscriber, make.video(level=1)).json()["entitlement"]["reason"] == "subscription"


def test_who_subscribes_later_keeps_the_rental_for_later(make: Factory) -> None:
    person, video, session_id = rented(make)
    make.pay(person, "premium")
    wait_for(lambda: person.api.get("account").json()["entitlement"]["active"])
    assert watch(person, video).json()["entitlement"]["reason"] == "subscription"
    assert grant(make, session_id).first_played_at is None


def test_what_is_not_sold(make: Factory) -> None:
    person = make.person()
    refused(page(person, make.video(level=1)), 409, "not_for_sale")
    refused(page(person, make.video(level=0, **RENTAL)), 409, "not_for_sale")
    refused(page(person, uuid.uuid4()), 404, "video_not_found")
    refused(person.api.post("create-checkout", {"video_id": "film-1"}), 404, "video_not_found")
    refused(page(person, make.video(published=False, **RENTAL)), 404, "video_not_found")
    waiting = make.video(status="waiting", asset_id=None, playback_id=None, duration=None, **RENTAL)
    refused(page(person, waiting), 409, "video_not_ready")


def test_a_plan_or_a_film_not_both_nor_neither(make: Factory) -> None:
    person = make.person()
    both = {"plan": "basic", "video_id": str(uuid.uuid4())}
    for body in (both, {}):
        found = refused(person.api.post("create-checkout", body), 422, "invalid_request")
        assert [error["field"] for error in found["errors"]] == ["plan"]


def test_one_page_is_open_at_a_time(make: Factory) -> None:
    person, video = make.person(), make.video(level=1, **RENTAL)
    film = page(person, video)
    assert (film.status_code, page(person, video).status_code) == (201, 200)
    plan = person.api.post("create-checkout", {"plan": "basic"})
    assert plan.status_code == 201
    with make.database.transaction() as tx:
        found = select(checkouts.c.state).where(checkouts.c.user_id == person.id)
        states = list(tx.scalars(found.order_by(checkouts.c.created_at)))
    assert states == ["expired", "open"]
    assert httpx.get(film.json()["checkout_url"]).status_code == 410


def test_fifty_clicks_at_once_are_one_page(make: Factory) -> None:
    """For a film and for a plan: one customer, one page, one payment."""
    for wish in ({"video_id": str(make.video(level=1, **RENTAL))}, {"plan": "basic"}):
        person = make.person()
        # So that the account is there: of a new one the row's making alone would keep the others waiting.
        assert person.api.post("create-checkout", {"plan": "premium"}).status_code == 201

        def click(_: int, person: Person = person, wish: dict[str, str] = wish) -> httpx.Response:
            return person.api.post("create-checkout", wish)

        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(click, range(50)))
        assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
        assert len({answer.text for answer in answers}) == 1
        url = answers[0].json()["checkout_url"]
        with ThreadPoolExecutor(10) as pool:
            pages = list(
                pool.map(lambda _, url=url: httpx.post(url, data={"card": "4242424242424242"}), range(10))
            )
        assert {answer.status_code for answer in pages} == {303}
        customers = [
            found["id"] for found in make.stripe("GET", "customers", email=person.email, limit=100)["data"]
        ]
        assert len(customers) == 1
        sessions = make.stripe("GET", "checkout/sessions", customer=customers[0], limit=100)["data"]
        assert [found["status"] for found in sessions] == ["complete", "expired"]
        charges = make.stripe("GET", "charges", customer=customers[0], limit=100)["data"]
        assert len(charges) == 1
        subscriptions = make.stripe("GET", "subscriptions", customer=customers[0], status="all")["data"]
        assert len(subscriptions) == (1 if "plan" in wish else 0)


def test_a_declined_card_gives_nothing(make: Factory) -> None:
    person, video = make.person(), make.video(level=1, **RENTAL)
    opened = page(person, video)
    declined = httpx.post(opened.json()["checkout_url"], data={"card": "4000000000000002"})
    assert declined.status_code == 402
    person.api.post("confirm-checkout", {"session_id": opened.json()["session_id"]})
    refused(watch(person, video), 402, "subscription_required")
    assert page(person, video).status_code == 200, "the page is still open"


def test_what_was_sold_does_not_change_with_the_offer(make: Factory) -> None:
    from lib.database.schema import videos

    person, video = make.person(), make.video(level=1, **RENTAL)
    opened = page(person, video).json()
    with make.database.transaction() as tx:
        tx.execute(update(videos).where(videos.c.id == video).values(rental_hours=1, price_amount=9900))
    httpx.post(opened["checkout_url"], data={"card": "4242424242424242"}, timeout=30)
    person.api.post("confirm-checkout", {"session_id": opened["session_id"]})
    assert grant(make, opened["session_id"]).window_hours == 48


def test_a_promotion_code_that_makes_it_free(make: Factory) -> None:
    """Nothing to pay, so no payment at all: the finished page is what counts."""
    coupon = make.stripe("POST", "coupons", percent_off=100, duration="once")["id"]
    code = f"FREE{uuid.uuid4().hex[:8].upper()}"
    make.stripe(
        "POST",
        "promotion_codes",
        code=code,
        **{"promotion[type]": "coupon", "promotion[coupon]": coupon},
    )
    person, video = make.person(), make.video(level=1, **RENTAL)
    opened = page(person, video, promotion_code=code)
    assert opened.status_code == 201, opened.text
    httpx.post(opened.json()["checkout_url"], data={"card": "4242424242424242"}, timeout=30)
    person.api.post("confirm-checkout", {"session_id": opened.json()["session_id"]})
    assert watch(person, video).json()["entitlement"]["reason"] == "rental"


def test_it_is_audited_with_what_caused_it(make: Factory) -> None:
    person, _, session_id = rented(make)
    assert grant(make, session_id).cause.startswith(("event:evt_", "confirm-checkout"))
    with make.database.transaction() as tx:
        opened = tx.execute(
            select(audit_log).where(audit_log.c.user_id == person.id, audit_log.c.kind == "checkout_opened")
        ).one()
        customer = tx.scalar(
            select(billing_accounts.c.stripe_customer_id).where(billing_accounts.c.user_id == person.id)
        )
    assert opened.detail["session"] == session_id
    assert str(customer).startswith("cus_")
