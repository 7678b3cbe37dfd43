"""The policies: from what a model said to what is to be held.

Columns are those of ``Predictions``, ``<head>.<output>``; keys let another head speak. The price
head speaks in units of s·√h (the label volatility over its horizon), and so do thresholds on it:
its predictions do not hold the scale that would make a return of them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from mtf.errors import ConfigError
from mtf.predictions import Predictions
from mtf.trading.rules import Hold, RuledPolicy, Rules, column, probabilities
from mtf.trading.targets import Reals

BUY, SELL = 0, 1
SIGNS = np.array([1.0, -1.0, 0.0])
"""Of buy, sell, hold."""

By = Literal["probability", "expected_return"]
"""What a policy looks at: the head of classes, or the head of the price."""


class Argmax(RuledPolicy):
    """Long where buying is likeliest, short where selling is, and where holding is: flat, or keep.

    Args:
        head: the head with ``prob_buy``, ``prob_sell`` and ``prob_hold``.
        hold: what HOLD means: flat, or keep the position.
    """

    def __init__(
        self,
        *,
        head: str = "action",
        hold: Hold = "flat",
        holding_steps: int = 0,
        cooldown_steps: int = 0,
        stop_loss: float | None = None,
        take_profit: float | None = None,
        long_only: bool = False,
        size: float = 1.0,
        min_confidence: float = 0.0,
        confidence: str = "confidence",
    ) -> None:
        rules = Rules(
            holding_steps=holding_steps,
            cooldown_steps=cooldown_steps,
            stop_loss=stop_loss,
            take_profit=take_profit,
            long_only=long_only,
            size=size,
            min_confidence=min_confidence,
            hold=hold,
        )
        super().__init__(rules, confidence)
        self.head = head

    def signal(self, predictions: Predictions) -> tuple[Reals, Reals | None]:
        """The sign of the likeliest class; of equal ones the first."""
        probs = probabilities(predictions, self.head, "the policy argmax")
        known = ~np.isnan(probs).any(axis=1)
        sign = SIGNS[np.where(known[:, None], probs, 0.0).argmax(axis=1)]
        signal = np.where(sign == 0.0, self.rules.no_signal, sign)
        return np.where(known, signal, np.nan), probs.max(axis=1)


class Threshold(RuledPolicy):
    """Long where enough speaks for it, short where enough speaks against, else flat, or keep.

    Args:
        by: probability: of BUY or SELL; expected_return: the price head's prediction.
        threshold: least probability; or least expected return up or down, in units of s·√h.
        head: the head that is read; null: action, or price.
        hold: what a decision below the threshold means: flat, or keep the position.
    """

    def __init__(
        self,
        *,
        by: By = "probability",
        threshold: float = 0.5,
        head: str | None = None,
        hold: Hold = "flat",
        holding_steps: int = 0,
        cooldown_steps: int = 0,
        stop_loss: float | None = None,
        take_profit: float | None = None,
        long_only: bool = False,
        size: float = 1.0,
        min_confidence: float = 0.0,
        confidence: str = "confidence",
    ) -> None:
        rules = Rules(
            holding_steps=holding_steps,
            cooldown_steps=cooldown_steps,
            stop_loss=stop_loss,
            take_profit=take_profit,
            long_only=long_only,
            size=size,
            min_confidence=min_confidence,
            hold=hold,
        )
        super().__init__(rules, confidence)
        check_not_negative(threshold=threshold)
        self.by, self.threshold, self.head = by, threshold, head or default_head(by)

    def signal(self, predictions: Predictions) -> tuple[Reals, Reals | None]:
        """1, -1, or no signal; NaN where nothing was said."""
        who = "the policy threshold"
        if self.by == "probability":
            probs = probabilities(predictions, self.head, who)
            up, down, sure = probs[:, BUY], probs[:, SELL], probs.max(axis=1)
        else:
            up = column(predictions, f"{self.head}.prediction", who)
            down, sure = -up, None
        long = (up >= self.threshold) & (up > down)
        short = (down >= self.threshold) & (down > up)
        signal = np.where(long, 1.0, np.where(short, -1.0, self.rules.no_signal))
        return np.where(np.isnan(up) | np.isnan(down), np.nan, signal), sure


class Proportional(RuledPolicy):
    """The more speaks for it the larger: a weight in proportion, capped, small changes left alone.

    By probability the weight is gain · (p(BUY) − p(SELL)); by expected return it is
    gain · μ / σ², the Kelly fraction but for its scale: μ is the price head's prediction and σ the
    volatility head's where there is one (else 1), both in units of s·√h.

    Args:
        by: probability or expected_return.
        gain: weight for a difference, or a ratio, of 1.
        cap: largest weight, before ``size``.
        dead_band: smaller changes of weight on the same side are not traded.
        head: the head that is read; null: action, or price.
        volatility: the head that says the log of the volatility over s·√h.
    """

    def __init__(
        self,
        *,
        by: By = "probability",
        gain: float = 1.0,
        cap: float = 1.0,
        dead_band: float = 0.1,
        head: str | None = None,
        volatility: str = "volatility",
        holding_steps: int = 0,
        cooldown_steps: int = 0,
        stop_loss: float | None = None,
        take_profit: float | None = None,
        long_only: bool = False,
        size: float = 1.0,
        min_confidence: float = 0.0,
        confidence: str = "confidence",
    ) -> None:
        rules = Rules(
            holding_steps=holding_steps,
            cooldown_steps=cooldown_steps,
            stop_loss=stop_loss,
            take_profit=take_profit,
            long_only=long_only,
            size=size,
            min_confidence=min_confidence,
            dead_band=dead_band,
        )
        super().__init__(rules, confidence)
        check_not_negative(gain=gain, cap=cap)
        self.by, self.gain, self.cap = by, gain, cap
        self.head, self.volatility = head or default_head(by), volatility

    def signal(self, predictions: Predictions) -> tuple[Reals, Reals | None]:
        """The capped weight; NaN where nothing was said."""
        who, sure = "the policy proportional", None
        if self.by == "probability":
            probs = probabilities(predictions, self.head, who)
            edge, sure = probs[:, BUY] - probs[:, SELL], probs.max(axis=1)
        else:
            edge = column(predictions, f"{self.head}.prediction", who)
            said = f"{self.volatility}.prediction"
            if said in predictions.arrays:
                edge = edge / np.exp(2.0 * column(predictions, said, who))
        return np.clip(self.gain * edge, -self.cap, self.cap), sure


class Position(RuledPolicy):
    """The weight that the position head sets.

    Args:
        head: the head with ``weight``.
        dead_band: smaller changes of weight on the same side are not traded.
    """

    def __init__(
        self,
        *,
        head: str = "position",
        dead_band: float = 0.0,
        holding_steps: int = 0,
        cooldown_steps: int = 0,
        stop_loss: float | None = None,
        take_profit: float | None = None,
        long_only: bool = False,
        size: float = 1.0,
        min_confidence: float = 0.0,
        confidence: str = "confidence",
    ) -> None:
        rules = Rules(
            holding_steps=holding_steps,
            cooldown_steps=cooldown_steps,
            stop_loss=stop_loss,
            take_profit=take_profit,
            long_only=long_only,
            size=size,
            min_confidence=min_confidence,
            dead_band=dead_band,
        )
        super().__init__(rules, confidence)
        self.head = head

    def signal(self, predictions: Predictions) -> tuple[Reals, Reals | None]:
        """The weight as it was said."""
        return column(predictions, f"{self.head}.weight", "the policy position"), None


def default_head(by: By) -> str:
    """Who is read where the config names nobody."""
    return "action" if by == "probability" else "price"


def check_not_negative(**given: float) -> None:
    """Refuse keys below 0.

    Raises:
        ConfigError: with the key.
    """
    for name, value in given.items():
        if not value >= 0:
            raise ConfigError(f"found {name} {value}", "at least 0")


__all__ = ["Argmax", "Position", "Proportional", "Threshold"]
