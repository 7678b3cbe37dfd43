"""Candles that are well-formed and yet hard to believe: no volume, jumps that revert, huge ranges.

Everything is measured against the series' own robust scale, so that a wild coin is not called
broken. These are hints for a person; nothing is removed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

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
        starts, lengths = runs(volume == 0)
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
        there = np.flatnonzero(valid)
        if len(there) < 3:
            return cls()
        returns = np.diff(np.log(ohlcv[there, 3]))
        ranges = np.log(ohlcv[there, 1] / ohlcv[there, 2])
        size = np.zeros(len(there))
        jumps = _reverting(returns)
        size[1:-1][jumps] = np.abs(returns[:-1][jumps])
        wide = ranges > max(SMALLEST_JUMP, JUMP_SIGMAS * float(np.median(ranges)))
        size[wide] = np.maximum(size[wide], ranges[wide])
        worst = int(np.argmax(size))
        found = bool(size[worst] > 0)
        return cls(
            jumps=int(np.count_nonzero(jumps)),
            wide=int(np.count_nonzero(wide)),
            worst=first_slot + int(there[worst]) if found else -1,
            worst_size=float(size[worst]),
        )


def _reverting(returns: Float64[np.ndarray, " step"]) -> Bool[np.ndarray, " inner"]:
    """Which candles (all but the ends) lie far from both neighbours while those agree."""
    sigma = 1.4826 * float(np.median(np.abs(returns - np.median(returns))))
    far = np.abs(returns[:-1]) > max(SMALLEST_JUMP, JUMP_SIGMAS * sigma)
    back: np.ndarray = np.abs(returns[:-1] + returns[1:]) < 0.5 * np.abs(returns[:-1])
    both: np.ndarray = far & back
    return both
