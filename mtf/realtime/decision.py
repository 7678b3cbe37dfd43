"""One decision of a live session, as a plain value: what was known, said, wanted and allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Decision:
    """What was decided at the close of a candle.

    Attributes:
        time_ms: ``t``: candles that closed by then count, if they had arrived by ``t`` and the
            decision delay.
        said: what the model said, by column of ``Predictions``, such as ``action.prob_buy``.
        wanted: weight that the policy wants; NaN = leave it as it is.
        weight: weight that is ordered: the wanted one, or 0 where no position may be held.
        confidence: NaN where there is none.
        stop_loss: distance from the fill as a fraction; NaN = none.
        take_profit: alike.
        streams: of every stream ``present``, ``late by 2``, ``frozen``, ``thin (49 of 600)`` (so
            many of its slots are usable) or ``absent``.
        allowed: whether the wanted weight may be ordered.
        why: why not, or what allows it although something is missing; empty = nothing to say.
    """

    time_ms: int
    said: Mapping[str, float]
    wanted: float
    weight: float
    confidence: float
    stop_loss: float
    take_profit: float
    streams: Mapping[str, str] = field(default_factory=dict)
    allowed: bool = True
    why: str = ""

    @property
    def degraded(self) -> bool:
        """Whether some stream was not there in full."""
        return any(state != "present" for state in self.streams.values())


__all__ = ["Decision"]
