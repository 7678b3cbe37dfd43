"""``Future``: six candles written out, and what may not be read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from worlds import MINUTE, candles_of, random_candles, world_of

from mtf.errors import LookaheadError
from mtf.market.candles import CLOSE
from mtf.market.labels import Future
from mtf.market.world import label_sigma

SIX = candles_of(
    [
        (10, 12, 9, 11, 1),  # 00:00–00:01
        (11, 13, 10, 12, 2),
        None,  # 00:02–00:03 is missing
        (14, 15, 13, 14, 3),
        (14, 16, 14, 16, 4),
        (16, 17, 15, 15, 5),  # 00:05–00:06
    ]
)


def future(*minutes: int, reach: int = 2) -> Future:
    """The future of decisions at some minutes, ``reach`` minutes long."""
    times = np.array(minutes) * MINUTE
    return Future(world_of(SIX), times, np.full(len(times), reach * MINUTE))


def test_the_entry_is_the_open_of_the_candle_that_opens_at_t() -> None:
    assert future(0, 1, 3, 5).entry().tolist() == [10, 11, 14, 16]


def test_a_missing_candle_is_waited_for_within_reach() -> None:
    assert future(2).entry().tolist() == [14]  # the open at 00:03
    assert np.isnan(future(2, reach=1).entry()[0])


def test_order_latency_moves_the_entry_to_the_next_open() -> None:
    assert future(3).entry(order_latency_ms=1).tolist() == [14]  # the open at 00:04
    assert future(4).entry(order_latency_ms=MINUTE).tolist() == [16]


def test_the_exit_is_the_last_close_up_to_the_horizon() -> None:
    ahead = future(0, 1, 3, 4)
    assert ahead.exit(2 * MINUTE).tolist() == [12, 12, 16, 15]  # 1 min + 2: the 00:02 is missing


def test_there_is_no_exit_before_the_entry() -> None:
    assert np.isnan(future(2, reach=1).exit(MINUTE)[0])


def test_after_the_last_candle_there_is_nothing() -> None:
    assert np.isnan(future(6).entry()[0])
    assert np.isnan(future(6).exit(2 * MINUTE)[0])
    assert not future(6).candle("1m")[1][0]


def test_the_next_candle_is_the_one_whose_close_comes_first() -> None:
    ohlcv, present, slot = future(0, 2, 5).candle("1m")
    assert slot.tolist() == [0, 2, 5]
    assert present.tolist() == [True, False, True]
    assert ohlcv[2].tolist() == [16, 17, 15, 15, 5]


def test_the_next_candle_of_a_coarse_stream_may_be_partly_elapsed() -> None:
    world = world_of(random_candles(30), {"1m": 8, "5m": 4})
    times = np.array([5, 7, 9, 10]) * MINUTE
    slot = Future(world, times, np.full(4, 5 * MINUTE)).candle("5m")[2]
    assert slot.tolist() == [1, 1, 1, 2]


def test_reading_beyond_the_reach_is_refused_by_name() -> None:
    with pytest.raises(LookaheadError, match=r"an exit 180000 ms ahead.*180000 ms after t"):
        future(0).exit(3 * MINUTE)
    world = world_of(random_candles(30), {"1m": 8, "5m": 4})
    short = Future(world, np.array([6 * MINUTE]), np.array([4 * MINUTE - 1]))
    with pytest.raises(LookaheadError, match=r"next candle of 5m, which closes 240000 ms"):
        short.candle("5m")


def test_label_volatility_is_pandas_exponentially_weighted_deviation() -> None:
    candles = random_candles(500, seed=3, missing=0.05)
    returns = np.full(500, np.nan)
    there = candles.valid
    close = candles.ohlcv[:, CLOSE]
    returns[1:] = np.where(there[1:] & there[:-1], np.log(close[1:] / close[:-1]), np.nan)
    wanted = pd.Series(returns).ewm(halflife=240, ignore_na=True, min_periods=60).std()
    np.testing.assert_allclose(label_sigma(candles), wanted.ffill(), rtol=1e-12)


def test_label_volatility_as_of_t_ends_with_the_last_closed_candle() -> None:
    candles = random_candles(200)
    world = world_of(candles)
    sigma = label_sigma(candles)
    times = np.array([0, 30, 61, 100, 200, 300]) * MINUTE
    wanted = [np.nan, np.nan, sigma[60], sigma[99], sigma[199], sigma[199]]
    np.testing.assert_array_equal(world.label_volatility(times), wanted)
    late = world_of(candles, latency_ms=1)
    np.testing.assert_array_equal(late.label_volatility(times[3:4]), [sigma[98]])


def test_a_stream_derived_from_an_absent_one_is_absent() -> None:
    candles = random_candles(2000)
    candles.valid[1990:] = False
    candles.ohlcv[1990:] = np.nan
    known = world_of(candles, {"1m": 60, "15m": 8}).known(np.array([1980, 2000]) * MINUTE)
    assert known["1m"].present.tolist() == [True, False]
    assert known["15m"].present.tolist() == [True, False]
