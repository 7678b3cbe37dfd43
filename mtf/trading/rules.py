"""What all policies share: how long a position is held, when the next may come, stops, size.

A policy says what it would hold at each decision; the rules say what is held. They count decisions
and look at no price: a position that a stop has ended is still held by the rules, so the account
stays out until they want something else.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from mtf.errors import ConfigError, DataError
from mtf.market.columns import nearest
from mtf.predictions import Predictions
from mtf.trading import kernels
from mtf.trading.contracts import Policy
from mtf.trading.targets import Reals, Targets

Hold = Literal["flat", "keep"]
"""What a decision without a signal means: go flat, or keep what is held."""


@dataclass(frozen=True)
class Rules:
    """The keys that every policy has; ``RuledPolicy`` says what they mean.

    Raises:
        ConfigError: numbers that make no sense.
    """

    holding_steps: int = 0
    cooldown_steps: int = 0
    stop_loss: float | None = None
    take_profit: float | None = None
    long_only: bool = False
    size: float = 1.0
    min_confidence: float = 0.0
    dead_band: float = 0.0
    hold: Hold = "flat"

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        least = {"holding_steps": 0, "cooldown_steps": 0, "min_confidence": 0, "dead_band": 0}
        for name, low in least.items():
            if not getattr(self, name) >= low:
                raise ConfigError(f"found {name} {getattr(self, name)}", f"at least {low}")
        for name in ("stop_loss", "take_profit", "size"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"found {name} {value}", "above 0", f"leave out {name}")

    @property
    def no_signal(self) -> float:
        """What a decision wants that has nothing to say."""
        return np.nan if self.hold == "keep" else 0.0

    def targets(self, predictions: Predictions, signal: Reals, confidence: Reals) -> Targets:
        """Target positions from signals.

        Args:
            predictions: whose decision times count.
            signal: what each decision would hold, 1 being a whole long position; NaN = no opinion.
            confidence: of each decision; NaN = not known.
        """
        if self.min_confidence > 0:
            signal = np.where(confidence >= self.min_confidence, signal, self.no_signal)
        if self.long_only:
            signal = np.maximum(signal, 0.0)
        weight = kernels.ruled(
            signal * self.size, self.holding_steps, self.cooldown_steps, self.dead_band
        )
        distances = (self.stop_loss, self.take_profit)
        stop, take = (np.full(len(signal), np.nan if d is None else d) for d in distances)
        return Targets(predictions.times, weight, confidence, stop, take)


class RuledPolicy(Policy):
    """A policy that says what each decision would hold, and leaves the rest to the rules.

    Args:
        holding_steps: decisions that a position is held for, whatever is said meanwhile; then the
            decision of that moment counts anew. 0: follow every decision.
        cooldown_steps: decisions from the end of a position to the next one; 0: it may turn at
            once.
        stop_loss: distance of the stop from the fill as a fraction of its price; null: none.
        take_profit: distance of the take-profit, alike.
        long_only: flat where it would be short.
        size: weight of a whole position; above 1 with leverage.
        min_confidence: a decision below it has no signal.
        confidence: the head that says how sure the decision is; without it, what the policy reads.
    """

    def __init__(self, rules: Rules, confidence: str) -> None:
        self.rules, self.confidence = rules, confidence

    @abstractmethod
    def signal(self, predictions: Predictions) -> tuple[Reals, Reals | None]:
        """What each decision would hold (NaN = no opinion), and how sure it is where that is known.

        Raises:
            DataError: the predictions lack the columns that this policy reads.
        """

    def targets(self, predictions: Predictions) -> Targets:
        """Target positions under the rules."""
        signal, sure = self.signal(predictions)
        confidence = confidence_of(predictions, self.confidence, sure)
        return self.rules.targets(predictions, signal, confidence)


def column(predictions: Predictions, name: str, of: str) -> Reals:
    """A column of what a model said.

    Args:
        predictions: with the columns.
        name: of the column.
        of: who reads it, for the message.

    Raises:
        DataError: there is none.
    """
    if name not in predictions.arrays:
        said = [one for one in predictions.arrays if ".label_" not in one]
        raise DataError(
            f"{of} reads {name!r}, which the predictions do not have{nearest(name, said)}",
            f"one of {', '.join(said[:12]) or '(there is no column)'}{' …' * (len(said) > 12)}",
            "name another head, or train one that says it",
        )
    return predictions.arrays[name].astype(np.float64)


def confidence_of(predictions: Predictions, head: str, otherwise: Reals | None = None) -> Reals:
    """What the head of confidence says; where there is none, something else, or NaN."""
    said = predictions.arrays.get(f"{head}.confidence")
    if said is not None:
        return said.astype(np.float64)
    return np.full(len(predictions), np.nan) if otherwise is None else otherwise


def probabilities(
    predictions: Predictions, head: str, of: str
) -> Float64[np.ndarray, "decision 3"]:
    """Of buying, selling and holding."""
    sides = ("buy", "sell", "hold")
    return np.stack([column(predictions, f"{head}.prob_{side}", of) for side in sides], axis=1)


__all__ = ["Hold", "RuledPolicy", "Rules", "column", "probabilities"]
