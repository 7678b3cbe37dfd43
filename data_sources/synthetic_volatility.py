"""Log volatility of the market: a slow regime, the pattern of the day, and a fast component.

Both stochastic components are Gaussian AR(1) and functions of absolute time: the slow one (hourly,
common to all symbols) is cut off after 20 days, the fast one (by minute) settles for a day before
the span, which forgets the start to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtf.data_sources.synthetic_draws import draws
from mtf.data_sources.synthetic_kernels import ar1, moving_average

MINUTES = 1440
SLOW_SD, SLOW_DECAY, SLOW_HOURS = 0.3, 0.5 ** (1 / 48), 480
FAST_SD, FAST_DECAY = 0.45, 0.5 ** (1 / 20)
FAST_COMMON = 0.7
"""Share (as a correlation) of the leader's fast volatility in a follower's."""


def pattern() -> np.ndarray:
    """Log volatility by minute of the UTC day: a high at 15:00, mean variance 1."""
    angle = 2 * np.pi * (np.arange(MINUTES) - 15 * 60) / MINUTES
    shape = 0.25 * np.cos(angle) + 0.1 * np.cos(2 * angle)
    return np.asarray(shape - 0.5 * np.log(np.mean(np.exp(2 * shape))))


class Volatility:
    """Log volatility (burst aside) of all symbols over whole days, its components kept."""

    def __init__(
        self, seed: int, leader: str, symbols: Sequence[str], first_day: int, end_day: int
    ) -> None:
        """Days ``[first_day, end_day)``; the fast component has one more day before to settle."""
        self.seed, self.leader = seed, leader
        self.first_day, self.end_day = first_day, end_day
        lead_days = SLOW_HOURS // 24
        noise = self._normals("", "slow", first_day - lead_days, 24)
        self.slow = moving_average(noise, SLOW_DECAY, SLOW_SD, SLOW_HOURS)[1:]
        self.fast = {s: self._fast(s) for s in symbols}
        self.daily = pattern()

    def of_day(self, symbol: str, day: int) -> np.ndarray:
        """Log volatility by minute; its mean variance over all days is 1."""
        first = (day - self.first_day) * MINUTES
        fast = self.fast[symbol][first : first + MINUTES] - FAST_SD**2
        return np.asarray(self.daily + fast + np.repeat(self.slow_of_day(day), 60) - SLOW_SD**2)

    def slow_of_day(self, day: int) -> np.ndarray:
        """The slow component by hour."""
        return np.asarray(self.slow[(day - self.first_day) * 24 : (day - self.first_day + 1) * 24])

    def _fast(self, symbol: str) -> np.ndarray:
        """The fast component by minute: the leader's, and the symbol's own."""
        own = self._settled(symbol)
        if symbol == self.leader:
            return own
        common = self._settled(self.leader)
        return FAST_COMMON * common + float(np.sqrt(1 - FAST_COMMON**2)) * own

    def _settled(self, symbol: str) -> np.ndarray:
        noise = self._normals(symbol, "fast", self.first_day - 1, MINUTES)
        return np.asarray(ar1(noise, FAST_DECAY, FAST_SD, 0.0)[MINUTES:])

    def _normals(self, symbol: str, purpose: str, first_day: int, per_day: int) -> np.ndarray:
        days = range(first_day, self.end_day)
        keys = (draws(self.seed, symbol, purpose, day) for day in days)
        return np.concatenate([random.standard_normal(per_day) for random in keys])
