"""Pivots: highs and lows that stand out among their neighbours, level by level.

Level 1 is Williams' fractal: a candle whose high is above the highs of the ``n`` candles before and
the ``n`` after it. Level k looks the same way at the high pivots of level k - 1 alone: those above
the ``n`` such pivots before and after them (``n`` may differ by level). Lows mirror highs. Of equal
heights that lie that close together the first is the pivot: it is strictly above what comes before
and not below what comes after. Candles that are missing are passed over, as if time had stood
still.

A pivot is known to be one at the close of the last candle that it is compared with (of level k:
that which confirms the last of the ``n`` pivots after it). No later candle can take it back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from mtf.market.candles import HIGH, LOW, Candles

NEVER = np.iinfo(np.int64).max
"""The row of what is not there."""
Neighbours = tuple[int, ...]
"""How many on each side a pivot is compared with, a number a level from 1 on."""


@dataclass(frozen=True)
class Extremes:
    """The pivots of one level and kind, oldest first.

    Attributes:
        row: the candle that holds the extreme.
        confirmed: the candle whose close confirms it; ascends with ``row``.
        price: the high or the low.
    """

    row: Int64[np.ndarray, " pivot"]
    confirmed: Int64[np.ndarray, " pivot"]
    price: Float64[np.ndarray, " pivot"]

    def standing_out(self, neighbours: int, sign: float) -> Extremes:
        """Those above (``sign`` 1) or below (-1) their neighbours: the next level."""
        at = peaks(sign * self.price, neighbours)
        return Extremes(self.row[at], self.confirmed[at + neighbours], self.price[at])


@dataclass(frozen=True)
class NextPivot:
    """The next pivot after each decision.

    Attributes:
        found: whether one is confirmed in time; nothing below has a meaning where not.
        high: whether it is a high.
        price: of the extreme.
        steps: clock steps from t to the close of its candle, at least 1.
    """

    found: Bool[np.ndarray, " decision"]
    high: Bool[np.ndarray, " decision"]
    price: Float64[np.ndarray, " decision"]
    steps: Int64[np.ndarray, " decision"]


class Pivots:
    """All pivots of a history; each level is found once, in one pass over the one before it.

    Args:
        candles: the history.
    """

    def __init__(self, candles: Candles) -> None:
        """Nothing is searched before it is asked for."""
        self._candles = candles
        self._found: dict[Neighbours, tuple[Extremes, Extremes]] = {}

    def level(self, neighbours: Neighbours) -> tuple[Extremes, Extremes]:
        """Highs and lows of level ``len(neighbours)``; of level 0 every candle is both."""
        if not neighbours:
            there = np.flatnonzero(self._candles.valid)
            high, low = (self._candles.ohlcv[there, column] for column in (HIGH, LOW))
            return Extremes(there, there, high), Extremes(there, there, low)
        if neighbours not in self._found:
            highs, lows = self.level(neighbours[:-1])
            reach = neighbours[-1]
            self._found[neighbours] = highs.standing_out(reach, 1), lows.standing_out(reach, -1)
        return self._found[neighbours]


def peaks(height: Float64[np.ndarray, " place"], neighbours: int) -> Int64[np.ndarray, " peak"]:
    """Places that are above the ``neighbours`` before them and not below those after them."""
    if len(height) <= 2 * neighbours:
        return np.empty(0, dtype=np.int64)
    end = len(height) - neighbours
    middle = height[neighbours:end]
    stands = np.ones(len(middle), dtype=bool)
    for away in range(1, neighbours + 1):
        stands &= middle > height[neighbours - away : end - away]
        stands &= middle >= height[neighbours + away : end + away]
    return np.flatnonzero(stands) + neighbours


def next_pivot(
    highs: Extremes,
    lows: Extremes,
    first: Int64[np.ndarray, " decision"],
    last: Int64[np.ndarray, " decision"],
) -> NextPivot:
    """The earliest pivot at or after row ``first`` that is confirmed by row ``last``.

    A candle that is both counts as a high.
    """
    high_row, high_price = _earliest(highs, first, last)
    low_row, low_price = _earliest(lows, first, last)
    row, high = np.minimum(high_row, low_row), high_row <= low_row
    found = row < NEVER
    steps = np.where(found, row - first + 1, 0)
    return NextPivot(found, high & found, np.where(high, high_price, low_price), steps)


def _earliest(
    extremes: Extremes, first: Int64[np.ndarray, " decision"], last: Int64[np.ndarray, " decision"]
) -> tuple[Int64[np.ndarray, " decision"], Float64[np.ndarray, " decision"]]:
    """Row and price of the earliest in time; ``NEVER`` and NaN where there is none."""
    at = np.searchsorted(extremes.row, first)
    row, price = np.full(len(first), NEVER), np.full(len(first), np.nan)
    found = np.flatnonzero(at < len(extremes.row))
    found = found[extremes.confirmed[at[found]] <= last[found]]
    row[found], price[found] = extremes.row[at[found]], extremes.price[at[found]]
    return row, price
