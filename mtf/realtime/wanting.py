"""What the policy wants, decision by decision: what it would say of all of them at once.

A policy's row k depends on rows up to k alone (``Policy.targets``), so it is asked about the whole
session so far and its last row counts: rules of time (holding, cooldown) need no state of their
own, a stranger's policy serves as it is, and a session goes on after a restart as if nothing had
been. It costs some microseconds a decision of the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mtf.errors import DataError
from mtf.predictions import Predictions
from mtf.realtime.rows_so_far import Growing
from mtf.trading.contracts import Policy

PART = "live"


@dataclass(frozen=True)
class Wanted:
    """What a policy wants to hold after a decision; see ``Targets``."""

    weight: float
    confidence: float
    stop_loss: float
    take_profit: float


class Wanting:
    """A policy and all that it was told.

    Args:
        symbol: that is traded.
        policy: that is asked; None = nobody is, and nothing is wanted.
    """

    def __init__(self, symbol: str, policy: Policy | None) -> None:
        """Nothing was said yet."""
        self.symbol, self.policy = symbol, policy
        self.columns: tuple[str, ...] = ()
        self._times: list[int] = []
        self._said = Growing(0)

    def __len__(self) -> int:
        """Decisions so far."""
        return len(self._times)

    def tell(self, time_ms: int, said: Mapping[str, float]) -> None:
        """Take what the model said.

        Raises:
            DataError: other columns than before.
        """
        if not self.columns:
            self.columns = tuple(said)
            self._said = Growing(len(said))
        if tuple(said) != self.columns:
            raise DataError(
                f"found a decision with the columns {', '.join(said)}",
                f"those of the decisions before: {', '.join(self.columns)}",
                "begin another session with --new",
            )
        self._times.append(time_ms)
        self._said.append(np.array(list(said.values()), np.float64))

    def predictions(self) -> Predictions:
        """All that was said."""
        rows = self._said.rows
        arrays = {name: rows[:, i] for i, name in enumerate(self.columns)}
        return Predictions(np.array(self._times, np.int64), self.symbol, PART, arrays)

    def wanted(self) -> Wanted:
        """What is wanted after the last decision.

        Raises:
            DataError: the policy misses something in what was said.
        """
        if self.policy is None:
            return Wanted(np.nan, np.nan, np.nan, np.nan)
        targets = self.policy.targets(self.predictions())
        columns = targets.weight, targets.confidence, targets.stop_loss, targets.take_profit
        return Wanted(*(float(column[-1]) for column in columns))


__all__ = ["Wanted", "Wanting"]
