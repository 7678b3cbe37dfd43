"""Candles beside those of a second source: brought to one timeframe and one span, then compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from mtf.market.agreement import Agreement
from mtf.market.candles import CLOSE, Candles
from mtf.market.resample import resample
from mtf.market.timeframe import Timeframe


def compare(candles: Candles, other: Candles, name: str = "the second source") -> Agreement:
    """Compare candle by candle; the finer of the two is resampled to the timeframe of the other.

    Raises:
        DataError: neither timeframe is a multiple of the other.
    """
    timeframe = max(candles.timeframe, other.timeframe)
    ours, theirs = _at(candles, timeframe), _at(other, timeframe)
    first = max(ours.first_slot, theirs.first_slot)
    slots = max(min(ours.end_slot, theirs.end_slot) - first, 0)
    times = timeframe.open_time(np.arange(first, first + slots, dtype=np.int64))
    found = Agreement.of(
        name, str(timeframe), times, _rows(ours, first, slots), _rows(theirs, first, slots)
    )
    return found if found.compared else replace(found, nearest=_nearest(candles, other))


def _at(candles: Candles, timeframe: Timeframe) -> Candles:
    """The candles at the timeframe of the comparison."""
    return candles if candles.timeframe == timeframe else resample(candles, timeframe)


def _rows(candles: Candles, first_slot: int, slots: int) -> Float64[np.ndarray, "slot 5"]:
    """Some slots of the candles."""
    start = first_slot - candles.first_slot
    return candles.ohlcv[start : start + slots]


def _nearest(
    candles: Candles, other: Candles
) -> tuple[tuple[int, float], tuple[int, float]] | None:
    """Time and close of the two candles that are nearest in time; None without candles."""
    here, there = np.flatnonzero(candles.valid), np.flatnonzero(other.valid)
    if len(here) == 0 or len(there) == 0:
        return None
    ours, theirs = candles.open_time()[here], other.open_time()[there]
    before = np.clip(np.searchsorted(theirs, ours), 1, len(theirs)) - 1
    after = np.minimum(before + 1, len(theirs) - 1)
    near = np.where(np.abs(ours - theirs[before]) <= np.abs(ours - theirs[after]), before, after)
    at = int(np.argmin(np.abs(ours - theirs[near])))
    close, known = candles.ohlcv[here[at], CLOSE], other.ohlcv[there[near[at]], CLOSE]
    return (int(ours[at]), float(close)), (int(theirs[near[at]]), float(known))
