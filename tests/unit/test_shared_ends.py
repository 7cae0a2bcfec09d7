"""The moment at which URLs die is the same for many viewers, and never later than it may be."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from lib.video.playback import _shared_end

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
moments = st.timedeltas(timedelta(0), timedelta(days=9000)).map(lambda later: NOON + later)
lives = st.timedeltas(timedelta(seconds=1), timedelta(days=7))


@given(moments, lives)
def test_a_little_earlier_and_never_later(now: datetime, life: timedelta) -> None:
    end = _shared_end(now, life)
    assert now + life * 15 / 16 - timedelta(seconds=1) < end <= now + life


def test_who_comes_within_minutes_has_the_same() -> None:
    film = timedelta(hours=2)
    ends = {_shared_end(NOON + timedelta(seconds=second), film) for second in range(3600)}
    assert len(ends) <= 3600 / 256 + 1


def test_who_watches_along_keeps_theirs() -> None:
    """What remains gets less as time goes on, so the end stays."""
    ends = {
        _shared_end(NOON + timedelta(minutes=minute), timedelta(minutes=110 - minute)) for minute in range(10)
    }
    assert len(ends) == 1
