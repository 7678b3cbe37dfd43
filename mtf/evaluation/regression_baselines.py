"""Baselines of regressing heads: zero, and the mean of the training part.

They answer one array ``[decision, 1]`` under the target's name, from label value ``target``.
"""

from __future__ import annotations

import numpy as np

from mtf.evaluation.baseline import Baseline, Times
from mtf.market.labels import Label
from mtf.market.world import World
from mtf.plugins.contracts import Arrays, Head


class Zero(Baseline):
    """Always 0: no return; of a log volatility, that it stays as s says; of a slope, flat."""

    name = "zero"
    task = "regression"

    def fit(self, head: Head, target: str, world: World, times: Times, label: Label) -> None:
        """Nothing to learn but which target to forecast."""
        self.target = target

    def predict(self, world: World, times: Times) -> Arrays:
        """0 at every time."""
        return {self.target: np.zeros((len(times), 1))}


class TrainMean(Baseline):
    """The mean of the training part, whatever the market does."""

    name = "train_mean"
    task = "regression"

    def fit(self, head: Head, target: str, world: World, times: Times, label: Label) -> None:
        """Average the labels; 0 where there is none."""
        self.target = target
        values = label.values["target"][label.present].astype(np.float64)
        self.mean = float(values.mean()) if len(values) else 0.0

    def predict(self, world: World, times: Times) -> Arrays:
        """The same number at every time."""
        return {self.target: np.full((len(times), 1), self.mean)}
