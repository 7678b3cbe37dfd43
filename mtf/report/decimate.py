"""Fewer points that look the same: what is left out is never an extreme.

Of a curve every bucket keeps its first, lowest, highest and last point, so that no drawdown gets
smaller by being drawn. Candles are joined as a coarser timeframe would join them.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Int64, Shaped

BUCKETS = 500
"""Of a curve: at most four times as many points, about two a pixel of the page."""
CANDLES = 600
"""At most so many candles a figure."""


def kept(y: Shaped[np.ndarray, " point"], buckets: int = BUCKETS) -> Int64[np.ndarray, " kept"]:
    """Rows of a curve to draw, ascending; all where there are not more than 4 × ``buckets``.

    Args:
        y: the curve; NaN are neither lowest nor highest.
        buckets: equal stretches of rows.
    """
    if len(y) <= 4 * buckets:
        return np.arange(len(y), dtype=np.int64)
    edges = np.linspace(0, len(y), buckets + 1).astype(np.int64)
    rows = [_telling(y, start, end) for start, end in pairwise(edges.tolist())]
    return np.unique(np.concatenate(rows))


def _telling(y: np.ndarray, start: int, end: int) -> Int64[np.ndarray, " row"]:
    """First, lowest, highest and last row of a bucket."""
    piece = y[start:end].astype(np.float64)
    low = np.where(np.isnan(piece), np.inf, piece).argmin()
    high = np.where(np.isnan(piece), -np.inf, piece).argmax()
    return np.array([start, start + low, start + high, end - 1], dtype=np.int64)


def joined_candles(
    time: Int64[np.ndarray, " candle"],
    ohlc: Float64[np.ndarray, "candle 4"],
    most: int = CANDLES,
) -> tuple[Int64[np.ndarray, " joined"], Float64[np.ndarray, "joined 4"]]:
    """At most ``most`` candles, each joining as many neighbours; as they are where few enough.

    Args:
        time: when each candle opens, in ms, on a regular grid.
        ohlc: open, high, low, close; NaN where there is none.
        most: candles to be left.
    """
    size = -(-len(time) // most) if len(time) else 1
    if size == 1:
        return time, ohlc
    starts = np.arange(0, len(time), size)
    present = np.isfinite(ohlc).all(axis=1)
    joined = np.full((len(starts), 4), np.nan)
    for row, start in enumerate(starts):
        piece = ohlc[start : start + size][present[start : start + size]]
        if len(piece):
            joined[row] = piece[0, 0], piece[:, 1].max(), piece[:, 2].min(), piece[-1, 3]
    return time[starts], joined


__all__ = ["BUCKETS", "CANDLES", "joined_candles", "kept"]
