"""The renewal day on paper adds up, and its picture in the docs is the one it draws."""

from pathlib import Path

import pytest

from infra.local.renewal_day import EVENTS_PER_RENEWAL, Day, plot, simulate

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "renewal-day.svg"


@pytest.mark.parametrize("per_second", [20, 25, 40])
def test_nothing_is_lost(per_second: float) -> None:
    day = Day(100_000, per_second=per_second)
    course = simulate(day)
    tasks = day.subscribers * day.share * EVENTS_PER_RENEWAL
    assert sum(course.arrived) == pytest.approx(tasks)
    assert sum(course.done) + course.waiting[-1] == pytest.approx(tasks)


def test_a_small_day_leaves_nothing_waiting_but_what_failed() -> None:
    course = simulate(Day(1_000, faults=0))
    assert max(course.waiting) == 0
    assert course.longest_delay_minutes <= 1
    assert sum(course.refused) == 0


def test_a_queue_at_its_rate_works_off_what_it_can() -> None:
    # 400,000 tasks at 20 a second are 5.6 hours' work at least, and here they arrive within one hour.
    course = simulate(Day(1_000_000, hours=1, faults=0))
    assert course.over_after_minutes == pytest.approx(400_000 / 20 / 60, abs=30)


def test_more_than_stripe_answers_only_makes_refusals() -> None:
    fitting, beyond = (simulate(Day(1_000_000, per_second=rate, faults=0)) for rate in (25, 40))
    assert sum(fitting.refused) == 0
    assert sum(beyond.refused) > 10_000
    assert beyond.over_after_minutes >= fitting.over_after_minutes


def test_what_never_ends_says_so() -> None:
    with pytest.raises(ValueError, match="not over within a week"):
        simulate(Day(1_000_000, faults=1))


def test_the_picture_in_the_docs_is_this_one() -> None:
    drawn = plot(
        {f"{rate:g} a second": simulate(Day(1_000_000, per_second=rate)) for rate in (20.0, 25.0, 40.0)}
    )
    assert PICTURE.read_text() == drawn
