"""Patterns by hand, beside TA-Lib, and across gaps."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mtf.errors import MtfError
from mtf.evaluation import patterns
from mtf.evaluation.patterns import HISTORY, SPAN, breakouts, patterns_of, volume_spikes
from mtf.market.candles import Candles
from mtf.market.timeframe import Timeframe


def flat(count: int) -> np.ndarray:
    """Candles between 9 and 11 with volume 5."""
    return np.tile([10.0, 11.0, 9.0, 10.0, 5.0], (count, 1))


def walk(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.001, count)))
    opens = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(opens, close) * (1 + rng.exponential(5e-4, count))
    low = np.minimum(opens, close) * (1 - rng.exponential(5e-4, count))
    return np.stack([opens, high, low, close, rng.gamma(2.0, 5.0, count)], axis=1)


def laid_out(ohlcv: np.ndarray, gaps: list[int]) -> Candles:
    valid = np.ones(len(ohlcv), np.bool_)
    valid[gaps] = False
    values = np.where(valid[:, None], ohlcv, np.nan)
    return Candles("ETHUSDT", Timeframe.parse("1m"), 100, values, valid)


def test_a_breakout_closes_beyond_all_candles_of_the_span() -> None:
    candles = flat(SPAN + 4)
    candles[SPAN, 1:4:2] = 11.0, 11.0  # at the highest high, not above
    candles[SPAN + 1, [1, 3]] = 11.5
    candles[SPAN + 2, [2, 3]] = 8.5
    assert np.flatnonzero(breakouts(candles)).tolist() == [SPAN + 1, SPAN + 2]
    assert not breakouts(flat(5)).any()


def test_a_spike_trades_more_than_three_times_the_mean_before_it() -> None:
    candles = flat(SPAN + 3)
    candles[SPAN, 4], candles[SPAN + 1, 4] = 15.0, 17.0
    assert np.flatnonzero(volume_spikes(candles)).tolist() == [SPAN + 1]


def test_a_gap_is_left_out_and_what_follows_it_is_not_judged() -> None:
    whole, gaps = walk(200), [100, 101]
    named, judged = patterns_of(laid_out(whole, gaps))
    assert np.flatnonzero(~judged).tolist() == [*range(HISTORY - 1), *range(100, 101 + HISTORY)]
    kept = np.delete(whole, gaps, axis=0)
    for name, found in patterns.shown_by(kept).items():
        assert_array_equal(np.delete(named[name], gaps), found)
        assert not named[name][gaps].any()


def test_history_is_enough_for_every_pattern() -> None:
    whole = walk(300, 1)
    named, _ = patterns_of(laid_out(whole, []))
    last, _ = patterns_of(laid_out(whole[-HISTORY:], []))
    assert {name: found[-1] for name, found in named.items()} == {
        name: found[-1] for name, found in last.items()
    }
    assert all(found.any() for found in named.values())


def test_without_ta_lib_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    true = builtins.__import__

    def refuse(name: str, *more: Any) -> Any:
        if name == "talib":
            raise ImportError(name)
        return true(name, *more)

    monkeypatch.delitem(sys.modules, "talib", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MtfError, match=r"TA-Lib is not installed[^$]*pip install TA-Lib"):
        patterns.shown_by(flat(3))
