from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mtf.report.decimate import joined_candles, kept


def test_a_short_curve_is_drawn_as_it_is() -> None:
    assert kept(np.arange(8.0), buckets=2).tolist() == list(range(8))


def test_every_bucket_keeps_its_ends_and_extremes() -> None:
    curve = np.array([5.0, 1, 5, 9, 5, 5, 5, 5, 5, 0, 5, 5])
    assert kept(curve, buckets=2).tolist() == [0, 1, 3, 5, 6, 9, 11]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), st.integers(1, 20))
def test_no_extreme_is_lost_and_few_points_are_left(values: list[float], buckets: int) -> None:
    curve = np.array(values)
    rows = kept(curve, buckets)
    assert len(rows) <= max(4 * buckets, 1)
    assert (np.diff(rows) > 0).all()
    assert curve[rows].min() == curve.min()
    assert curve[rows].max() == curve.max()
    assert rows[0] == 0
    assert rows[-1] == len(curve) - 1


def test_gaps_are_no_extremes() -> None:
    curve = np.full(100, np.nan)
    curve[50] = 3.0
    assert 50 in kept(curve, buckets=3)


def test_candles_are_joined_as_a_coarser_timeframe_would() -> None:
    ohlc = np.array([[1.0, 4, 0, 2], [2, 9, 2, 3], [3, 3, 1, 1], [np.nan] * 4, [7, 8, 6, 7]])
    time, joined = joined_candles(np.arange(5, dtype=np.int64), ohlc, most=3)
    assert time.tolist() == [0, 2, 4]
    assert joined.tolist() == [[1, 9, 0, 3], [3, 3, 1, 1], [7, 8, 6, 7]]


def test_a_gap_stays_a_gap() -> None:
    ohlc = np.full((4, 4), np.nan)
    ohlc[2:] = 1.0
    _, joined = joined_candles(np.arange(4, dtype=np.int64), ohlc, most=2)
    assert np.isnan(joined[0]).all()
    assert joined[1].tolist() == [1, 1, 1, 1]
