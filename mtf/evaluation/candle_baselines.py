"""Baselines of the next candle: the forming candle, and the mean candle of the training part.

They answer one array ``[decision, 5]`` under the target's name, in the channels of the label.
"""

from __future__ import annotations

import numpy as np

from mtf.evaluation.baseline import Baseline, Times
from mtf.evaluation.naive import naive_candle
from mtf.market.labels import Label
from mtf.market.world import World
from mtf.plugins.contracts import Arrays, Head


class NaiveCandle(Baseline):
    """The candle that is forming, taken as finished; flat at the last close where none is."""

    name = "naive_candle"
    task = "candle"

    def fit(self, head: Head, target: str, world: World, times: Times, label: Label) -> None:
        """Nothing to learn but which stream to forecast."""
        self.target = target

    def predict(self, world: World, times: Times) -> Arrays:
        """What has been seen of the next candle at each time."""
        return {self.target: naive_candle(world, times, self.target)}


class MeanCandle(Baseline):
    """The mean of all next candles of the training part, in the channels of the label."""

    name = "mean_candle"
    task = "candle"

    def fit(self, head: Head, target: str, world: World, times: Times, label: Label) -> None:
        """Average the labels; 0 (flat, mean volume) where there is none."""
        self.target = target
        candles = label.values["candle"][label.present].astype(np.float64)
        self.mean = candles.mean(axis=0) if len(candles) else np.zeros(5)

    def predict(self, world: World, times: Times) -> Arrays:
        """The same candle at every time."""
        return {self.target: np.tile(self.mean, (len(times), 1))}
