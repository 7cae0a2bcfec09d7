"""Grants and what they come to: by tables, and whatever hypothesis makes up."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.billing.entitlement import Entitlement, Grant, none, of_grants, of_purchase, opening
from lib.billing.ports import FilmPurchase
from lib.config import AccessSettings
from lib.database.schema import WITHHELD

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = timedelta(days=1)
FILM = uuid.UUID(int=1)
SETTINGS = AccessSettings(past_due_grace_days=3, renewal_grace_hours=24, rental_start_days=30)
GIFT = Grant("gift", "g1", "basic", 1, 2, "gift", NOW - DAY, NOW + 9 * DAY)
PAID = Grant("subscription", "sub_1", "basic", 1, 2, "subscription", NOW - DAY, NOW + 5 * DAY)
BETTER = Grant("staff", "s1", "premium", 2, 4, "staff", NOW - DAY, NOW + 2 * DAY)
RENTED = Grant("purchase", "cs_1", None, 0, 1, "rental", NOW - DAY, NOW + DAY, video_id=FILM, window_hours=48)


def test_the_highest_counts_then_the_longest() -> None:
    assert of_grants([PAID, GIFT, BETTER], NOW) == Entitlement("premium", 2, 4, "staff", BETTER.ends_at)
    assert of_grants([PAID, GIFT], NOW) == Entitlement("basic", 1, 2, "gift", GIFT.ends_at)


def test_when_the_better_one_ends_the_other_goes_on() -> None:
    assert of_grants([PAID, BETTER], NOW + 3 * DAY).plan == "basic"


def test_what_has_not_begun_gives_nothing() -> None:
    later = replace(BETTER, starts_at=NOW + timedelta(seconds=1), ends_at=NOW + DAY)
    assert of_grants([later], NOW) == none("none")
    assert of_grants([later, PAID], NOW).plan == "basic"
    assert of_grants([later], NOW + timedelta(seconds=1)).plan == "premium"


def test_of_one_plan_what_follows_without_a_gap_goes_on() -> None:
    second = replace(GIFT, source_id="g2", starts_at=NOW + 9 * DAY, ends_at=NOW + 20 * DAY)
    third = replace(GIFT, source_id="g3", starts_at=NOW + 21 * DAY, ends_at=NOW + 30 * DAY)
    assert of_grants([third, second, GIFT], NOW).until == NOW + 20 * DAY, "the third comes after a gap"
    assert of_grants([GIFT, replace(second, withheld="revoked")], NOW).until == GIFT.ends_at
    assert of_grants([GIFT, replace(second, level=2, plan="premium")], NOW).until == GIFT.ends_at


def test_a_film_is_no_plan() -> None:
    assert of_grants([RENTED], NOW) == none("none")
    assert of_grants([replace(RENTED, withheld="refunded")], NOW) == none("none")


@pytest.mark.parametrize("why", WITHHELD)
def test_what_is_withheld_says_why_in_the_contract_s_words(why: str) -> None:
    told = {"duplicate": "canceled", "trial_used": "canceled", "revoked": "canceled"}.get(why, why)
    assert of_grants([replace(PAID, withheld=why)], NOW) == none(told)
    assert of_grants([replace(PAID, withheld=why), GIFT], NOW).reason == "gift"


def test_without_any_that_holds_the_newest_says_why() -> None:
    ended = replace(GIFT, starts_at=NOW - 9 * DAY, ends_at=NOW - DAY)
    canceled = replace(PAID, starts_at=NOW - 2 * DAY, withheld="canceled")
    assert of_grants([ended, canceled], NOW) == none("canceled")
    older = replace(canceled, starts_at=NOW - 10 * DAY)
    assert of_grants([ended, older], NOW) == Entitlement("basic", 1, 2, "gift", ended.ends_at)


@pytest.mark.parametrize("hours", [48, None])
def test_a_payment_for_a_film(hours: int | None) -> None:
    found = of_purchase(FilmPurchase("cs_1", FILM, hours, NOW - DAY), SETTINGS, NOW)
    assert (found.video_id, found.window_hours, found.plan, found.level) == (FILM, hours, None, 0)
    assert found.reason == ("rental" if hours else "purchase")
    assert found.ends_at == (NOW + 29 * DAY if hours else None)
    assert found.holds(NOW)


def test_a_payment_taken_back_gives_nothing() -> None:
    for why in ("refunded", "disputed"):
        bought = FilmPurchase("cs_1", FILM, None, NOW, taken_back=why)
        assert not of_purchase(bought, SETTINGS, NOW).holds(NOW)


def test_a_clock_ahead_of_ours_does_not_delay_what_was_paid_for() -> None:
    assert of_purchase(FilmPurchase("cs_1", FILM, None, NOW + DAY), SETTINGS, NOW).holds(NOW)


def test_a_plan_opens_a_film_before_its_rental_does() -> None:
    assert opening([RENTED, PAID], video_id=FILM, level=1, now=NOW) == PAID
    assert opening([RENTED, PAID], video_id=FILM, level=2, now=NOW) == RENTED
    assert opening([RENTED, PAID], video_id=uuid.UUID(int=2), level=2, now=NOW) is None


# -- whatever there may be --------------------------------------------------------------------------------

MOMENTS = st.integers(-40, 40).map(lambda days: NOW + days * DAY)
PLANS = st.sampled_from([("basic", 1, 2), ("premium", 2, 4), ("deluxe", 3, 6)])


@st.composite
def grants(draw: st.DrawFn) -> list[Grant]:
    found = []
    for number in range(draw(st.integers(0, 8))):
        plan, level, streams = draw(PLANS)
        source = draw(st.sampled_from(["subscription", "gift", "staff"]))
        starts = draw(MOMENTS)
        found.append(
            Grant(
                source,
                f"{source}_{number}",
                plan,
                level,
                streams,
                source,
                starts,
                starts + draw(st.integers(0, 40)) * DAY,
                draw(st.one_of(st.none(), st.sampled_from(WITHHELD))),
            )
        )
    return found


@given(grants(), st.randoms(use_true_random=False), MOMENTS)
def test_the_order_means_nothing(found: list[Grant], random: st.DataObject, now: datetime) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert of_grants(shuffled, now) == of_grants(found, now)


@given(grants(), MOMENTS)
def test_none_that_holds_none_that_is_active(found: list[Grant], now: datetime) -> None:
    given = of_grants(found, now)
    active = given.level > 0 and given.until is not None and given.until > now
    assert active == any(grant.holds(now) for grant in found)


@given(grants(), MOMENTS)
def test_it_never_gives_more_than_a_grant_does(found: list[Grant], now: datetime) -> None:
    given = of_grants(found, now)
    holding = [grant for grant in found if grant.holds(now)]
    if holding:
        assert given.level == max(grant.level for grant in holding)
        assert any((given.plan, given.streams) == (grant.plan, grant.streams) for grant in holding)
        # Up to its end there is a grant of that plan at every moment.
        moment = now
        while given.until is not None and moment < given.until:
            assert any(grant.plan == given.plan and grant.holds(moment) for grant in found), moment
            moment += DAY


@given(grants(), grants(), MOMENTS)
def test_more_grants_never_give_a_lower_level(found: list[Grant], more: list[Grant], now: datetime) -> None:
    fewer, all_ = of_grants(found, now), of_grants([*found, *more], now)
    if fewer.until is not None and fewer.until > now:
        assert all_.level >= fewer.level
