"""Timeframes and their slots."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtf.errors import ConfigError
from mtf.market.timeframe import Timeframe

NAMES = ["1s", "1m", "5m", "15m", "1h", "4h", "1d", "1w"]
TIMES = st.integers(-(10**13), 10**13)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("1s", 1), ("15m", 900), ("4h", 14_400), ("1d", 86_400), ("2w", 1_209_600)],
)
def test_durations(name: str, seconds: int) -> None:
    assert Timeframe.parse(name).duration_ms == seconds * 1000


def test_weeks_open_on_monday_and_days_at_midnight() -> None:
    week, day = Timeframe.parse("1w"), Timeframe.parse("1d")
    sunday = ms("2023-03-26T23:59:59")
    assert week.open_time(week.slot(sunday)) == ms("2023-03-20T00:00:00")
    assert week.open_time(week.slot(sunday + 1000)) == ms("2023-03-27T00:00:00")
    assert day.open_time(day.slot(sunday)) == ms("2023-03-26T00:00:00")
    assert datetime.fromtimestamp(week.open_time(0) / 1000, UTC).strftime("%A") == "Monday"


@pytest.mark.parametrize("name", ["1M", "M", "1mo", "3month", "2months"])
def test_months_are_refused_for_what_they_are(name: str) -> None:
    with pytest.raises(ConfigError, match="months have no constant duration"):
        Timeframe.parse(name)


@pytest.mark.parametrize("name", ["", "m", "0m", "-1m", "1.5h", "1 m", "60", "1y", "1H", "1m\n"])
def test_other_texts_are_refused_with_an_example(name: str) -> None:
    with pytest.raises(ConfigError, match="such as 1s, 5m, 4h, 1w"):
        Timeframe.parse(name)


def test_order_is_by_duration() -> None:
    frames = [Timeframe.parse(name) for name in NAMES]
    shuffled = frames[4:] + frames[:4]
    assert sorted(shuffled) == frames
    assert Timeframe.parse("5m") < Timeframe.parse("1h") <= Timeframe.parse("1h")
    assert [str(frame) for frame in frames] == NAMES


def test_last_slot_at_the_boundary_to_the_millisecond() -> None:
    minute = Timeframe.parse("1m")
    assert minute.last_slot(59_999) == -1  # the first candle is still open
    assert minute.last_slot(60_000) == 0
    assert minute.last_slot(60_249, 250) == -1
    assert minute.last_slot(60_250, 250) == 0


def test_before_1970_slots_are_negative_and_still_floor() -> None:
    minute = Timeframe.parse("1m")
    assert minute.slot(-1) == -1
    assert minute.slot(-60_000) == -1
    assert minute.slot(-60_001) == -2
    assert minute.last_slot(0) == -1
    assert Timeframe.parse("1w").slot(0) == -1  # Thursday, 1970-01-01


@given(st.sampled_from(NAMES), TIMES)
def test_a_slot_covers_its_time_and_closes_next_after_it(name: str, time_ms: int) -> None:
    frame = Timeframe.parse(name)
    slot = frame.slot(time_ms)
    assert frame.open_time(slot) <= time_ms < frame.close_time(slot)
    assert frame.close_time(slot) == frame.open_time(slot + 1)
    assert frame.is_on_grid(frame.open_time(slot))
    assert frame.is_on_grid(time_ms) == (frame.open_time(slot) == time_ms)


@given(st.sampled_from(NAMES), TIMES, st.integers(0, 10**9))
def test_the_last_slot_has_closed_and_the_next_has_not(name: str, t: int, latency: int) -> None:
    frame = Timeframe.parse(name)
    last = frame.last_slot(t, latency)
    assert frame.close_time(last) + latency <= t < frame.close_time(last + 1) + latency


@given(st.sampled_from(NAMES), st.lists(TIMES, min_size=1, max_size=5))
def test_arrays_give_what_single_times_give(name: str, times: list[int]) -> None:
    frame = Timeframe.parse(name)
    array = np.array(times, np.int64)
    assert frame.slot(array).tolist() == [frame.slot(t) for t in times]
    assert frame.last_slot(array, 7).tolist() == [frame.last_slot(t, 7) for t in times]
