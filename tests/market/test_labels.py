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


def test_the_extremes_are_those_from_entry_to_exit() -> None:
    highest, lowest = future(0, 1, 3, 4).extremes(2 * MINUTE)
    assert highest.tolist() == [13, 13, 16, 17]  # 1 min + 2: the 00:02 is missing
    assert lowest.tolist() == [9, 10, 13, 14]
    later = future(3).extremes(2 * MINUTE, order_latency_ms=1)
    assert [value.tolist() for value in later] == [[16], [14]], "from the open at 00:04"
    for nothing in (future(2, reach=1).extremes(MINUTE), future(6).extremes(2 * MINUTE)):
        assert np.isnan(nothing).all()


def test_extremes_beyond_the_reach_are_refused() -> None:
    with pytest.raises(LookaheadError, match="extremes up to 180000 ms ahead"):
        future(0).extremes(3 * MINUTE)


def test_the_path_is_asked_for_within_the_reach_only() -> None:
    """What paths and lines say is told in tests/heads; here: how far they may look."""
    wide, ahead = np.array([0.1]), future(0)
    with pytest.raises(LookaheadError, match="barriers up to 180000 ms ahead"):
        ahead.first_touched(wide, wide, 3 * MINUTE)
    with pytest.raises(LookaheadError, match="volatility up to 180000 ms ahead"):
        ahead.realised_volatility(3 * MINUTE)
    with pytest.raises(LookaheadError, match="3 candles of 1m, which closes 180000 ms after t"):
        ahead.line(3, "1m")
    with pytest.raises(LookaheadError, match="pivots up to 180000 ms ahead"):
        ahead.pivot((1,), 3 * MINUTE)
    with pytest.raises(LookaheadError, match="candles up to 180000 ms ahead"):
        ahead.share(3 * MINUTE)


def test_the_share_of_candles_that_are_there() -> None:
    assert future(0, 1, 2, 5, 6).share(2 * MINUTE).tolist() == [1.0, 0.5, 0.5, 0.5, 0.0]


def test_barriers_are_counted_from_the_entry() -> None:
    """From 10: 12 is touched at 00:00 already (a log return of 0.18), 9 is one of -0.11."""
    ahead = future(0, 1, 2, 6)
    for take_profit, stop_loss, wanted in (
        (0.15, 0.2, [0, 0, 2, 2]),
        (0.15, 0.1, [2, 0, 2, 2]),  # 9 in the same minute stops it; from 11 down to 10 is -0.095
        (0.1, 0.3, [2, 0, 2, 2]),  # both trades take profit at 00:00
        (0.3, 0.3, [2, 2, 2, 2]),
    ):
        barriers = np.full(4, take_profit), np.full(4, stop_loss)
        assert ahead.first_touched(*barriers, 2 * MINUTE).tolist() == wanted


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
