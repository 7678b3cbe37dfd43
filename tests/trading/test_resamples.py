from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtf.trading import resamples
from mtf.trading.resamples import compared, interval_ends, resampled_rows, resampled_sums


@given(st.integers(1, 60), st.integers(1, 9), st.integers(0, 5))
def test_every_resample_is_made_of_circular_blocks(count: int, length: int, seed: int) -> None:
    rows = np.concatenate(list(resampled_rows(count, 7, length=length, seed=seed)))
    assert rows.shape == (7, count)
    assert rows.min() >= 0
    assert rows.max() < count
    size = min(length, count)
    for start in range(0, count, size):
        block = rows[:, start : start + size]
        assert ((block - block[:, :1]) % count == np.arange(block.shape[1])).all()


def test_the_length_is_the_rounded_cube_root_unless_told() -> None:
    (rows,) = resampled_rows(27, 400, seed=1)
    follows = (np.diff(rows, axis=1) % 27 == 1).mean()
    # within a block of 3 always, from block to block one time in 27: (18 + 8/27) / 26
    assert follows == pytest.approx((18 + 8 / 27) / 26, abs=0.01)


def test_pieces_are_bounded_and_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,) = resampled_rows(10, 9, seed=3)
    monkeypatch.setattr(resamples, "ROWS_AT_ONCE", 25)
    pieces = list(resampled_rows(10, 9, seed=3))
    assert [piece.shape for piece in pieces] == [(2, 10)] * 4 + [(1, 10)]
    assert (np.concatenate(pieces) == whole).all()


@given(st.integers(1, 70), st.integers(0, 5))
def test_sums_are_those_of_the_rows(count: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(0, 1, (count, 2))
    (rows,) = resampled_rows(count, 9, seed=seed)
    (sums,) = resampled_sums(values, 9, seed=seed)
    assert sums == pytest.approx(values[rows].sum(axis=1))


def test_nothing_is_drawn_from_nothing() -> None:
    assert list(resampled_sums(np.zeros((0, 2)), 9)) == []
    assert list(resampled_rows(0, 9)) == []


def test_ends_of_an_interval() -> None:
    draws = np.arange(101, dtype=np.float64)
    assert interval_ends(draws) == pytest.approx((2.5, 97.5))
    assert interval_ends(draws, level=0.5) == pytest.approx((25, 75))
    half = np.where(draws < 51, np.nan, draws)
    assert np.isnan(interval_ends(half)).all()  # the other half would be a selection
    assert np.isnan(interval_ends(np.array([1.0]))).all()


def test_p_counts_what_chance_does_as_well() -> None:
    # around their difference of 2: -1, 0, 1, 2 and 3; as far out as 2 either way: two of five
    found = compared(2.0, np.array([1.0, 2, 3, 4, 5]), count=1000)
    assert found.p_two_sided == pytest.approx(3 / 6)
    assert found.p_better == pytest.approx(3 / 6)
    worse = compared(-2.0, np.array([-3.0, -2, -1, 0, 1]), count=1000)
    assert worse.p_better == 1.0  # -1, 0, 1, 2, 3 are all at least -2
    assert worse.p_two_sided == pytest.approx(3 / 6)


def test_few_blocks_tell_little() -> None:
    draws = np.full(999, 1.0)  # no resample differs: four days in two blocks
    found = compared(1.0, draws, count=4)
    assert found.p_better == 0.25
    assert found.p_two_sided == 0.5
    assert compared(1.0, draws, count=1000).p_better == pytest.approx(1 / 1000)


def test_no_difference_is_no_test() -> None:
    found = compared(np.nan, np.array([1.0, 2.0]), count=9)
    assert np.isnan([found.value, found.low, found.p_two_sided, found.p_better]).all()
    assert np.isnan(compared(1.0, np.array([1.0, 2.0]), count=1).p_better)
