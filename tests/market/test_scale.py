"""Sigma and mean volume against hand, pandas, and themselves in pieces."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from histories import candles, closes, walk
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.market.scale import SAVE_EVERY, compute_scale, scale_state, scan_scale


def test_sigma_by_hand() -> None:
    # Half-life 1: the newest square counts 1, the one before 1/2.
    scale = compute_scale(candles(closes([1.0, np.exp(0.1), np.exp(0.4)])), half_life=1)
    assert np.isnan(scale.sigma[0])
    assert scale.sigma[1] == pytest.approx(0.1)
    assert scale.sigma[2] == pytest.approx(np.sqrt((0.3**2 + 0.5 * 0.1**2) / 1.5))


def test_volume_mean_by_hand() -> None:
    ohlcv = closes([1.0, np.nan, 1.0, 1.0])
    ohlcv[:, 4] = [4.0, np.nan, 1.0, 0.0]
    scale = compute_scale(candles(ohlcv, ~np.isnan(ohlcv[:, 0])), half_life=1, volume_half_life=1)
    np.testing.assert_allclose(scale.volume_mean, [4, 4, (1 + 2) / 1.5, (0.5 + 1) / 1.75])


def test_the_first_candle_after_a_gap_brings_no_return() -> None:
    prices = [1.0, 1.1, np.nan, 5.0, 5.5]
    ohlcv = closes(prices)
    scale = compute_scale(candles(ohlcv, ~np.isnan(ohlcv[:, 0])), half_life=1)
    np.testing.assert_allclose(scale.sigma[1:], np.log(1.1))
    assert scale.last_valid.tolist() == [0, 1, 1, 3, 4]


def test_sigma_is_known_from_60_observed_returns() -> None:
    ohlcv, valid = walk(100, 1)
    valid[20], ohlcv[20] = False, np.nan  # costs two returns
    sigma = compute_scale(candles(ohlcv, valid)).sigma
    assert np.isnan(sigma[:62]).all()
    assert not np.isnan(sigma[62:]).any()


def test_sigma_has_a_floor_and_volume_mean_may_be_zero() -> None:
    scale = compute_scale(candles(closes([7.0] * 100, volume=0.0)))
    assert scale.sigma[-1] == 1e-5
    assert scale.volume_mean[-1] == 0.0


def test_an_empty_and_an_absent_history() -> None:
    assert len(compute_scale(candles(np.empty((0, 5)))).sigma) == 0
    scale = compute_scale(candles(np.full((3, 5), np.nan), np.zeros(3, np.bool_)))
    assert np.isnan(scale.sigma).all()
    assert np.isnan(scale.volume_mean).all()
    assert (scale.last_valid == -1).all()


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_against_pandas(missing: float) -> None:
    ohlcv, valid = walk(3_000, 2, missing)
    scale = compute_scale(candles(ohlcv, valid), half_life=60, volume_half_life=30)
    returns = pd.Series(np.log(ohlcv[:, 3])).diff()  # NaN beside every missing candle
    squares = (returns**2).ewm(halflife=60, adjust=True, ignore_na=True).mean()
    expected = np.sqrt(squares).where(returns.notna().cumsum() >= 60).ffill()
    np.testing.assert_allclose(scale.sigma, expected, rtol=1e-9)
    volume = pd.Series(ohlcv[:, 4]).ewm(halflife=30, adjust=True, ignore_na=True).mean()
    np.testing.assert_allclose(scale.volume_mean, volume, rtol=1e-9)


@settings(deadline=None)  # the first example may compile
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_pieces_equal_the_whole_bit_for_bit(seed: int, sizes: list[int]) -> None:
    ohlcv, valid = walk(sum(sizes), seed, 0.2)
    whole = compute_scale(candles(ohlcv, valid), 5, 7)
    state, start = scale_state(), 0
    for size in sizes:
        cut = slice(start, start + size)
        piece = scan_scale(ohlcv[cut], valid[cut], state, start, 5, 7)
        for name in ("sigma", "volume_mean", "last_valid"):
            np.testing.assert_array_equal(getattr(piece, name), getattr(whole, name)[cut])
        start += size


def test_saved_states_continue_the_scan() -> None:
    ohlcv, valid = walk(2 * SAVE_EVERY + 5, 3, 0.1)
    whole = compute_scale(candles(ohlcv, valid))
    assert whole.states is not None
    assert len(whole.states) == 3
    start = 2 * SAVE_EVERY
    rest = scan_scale(ohlcv[start:], valid[start:], whole.states[2].copy(), start)
    np.testing.assert_array_equal(rest.sigma, whole.sigma[start:])
    np.testing.assert_array_equal(rest.last_valid, whole.last_valid[start:])


def test_a_candle_moves_its_own_row_and_no_earlier_one() -> None:
    ohlcv, valid = walk(200, 4)
    before = compute_scale(candles(ohlcv, valid))
    changed = ohlcv.copy()
    changed[150] *= 1.01
    after = compute_scale(candles(changed, valid))
    np.testing.assert_array_equal(before.sigma[:150], after.sigma[:150])
    assert before.sigma[150] != after.sigma[150]
    assert before.volume_mean[150] != after.volume_mean[150]
