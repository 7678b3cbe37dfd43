"""Baselines of heads that answer a position: nothing, everything, and what the price just did.

They answer ``weight [decision, 1]``.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from mtf.evaluation.baseline import Baseline, Times
from mtf.evaluation.past import past_log_closes
from mtf.market.labels import Label
from mtf.market.world import World
from mtf.plugins.contracts import Arrays, Head


@runtime_checkable
class Holding(Protocol):
    """A head that holds a weight, no less than ``lowest``, for ``hold`` clock steps."""

    hold: int
    lowest: float


class Flat(Baseline):
    """Never in the market: earns nothing, costs nothing."""

    name = "flat"
    task = "position"

    def fit(self, head: Head, target: str, world: World, times: Times, label: Label) -> None:
        """Nothing to learn."""

    def predict(self, world: World, times: Times) -> Arrays:
        """0 at every time."""
        return {"weight": np.zeros((len(times), 1))}


class AlwaysLong(Baseline):
    """Buy and hold: all in the market, whatever it does."""

    name = "always_long"
    task = "position"

    def fit(self, head: Head, target: str, world: World, times: Times, label: Label) -> None:
        """Nothing to learn."""

    def predict(self, world: World, times: Times) -> Arrays:
        """1 at every time."""
        return {"weight": np.ones((len(times), 1))}


class MomentumRule(Baseline):
    """Long where the price has risen over the last ``hold`` clock steps, else as low as allowed.

    Flat where the past return is not known or 0. On AR(1) returns with positive ρ and without costs
    no long-only player does better: E(r_next | past) = ρ·r_last is positive where r_last is.
    """

    name = "momentum_rule"
    task = "position"

    def suits(self, head: Head, target: str) -> bool:
        """Only heads that tell how long and how low they hold."""
        return super().suits(head, target) and isinstance(head, Holding)

    def fit(self, head: Head, target: str, world: World, times: Times, label: Label) -> None:
        """Nothing to learn but how long a weight is held."""
        assert isinstance(head, Holding)
        self.hold, self.lowest = head.hold, head.lowest

    def predict(self, world: World, times: Times) -> Arrays:
        """1 after a rise, ``lowest`` after a fall."""
        clock = world.clock_candles, world.clock_latency_ms
        closes = past_log_closes(*clock, times, (0, self.hold))
        past = np.nan_to_num(closes[:, :1] - closes[:, 1:])
        return {"weight": np.where(past < 0, self.lowest, np.sign(past))}
