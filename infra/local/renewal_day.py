"""A renewal day on paper: `python -m infra.local.renewal_day [--subscribers N] [--plot FILE]`.

Counts minute by minute what arrives, what the queue lets through, what Stripe answers and what comes again. It
is arithmetic over the assumptions in `Day`, not a load test: nothing is called, nothing is drawn by chance, so
the same numbers give the same day.
"""

import argparse
import math
from collections import deque
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

# Which of a renewal's events change who may watch: customer.subscription.updated and invoice.paid (lib/billing/events.py).
EVENTS_PER_RENEWAL = 2
# What one task asks for an active subscription: customer, subscriptions, invoices, charges (lib/adapters/stripe_payments.py).
READS_PER_TASK = 4
_MINUTES_AT_MOST = 7 * 24 * 60


@dataclass(frozen=True)
class Day:
    """What is assumed.

    `share` of the subscribers renew on that day, within `hours` that rise and fall as half a sine wave.
    `per_second` is the queue's rate; `stripe_per_second` and `endpoint_per_second` are Stripe's limits.
    `faults` is the share of tasks that fail for other reasons; whatever failed comes again after
    `backoff_minutes` (the queue's longest wait between attempts).
    """

    subscribers: int
    share: float = 0.2
    hours: int = 4
    per_second: float = 20
    stripe_per_second: float = 100
    endpoint_per_second: float = 25
    faults: float = 0.01
    backoff_minutes: int = 5

    @property
    def answered_per_minute(self) -> float:
        """Tasks whose reads Stripe answers. A task asks each endpoint once."""
        return 60 * min(self.stripe_per_second / READS_PER_TASK, self.endpoint_per_second)


@dataclass(frozen=True)
class Course:
    """What becomes of it, one number for each minute; `done` and `refused` are attempts."""

    arrived: list[float]
    done: list[float]
    refused: list[float]
    waiting: list[float]

    @property
    def over_after_minutes(self) -> int:
        """Until less than one task is left."""
        return len(self.waiting)

    @property
    def longest_delay_minutes(self) -> int:
        """The longest that as many tasks are done as had arrived, if the oldest goes first."""
        done = list(accumulate(self.done))
        longest, at = 0, 0
        for minute, due in enumerate(accumulate(self.arrived)):
            while at < len(done) - 1 and done[at] < due - 1:
                at += 1
            longest = max(longest, at - minute)
        return longest


def simulate(day: Day) -> Course:
    """The day, and the days after until all is done.

    Raises:
        ValueError: It does not end within a week.
    """
    tasks = day.subscribers * day.share * EVENTS_PER_RENEWAL
    window = day.hours * 60
    # The integral of half a sine wave over its minutes, so that all of them together are all tasks.
    curve = [
        tasks * (math.cos(math.pi * minute / window) - math.cos(math.pi * (minute + 1) / window)) / 2
        for minute in range(window)
    ]
    course = Course([], [], [], [])
    ready = 0.0
    later = deque([0.0] * day.backoff_minutes)
    for minute in range(_MINUTES_AT_MOST):
        arrived = curve[minute] if minute < window else 0.0
        ready += arrived + later.popleft()
        attempts = min(ready, day.per_second * 60)
        done = min(attempts, day.answered_per_minute) * (1 - day.faults)
        ready -= attempts
        later.append(attempts - done)
        course.arrived.append(arrived)
        course.done.append(done)
        course.refused.append(attempts - done)
        course.waiting.append(ready + sum(later))
        if minute >= window and course.waiting[-1] < 1:
            return course
    raise ValueError(f"{day} is not over within a week")


def plot(courses: dict[str, Course]) -> str:
    """Waiting tasks over time as an SVG picture, one line for each course."""
    wide, high, left, bottom = 720, 320, 70, 40
    minutes = max(course.over_after_minutes for course in courses.values())
    most = max(max(course.waiting) for course in courses.values()) or 1.0
    colours = ["#1f6feb", "#d1242f", "#1a7f37"]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif" font-size="12">',
        f'<rect width="{wide}" height="{high}" fill="white"/>',
        f'<path d="M{left} 20V{high - bottom}H{wide - 20}" fill="none" stroke="black"/>',
        f'<text x="{left - 6}" y="26" text-anchor="end">{most:,.0f}</text>',
        f'<text x="{left - 6}" y="{high - bottom}" text-anchor="end">0</text>',
        f'<text x="{wide - 20}" y="{high - 20}" text-anchor="end">{minutes / 60:.1f} hours</text>',
        f'<text x="{left}" y="14">tasks waiting</text>',
    ]
    for number, (name, course) in enumerate(courses.items()):
        colour = colours[number % len(colours)]
        points = " ".join(
            f"{left + (wide - 20 - left) * minute / minutes:.1f},{high - bottom - (high - bottom - 20) * found / most:.1f}"
            for minute, found in enumerate(course.waiting)
            if minute % 5 == 0
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(
            f'<text x="{wide - 30}" y="{40 + 18 * number}" text-anchor="end" fill="{colour}">{name}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description="A renewal day on paper.")
    parser.add_argument("--subscribers", type=int, default=1_000_000)
    parser.add_argument("--share", type=float, default=Day.share, help="of them that renew on the day")
    parser.add_argument("--hours", type=int, default=Day.hours, help="within which they renew")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[20.0, 25.0, 40.0], help="of the queue, a second"
    )
    parser.add_argument("--plot", type=Path, help="write a picture (SVG) there")
    asked = parser.parse_args()
    courses = {}
    for rate in asked.rates:
        course = simulate(Day(asked.subscribers, share=asked.share, hours=asked.hours, per_second=rate))
        courses[f"{rate:g} a second"] = course
        print(
            f"{rate:g} a second: {max(course.waiting):,.0f} tasks wait at most, "
            f"{course.longest_delay_minutes / 60:.1f} h behind at most, "
            f"over after {course.over_after_minutes / 60:.1f} h, {sum(course.refused):,.0f} attempts refused"
        )
    if asked.plot:
        asked.plot.write_text(plot(courses))


if __name__ == "__main__":
    main()
