"""What a policy wants to hold, decision by decision: the value between forecasts and the broker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

Reals = Float64[np.ndarray, " decision"]


@dataclass(frozen=True)
class Targets:
    """Target positions of one symbol.

    Attributes:
        times: decision times in ms, ascending.
        weight: wanted position as a share of the usable equity: 1 all of it long, -1 short, beyond
            that with leverage; NaN leaves the position as it is.
        confidence: of each decision, in [0, 1]; NaN where the policy has none.
        stop_loss: distance of the stop from the fill as a fraction of its price; NaN = none.
        take_profit: distance of the take-profit, alike.
    """

    times: Int64[np.ndarray, " decision"]
    weight: Reals
    confidence: Reals
    stop_loss: Reals
    take_profit: Reals

    @classmethod
    def plain(cls, times: Int64[np.ndarray, " decision"], weight: Reals) -> Targets:
        """Weights alone: no stops, no take-profits, no confidence."""
        none = np.full(len(times), np.nan)
        return cls(times, weight.astype(np.float64), none, none, none)

    def __len__(self) -> int:
        """Number of decisions."""
        return len(self.times)
