"""Longer candles from shorter ones. A bucket that is not complete is not a candle."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64

from mtf.errors import DataError
from mtf.market import mapped
from mtf.market.candles import CLOSE, HIGH, LOW, OPEN, VOLUME, Candles
from mtf.market.timeframe import Timeframe


def resample(candles: Candles, timeframe: Timeframe) -> Candles:
    """Build candles of a longer timeframe; absent where any of their slots is.

    Open of the first slot, close of the last, highest high, lowest low, sum of the volumes. A
    bucket may be known when all of its slots may.

    Raises:
        DataError: the timeframe is not a multiple of the candles'.
    """
    count = _slots_per_bucket(candles.timeframe, timeframe)
    first = -(
        (timeframe.anchor_ms - _open_time(candles, candles.first_slot)) // timeframe.duration_ms
    )
    end = int(timeframe.slot(_open_time(candles, candles.end_slot)))
    if end <= first:
        return Candles.empty(candles.symbol, timeframe, first)
    start = int(candles.timeframe.slot(int(timeframe.open_time(first)))) - candles.first_slot
    size = end - first
    ohlcv, valid = mapped.empty((size, 5)), mapped.empty(size, np.bool_)
    arrives = candles.available_at
    late = None if arrives is None else mapped.empty(size, np.int64)
    for cut in mapped.pieces(size, max(mapped.PIECE // count, 1)):
        rows = slice(start + cut.start * count, start + cut.stop * count)
        valid[cut] = np.all(candles.valid[rows].reshape(-1, count), axis=1)
        ohlcv[cut] = _aggregate(candles.ohlcv[rows].reshape(-1, count, 5), valid[cut])
        mapped.release(candles.ohlcv[rows], candles.valid[rows], ohlcv[cut])
        if late is not None and arrives is not None:
            closes = timeframe.close_time(first + np.arange(cut.start, cut.stop))
            latest = arrives[rows].reshape(-1, count).max(axis=1)
            late[cut] = np.where(valid[cut], latest, closes)
            mapped.release(arrives[rows], late[cut])
    return Candles(candles.symbol, timeframe, first, ohlcv, valid, late).trim()


def _open_time(candles: Candles, slot: int) -> int:
    """Open time of one slot."""
    return int(candles.timeframe.open_time(slot))


def _slots_per_bucket(source: Timeframe, target: Timeframe) -> int:
    """How many candles make one; refuses what does not divide."""
    count, rest = divmod(target.duration_ms, source.duration_ms)
    if count < 1 or rest or (target.anchor_ms - source.anchor_ms) % source.duration_ms:
        raise DataError(
            f"found {target} candles to be built from {source} candles",
            f"a timeframe that is a multiple of {source}",
            f"derive {target} from a timeframe that divides it, or load {target} natively",
        )
    return count


def _aggregate(
    slots: Float64[np.ndarray, "bucket slot 5"], valid: Bool[np.ndarray, " bucket"]
) -> Float64[np.ndarray, "bucket 5"]:
    """One candle a bucket; NaN where not valid."""
    buckets = np.empty((len(slots), 5))
    buckets[:, OPEN] = slots[:, 0, OPEN]
    buckets[:, HIGH] = slots[:, :, HIGH].max(axis=1)
    buckets[:, LOW] = slots[:, :, LOW].min(axis=1)
    buckets[:, CLOSE] = slots[:, -1, CLOSE]
    buckets[:, VOLUME] = slots[:, :, VOLUME].sum(axis=1)
    buckets[~valid] = np.nan
    return buckets
