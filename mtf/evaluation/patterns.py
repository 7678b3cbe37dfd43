"""Classic patterns of candles, named at every slot: what an encoder may have learned to see."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from mtf.errors import MtfError
from mtf.market.candles import CLOSE, HIGH, LOW, OPEN, VOLUME, Candles

SPAN = 20
"""Candles that a breakout leaves behind, and whose mean volume a spike is measured by."""
SPIKE = 3.0
HISTORY = 32
"""Candles that must all be there up to a slot for it to be named: TA-Lib averages over ten."""

Ohlcv = Float64[np.ndarray, "candle 5"]
Found = Bool[np.ndarray, " candle"]


def patterns_of(
    candles: Candles,
) -> tuple[dict[str, Bool[np.ndarray, " slot"]], Bool[np.ndarray, " slot"]]:
    """Which slots show each pattern, and which slots can be judged.

    ``doji``, ``hammer`` and ``engulfing`` (up or down) are TA-Lib's; a ``breakout`` closes above
    the highs or below the lows of the 20 candles before; a ``volume spike`` trades more than three
    times their mean.

    Raises:
        MtfError: TA-Lib is not installed.
    """
    there = np.flatnonzero(candles.valid)
    named = {}
    for name, found in shown_by(candles.ohlcv[there]).items():
        named[name] = np.zeros(len(candles), np.bool_)
        named[name][there] = found
    runs = np.convolve(candles.valid, np.ones(HISTORY), "full")[: len(candles)]
    return named, runs == HISTORY


def shown_by(ohlcv: Ohlcv) -> dict[str, Found]:
    """Which of consecutive candles show each pattern."""
    talib = _talib()
    prices = [np.ascontiguousarray(ohlcv[:, part]) for part in (OPEN, HIGH, LOW, CLOSE)]
    return {
        "doji": talib.CDLDOJI(*prices) != 0,
        "hammer": talib.CDLHAMMER(*prices) != 0,
        "engulfing": talib.CDLENGULFING(*prices) != 0,
        "breakout": breakouts(ohlcv),
        "volume spike": volume_spikes(ohlcv),
    }


def breakouts(ohlcv: Ohlcv) -> Found:
    """Closes beyond the highs or lows of the ``SPAN`` candles before."""
    found = np.zeros(len(ohlcv), np.bool_)
    if len(ohlcv) > SPAN:
        high, low = _before(ohlcv[:, HIGH]).max(1), _before(ohlcv[:, LOW]).min(1)
        close = ohlcv[SPAN:, CLOSE]
        found[SPAN:] = (close > high) | (close < low)
    return found


def volume_spikes(ohlcv: Ohlcv) -> Found:
    """Volumes above ``SPIKE`` times the mean of the ``SPAN`` candles before."""
    found = np.zeros(len(ohlcv), np.bool_)
    if len(ohlcv) > SPAN:
        found[SPAN:] = ohlcv[SPAN:, VOLUME] > SPIKE * _before(ohlcv[:, VOLUME]).mean(1)
    return found


def _before(values: Float64[np.ndarray, " candle"]) -> Float64[np.ndarray, "later span"]:
    """The ``SPAN`` values before each, from the first that has as many."""
    return np.lib.stride_tricks.sliding_window_view(values, SPAN)[:-1]


def _talib() -> Any:
    """TA-Lib, which is only needed here."""
    try:
        import talib
    except ImportError:
        raise MtfError(
            "TA-Lib is not installed, and it names the patterns",
            "the package TA-Lib",
            "pip install TA-Lib",
        ) from None
    return talib


__all__ = ["HISTORY", "patterns_of"]
