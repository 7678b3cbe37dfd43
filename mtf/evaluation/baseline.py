"""What a baseline is: a forecast that costs nothing to understand and must be beaten.

A baseline answers in the form of the head's own outputs, so the head's own metrics are applied to
it. It sees what is known at ``t`` and nothing else, and it is fitted on the training part alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import Int64

from mtf.market.labels import Label
from mtf.market.world import World
from mtf.plugins.contracts import Arrays, Head

Times = Int64[np.ndarray, " decision"]


class Baseline(ABC):
    """A forecast for one target of a head."""

    name: ClassVar[str]
    task: ClassVar[str]
    """The ``Head.task`` it can stand beside."""

    def suits(self, head: Head, target: str) -> bool:
        """Whether it has anything to say on this target."""
        return head.task == self.task

    @abstractmethod
    def fit(self, head: Head, target: str, world: World, times: Times, label: Label) -> None:
        """Learn from the training part.

        Args:
            head: the head to stand beside.
            target: one of its targets.
            world: the market.
            times: decision times of the training part in ms.
            label: their labels, absent ones among them.
        """

    @abstractmethod
    def predict(self, world: World, times: Times) -> Arrays:
        """Forecast in the form of the head's outputs, from what is known at ``times``."""
