"""The sockets of money: a policy turns forecasts into target positions, a backtest fills them.

Constructors follow the rule of all plug-ins: parameters behind the ``*`` are the keys of the
config, with their annotations as validation and the ``Args:`` of the docstring as the manual.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from mtf.predictions import Predictions
from mtf.trading.bars import Bars
from mtf.trading.costs import Broker
from mtf.trading.outcome import Outcome
from mtf.trading.targets import Targets


class Policy(ABC):
    """Decides what to hold from what a model said, decision by decision. Looks at no candle.

    Constructor: ``(*, config keys)``.
    """

    @abstractmethod
    def targets(self, predictions: Predictions) -> Targets:
        """One target position a decision, in the order of ``predictions.times``.

        Row k may depend on rows up to k alone.

        Raises:
            DataError: the predictions lack the columns that this policy reads.
        """


class Backtest(ABC):
    """Fills target positions on candles. Constructor: ``(*, config keys)``."""

    @abstractmethod
    def run(self, targets: Targets, bars: Bars, broker: Broker) -> Outcome:
        """Trade the targets and mark the equity at every bar, the last position too.

        Raises:
            DataError: targets outside the bars.
        """


__all__ = ["Backtest", "Policy"]
