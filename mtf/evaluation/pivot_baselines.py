"""The constant that a forecast of pivots must beat: how often, how far, how soon on average.

It answers one array ``[decision, 4]`` under the target's name: the log odds of a pivot within the
cap and of a high, the mean distance and log time; from label values ``reached``, ``high``,
``distance`` and ``log_time``.
"""

from __future__ import annotations

import numpy as np

from mtf.evaluation.baseline import Baseline, Times
from mtf.market.labels import Label
from mtf.market.world import World
from mtf.plugins.contracts import Arrays, Head


class PivotPrior(Baseline):
    """Shares and means of the training part, whatever the market does."""

    name = "pivot_prior"
    task = "pivots"

    def fit(self, head: Head, target: str, world: World, times: Times, label: Label) -> None:
        """Count and average; distance and time over the decisions that reached a pivot."""
        self.target = target
        values = {name: value[label.present] for name, value in label.values.items()}
        reached = values["reached"] == 1
        means = [float(values[name][reached].sum()) for name in ("distance", "log_time")]
        odds = [_log_odds(reached), _log_odds(values["high"][reached] == 1)]
        self.constant = np.array([*odds, *(total / max(reached.sum(), 1) for total in means)])

    def predict(self, world: World, times: Times) -> Arrays:
        """The same at every time."""
        return {self.target: np.tile(self.constant, (len(times), 1))}


def _log_odds(happened: np.ndarray) -> float:
    """Of the share that happened, with half a case added to each side: always finite."""
    hits = float(happened.sum())
    return float(np.log((hits + 0.5) / (len(happened) - hits + 0.5)))
