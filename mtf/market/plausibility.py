"""Candles that are well-formed and yet hard to believe: no volume, jumps that revert, huge ranges.

Everything is measured against the series' own robust scale, so that a wild coin is not called
broken. These are hints for a person; nothing is removed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from mtf.market import mapped
from mtf.market.gaps import runs

SMALLEST_JUMP = 0.2
"""Log return below which nothing is called a jump."""
JUMP_SIGMAS = 25.0
"""A jump is that many times the robust standard deviation of the log returns."""


@dataclass(frozen=True)
class ZeroVolume:
    """Candles without a trade: their count, and the longest run (first slot and length)."""

    count: int = 0
    longest: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, volume: Float64[np.ndarray, " slot"], first_slot: int) -> ZeroVolume:
        """Find them; an absent slot (NaN) ends a run."""
        starts, lengths = runs(volume[rows] == 0 for rows in mapped.pieces(len(volume)))
        mapped.release(volume)
        if len(starts) == 0:
            return cls()
        at = int(np.argmax(lengths))
        return cls(int(lengths.sum()), (first_slot + int(starts[at]), int(lengths[at])))


@dataclass(frozen=True)
class Implausible:
    """Prices that are hard to believe.

    Attributes:
        jumps: candles whose close jumps away from its neighbours and comes back.
        wide: candles whose high is absurdly far above their low.
        worst: slot of the worst of both; -1 = none.
        worst_size: its log return or log range.
    """

    jumps: int = 0
    wide: int = 0
    worst: int = -1
    worst_size: float = 0.0

    @classmethod
    def of(
        cls,
        ohlcv: Float64[np.ndarray, "slot 5"],
        valid: Bool[np.ndarray, " slot"],
        first_slot: int,
    ) -> Implausible:
        """Find them among the candles; a return across a gap counts like any other."""
        returns, ranges = _moves(ohlcv, valid)
        if len(returns) < 3:
            return cls()
        far, wide = max(SMALLEST_JUMP, JUMP_SIGMAS * _robust_sigma(returns[1:])), _wide(ranges)
        counts, worst, worst_size = np.zeros(2, np.int64), -1, 0.0
        for rows in mapped.pieces(len(returns)):
            after = returns[rows.start + 1 : rows.stop + 1]
            jumps = _reverting(returns[rows][: len(after)], after, far)
            size = np.where(ranges[rows] > wide, ranges[rows], 0.0)
            counts += np.count_nonzero(jumps), np.count_nonzero(size)
            np.maximum(size, np.abs(returns[rows]), out=size, where=_padded(jumps, len(size)))
            if size.max() > worst_size:
                worst, worst_size = rows.start + int(np.argmax(size)), float(size.max())
        slot = first_slot + _row_of(valid, worst) if worst >= 0 else -1
        return cls(int(counts[0]), int(counts[1]), slot, worst_size)


def _moves(
    ohlcv: Float64[np.ndarray, "slot 5"], valid: Bool[np.ndarray, " slot"]
) -> tuple[Float64[np.ndarray, " candle"], Float64[np.ndarray, " candle"]]:
    """Log return into each candle (NaN into the first) and log of high over low."""
    count = mapped.count(valid)
    returns, ranges = mapped.empty(count), mapped.empty(count)
    end, last = 0, np.nan
    for rows in mapped.pieces(len(valid)):
        there = ohlcv[rows][valid[rows]]
        start, end = end, end + len(there)
        closes = np.log(there[:, 3])
        returns[start:end] = np.diff(closes, prepend=last)
        ranges[start:end] = np.log(there[:, 1] / there[:, 2])
        last = closes[-1] if len(closes) else last
        mapped.release(returns[start:end], ranges[start:end], ohlcv[rows], valid[rows])
    return returns, ranges


def _wide(ranges: Float64[np.ndarray, " candle"]) -> float:
    """Log range above which a candle is hard to believe."""
    return max(SMALLEST_JUMP, JUMP_SIGMAS * _median(ranges, 0.0))


def _robust_sigma(returns: Float64[np.ndarray, " step"]) -> float:
    """Standard deviation of what is normal, told by the median distance from the median."""
    return 1.4826 * _median(returns, _median(returns), absolute=True)


def _median(
    values: Float64[np.ndarray, " value"], centre: float = 0.0, *, absolute: bool = False
) -> float:
    """The median of the distances from a centre, found in place in a file where there are many."""
    sorting, half = mapped.empty(len(values)), len(values) // 2
    for rows in mapped.pieces(len(values)):
        sorting[rows] = np.abs(values[rows] - centre) if absolute else values[rows] - centre
        mapped.release(values[rows])
    sorting.partition((max(half - 1, 0), half))
    low = half if len(values) % 2 else half - 1
    return float(sorting[low] + sorting[half]) / 2


def _reverting(
    into: Float64[np.ndarray, " candle"], after: Float64[np.ndarray, " candle"], far: float
) -> Bool[np.ndarray, " candle"]:
    """Which candles lie far from both neighbours while those agree."""
    away: np.ndarray = np.abs(into) > far
    back: np.ndarray = np.abs(into + after) < 0.5 * np.abs(into)
    both: np.ndarray = away & back
    return both


def _padded(mask: Bool[np.ndarray, " candle"], length: int) -> Bool[np.ndarray, " candles"]:
    """A mask with False behind it."""
    padded: np.ndarray = np.pad(mask, (0, length - len(mask)))
    return padded


def _row_of(valid: Bool[np.ndarray, " slot"], candle: int) -> int:
    """The row of a candle by its number."""
    for rows in mapped.pieces(len(valid)):
        there = np.flatnonzero(valid[rows])
        if candle < len(there):
            return int(rows.start) + int(there[candle])
        candle -= len(there)
    raise IndexError(candle)
