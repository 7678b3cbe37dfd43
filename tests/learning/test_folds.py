"""Folds along time: test blocks tile, and nothing that is learned lies at or after one."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtf.config.schema import WalkForwardConfig
from mtf.errors import DataError
from mtf.learning.folds import Fold, folds, length_ms
from mtf.market.timeframe import Timeframe

MINUTE = 60_000
CLOCK = Timeframe.parse("1m")
LEARNED = ("train", "validation", "calibration")


def in_minutes(fold: Fold) -> dict[str, tuple[int, int]]:
    return {name: (part.start_ms // MINUTE, part.end_ms // MINUTE) for name, part in fold.items()}


def test_two_folds_of_two_hundred_minutes() -> None:
    plan = WalkForwardConfig(folds=2, first_train=0.5, validation=0.2, calibration=0.1)
    first, second = folds(0, 200 * MINUTE, plan, CLOCK)
    assert in_minutes(first) == {
        "train": (0, 70),
        "validation": (70, 90),
        "calibration": (90, 100),
        "test": (100, 150),
    }
    assert in_minutes(second) == {
        "train": (0, 105),
        "validation": (105, 135),
        "calibration": (135, 150),
        "test": (150, 200),
    }


def test_a_rolling_window_keeps_its_length() -> None:
    plan = WalkForwardConfig(folds=2, window="rolling", validation=0.2, calibration=0.1)
    _, second = folds(0, 200 * MINUTE, plan, CLOCK)
    assert in_minutes(second)["train"] == (50, 120)
    assert in_minutes(second)["test"] == (150, 200)


def test_lengths_may_be_durations_and_an_embargo_is_left_out() -> None:
    plan = WalkForwardConfig(
        folds=1,
        first_train="2h",
        validation="20m",
        calibration="10m",
        embargo=Timeframe.parse("5m"),
    )
    (fold,) = folds(0, 200 * MINUTE, plan, CLOCK)
    assert in_minutes(fold) == {
        "train": (0, 85),
        "validation": (85, 105),
        "calibration": (105, 115),
        "test": (120, 200),
    }
    assert length_ms("2h", 0) == 120 * MINUTE
    assert length_ms(0.25, 400) == 100


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"first_train": "3d"}, r"fold 1 of 4: the test part(.|\n)*first_train 3d"),
        ({"validation": "2d"}, r"fold 1 of 4: the train part(.|\n)*validation 2d"),
    ],
)
def test_a_part_without_a_decision_names_the_lengths(plan: dict[str, str], said: str) -> None:
    hourly = Timeframe.parse("1h")
    config = WalkForwardConfig.model_validate(plan)
    with pytest.raises(DataError, match=said):
        folds(0, 24 * hourly.duration_ms, config, hourly)


@given(
    start=st.integers(0, 10**7),
    minutes=st.integers(500, 5_000),
    ragged=st.integers(0, MINUTE - 1),
    count=st.integers(1, 7),
    window=st.sampled_from(["expanding", "rolling"]),
    first=st.floats(0.2, 0.8),
    clock=st.sampled_from(["1s", "1m", "5m"]),
    embargo=st.sampled_from([None, "1s", "10m"]),
)
def test_test_blocks_tile_and_learning_ends_before_them(
    start: int,
    minutes: int,
    ragged: int,
    count: int,
    window: Literal["expanding", "rolling"],
    first: float,
    clock: str,
    embargo: str | None,
) -> None:
    grid, end = Timeframe.parse(clock), start + minutes * MINUTE + ragged
    left_out = None if embargo is None else Timeframe.parse(embargo)
    plan = WalkForwardConfig(
        folds=count,
        window=window,
        first_train=first,
        validation=0.2,
        calibration=0.2,
        embargo=left_out,
    )
    found = folds(start, end, plan, grid)
    tests = [fold["test"] for fold in found]
    assert len(tests) == count
    assert tests[-1].end_ms == end
    assert all(one.end_ms == other.start_ms for one, other in pairwise(tests))
    lengths = [test.end_ms - test.start_ms for test in tests]
    assert max(lengths) - min(lengths) <= 2 * grid.duration_ms
    gap = left_out.duration_ms if left_out else 0
    for fold in found:
        assert fold["train"].end_ms == fold["validation"].start_ms
        assert fold["validation"].end_ms == fold["calibration"].start_ms
        assert fold["calibration"].end_ms <= fold["test"].start_ms - gap
        assert fold["train"].start_ms >= start
        for name in LEARNED:
            times = fold[name].times(grid)
            assert len(times)
            assert times[-1] < fold["test"].start_ms
    spans = [fold["test"].start_ms - fold["train"].start_ms for fold in found]
    assert len(set(spans)) == (1 if window == "rolling" else count)
