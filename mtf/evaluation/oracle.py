"""The best anyone could do: a synthetic world's own forecast, as class probabilities.

Only a source that knows its own law has one. The forecast is of the close, normal, given all that
happened to ``t``; a label that starts at the next open instead of the close is a little off it.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from mtf.errors import DataError
from mtf.evaluation.baseline import Baseline, Times
from mtf.market.labels import Label
from mtf.market.world import World
from mtf.plugins.contracts import Arrays, DataSource, Head


@runtime_checkable
class Thresholded(Protocol):
    """A head whose classes are log returns above, below and between ``± threshold``."""

    def threshold(
        self, label_volatility: Float64[np.ndarray, " decision"]
    ) -> Float64[np.ndarray, " decision"]:
        """The threshold in log return, from s at each decision."""


class Oracle(Baseline):
    """Class probabilities of the normal forecast that a synthetic world makes of itself.

    Args:
        source: a source with a ``best_forecast``.
    """

    name = "oracle"
    task = "classification"

    def __init__(self, source: DataSource) -> None:
        """Ask ``source``."""
        self.source = source

    def suits(self, head: Head, target: str) -> bool:
        """Only heads that tell the threshold of their classes."""
        return super().suits(head, target) and isinstance(head, Thresholded)

    def knows(self, head: Head, target: str, world: World, times: Times) -> bool:
        """Whether the source has a forecast for this world, at these times and that far."""
        horizon_ms = _horizon(head, target, times)
        try:
            return self.source.best_forecast(world.symbol, times, horizon_ms) is not None
        except DataError:  # such as a clock finer than the law of the world
            return False

    def fit(self, head: Head, target: str, world: World, times: Times, label: Label) -> None:
        """Nothing to learn but horizon and threshold."""
        assert isinstance(head, Thresholded)
        self.threshold = head.threshold
        self.horizon_ms = _horizon(head, target, times)

    def predict(self, world: World, times: Times) -> Arrays:
        """Chance of a log return above, below and between the thresholds."""
        forecast = self.source.best_forecast(world.symbol, times, self.horizon_ms)
        assert forecast is not None
        mean, variance = forecast
        return {"probs": three_ways(mean, variance, self.threshold(world.label_volatility(times)))}


def three_ways(
    mean: Float64[np.ndarray, " decision"],
    variance: Float64[np.ndarray, " decision"],
    threshold: Float64[np.ndarray, " decision"],
) -> Float64[np.ndarray, "decision 3"]:
    """Chances of a normal value above ``threshold``, below ``-threshold``, and between.

    Equal chances where something is not known.
    """
    from scipy.special import ndtr  # takes a while to load, and few runs have an oracle

    spread = np.sqrt(np.maximum(variance, 1e-300))
    above = ndtr((mean - threshold) / spread)
    below = ndtr((-threshold - mean) / spread)
    probs = np.stack([above, below, np.maximum(1 - above - below, 0.0)], axis=1)
    known = np.isfinite(probs).all(axis=1, keepdims=True)
    return np.where(known, probs, 1 / 3)


def _horizon(head: Head, target: str, times: Times) -> int:
    return int(np.median(head.reach(target, times[: 1 << 16])))
