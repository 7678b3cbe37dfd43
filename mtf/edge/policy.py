"""From what a model said to what is to be held: the policies of mtf, one decision after another.

A policy says what a decision would hold; the rules say what is held. They count decisions, so a
decision that is not asked for does not age a position.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mtf.edge.errors import RunnerError

NAN = float("nan")
SIGNS = (1.0, -1.0, 0.0)
"""Of buy, sell, hold."""

Said = Mapping[str, float]
"""Column, such as ``action.prob_buy``, → what the model said of it."""
Signal = tuple[float, float]
"""What a decision would hold, 1 being a whole long position, and how sure it is; NaN = not said."""


@dataclass(frozen=True)
class Target:
    """What is to be held.

    Attributes:
        weight: as a share of the usable equity: 1 all of it long, -1 short.
        confidence: of the decision; NaN where nothing says it.
        stop_loss: distance of the stop from the fill as a fraction of its price; None = none.
        take_profit: distance of the take-profit, alike.
    """

    weight: float
    confidence: float
    stop_loss: float | None
    take_profit: float | None


class Policy:
    """One of the built-in policies under its rules.

    Args:
        name: argmax, threshold, proportional or position.
        settings: all keys of the policy in the config.
    """

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        """Flat.

        Raises:
            RunnerError: no such policy.
        """
        if name not in SIGNALS:
            raise RunnerError(f"found the policy {name!r}", f"one of {', '.join(SIGNALS)}")
        self.signal, self.settings = SIGNALS[name], settings
        self.no_signal = NAN if settings.get("hold") == "keep" else 0.0
        self.weight = 0.0
        self._age = self._rest = 0

    def target(self, said: Said) -> Target:
        """What is to be held after one more decision.

        Raises:
            RunnerError: the model says nothing of what the policy reads.
        """
        own = self.settings
        signal, sure = self.signal(said, own, self.no_signal)
        confidence = said.get(f"{own['confidence']}.confidence", sure)
        if own["min_confidence"] > 0 and not confidence >= own["min_confidence"]:
            signal = self.no_signal
        if own["long_only"] and signal < 0:
            signal = 0.0
        self._hold(signal * own["size"])
        return Target(self.weight, confidence, own["stop_loss"], own["take_profit"])

    def _hold(self, wanted: float) -> None:
        """The rules of time: how long a position is held, and when the next may come."""
        holding, cooldown = self.settings["holding_steps"], self.settings["cooldown_steps"]
        if self.weight == 0:
            self._rest = max(self._rest - 1, 0)
        else:
            wanted = self._continued(wanted, holding)
            if wanted * self.weight <= 0:
                self.weight, self._rest = 0.0, cooldown
        if self.weight != 0:
            self.weight = wanted
        elif self._rest == 0 and wanted != 0 and not math.isnan(wanted):
            self.weight, self._age = wanted, 0

    def _continued(self, wanted: float, holding: int) -> float:
        """What a position that is held is to become."""
        self._age += 1
        if self._age < holding:
            wanted = self.weight
        elif math.isnan(wanted):
            wanted = 0.0 if holding > 0 else self.weight
        elif wanted * self.weight > 0:
            small = abs(wanted - self.weight) < self.settings.get("dead_band", 0.0)
            wanted = self.weight if small else wanted
        if holding > 0 and self._age >= holding:
            self._age = 0
        return wanted


def argmax(said: Said, own: Mapping[str, Any], no_signal: float) -> Signal:
    """The sign of the likeliest class; of equal ones the first."""
    probs = probabilities(said, own["head"])
    if any(map(math.isnan, probs)):
        return NAN, NAN
    sign = SIGNS[probs.index(max(probs))]
    return sign if sign else no_signal, max(probs)


def threshold(said: Said, own: Mapping[str, Any], no_signal: float) -> Signal:
    """1 where enough speaks for it, -1 where enough speaks against."""
    least, sure = own["threshold"], NAN
    if own["by"] == "probability":
        up, down, hold = probabilities(said, own["head"])
        sure = max(up, down, hold)
    else:
        up = column(said, f"{own['head']}.prediction")
        down = -up
    if math.isnan(up) or math.isnan(down):
        return NAN, sure
    if up >= least and up > down:
        return 1.0, sure
    return -1.0 if down >= least and down > up else no_signal, sure


def proportional(said: Said, own: Mapping[str, Any], no_signal: float) -> Signal:
    """The more speaks for it the larger, capped."""
    sure = NAN
    if own["by"] == "probability":
        up, down, hold = probabilities(said, own["head"])
        edge, sure = up - down, max(up, down, hold)
    else:
        edge = column(said, f"{own['head']}.prediction")
        log_volatility = said.get(f"{own['volatility']}.prediction")
        edge = edge if log_volatility is None else edge / math.exp(2 * log_volatility)
    return min(max(own["gain"] * edge, -own["cap"]), own["cap"]), sure


def position(said: Said, own: Mapping[str, Any], no_signal: float) -> Signal:
    """The weight that the position head sets."""
    return column(said, f"{own['head']}.weight"), NAN


SIGNALS: dict[str, Callable[[Said, Mapping[str, Any], float], Signal]] = {
    "argmax": argmax,
    "threshold": threshold,
    "proportional": proportional,
    "position": position,
}


def column(said: Said, name: str) -> float:
    """One figure that the model said.

    Raises:
        RunnerError: it does not say it.
    """
    if name not in said:
        raise RunnerError(f"the policy reads {name!r}", f"one of {', '.join(list(said)[:12])}")
    return said[name]


def probabilities(said: Said, head: str) -> list[float]:
    """Of buying, selling and holding."""
    return [column(said, f"{head}.prob_{side}") for side in ("buy", "sell", "hold")]


__all__ = ["SIGNALS", "Policy", "Target"]
