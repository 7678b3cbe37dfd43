"""Four chronological parts, cut by clock time."""

from __future__ import annotations

import pytest

from mtf.errors import DataError
from mtf.learning.splits import split
from mtf.market.timeframe import Timeframe

MINUTE = 60_000
CLOCK = Timeframe.parse("1m")
SHARES = {"train": 0.7, "validation": 0.1, "calibration": 0.05, "test": 0.15}


def test_a_hundred_minutes() -> None:
    parts = split(0, 100 * MINUTE, SHARES, CLOCK)
    edges = [(part.start_ms // MINUTE, part.end_ms // MINUTE) for part in parts.values()]
    assert edges == [(0, 70), (70, 80), (80, 85), (85, 100)]
    assert parts["calibration"].times(CLOCK).tolist() == [m * MINUTE for m in (80, 81, 82, 83, 84)]


def test_every_third_decision() -> None:
    part = split(0, 100 * MINUTE, SHARES, CLOCK)["test"]
    assert (part.times(CLOCK, 3) // MINUTE).tolist() == [85, 88, 91, 94, 97]


def test_times_lie_on_the_clock_even_where_the_start_does_not() -> None:
    part = split(30_000, 100 * MINUTE, SHARES, CLOCK)["train"]
    assert part.times(CLOCK)[0] == MINUTE


def test_borders_lie_on_the_clock() -> None:
    hourly = Timeframe.parse("1h")
    parts = split(0, 97 * hourly.duration_ms, SHARES, hourly)
    borders = [part.end_ms % hourly.duration_ms for part in parts.values()]
    assert borders == [0, 0, 0, 0]
    assert sum(len(part.times(hourly)) for part in parts.values()) == 97


def test_a_part_without_a_decision_names_its_key() -> None:
    with pytest.raises(DataError, match=r"the calibration part has no decision(.|\n)*split\.cal"):
        split(0, 10 * MINUTE, SHARES, CLOCK)
