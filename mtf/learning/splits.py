"""The four chronological parts of a run, cut by clock time.

``[start, end)`` of the decisions is cut into train | validation | calibration | test. A label that
looks beyond the end of its part is absent (``mtf.learning.targets``); features may look back across
a border, which is no leak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from mtf.errors import DataError
from mtf.market.timeframe import Timeframe

PARTS = ("train", "validation", "calibration", "test")


@dataclass(frozen=True)
class Part:
    """One part of the decisions: those with ``start_ms <= t < end_ms``."""

    name: str
    start_ms: int
    end_ms: int

    def slots(self, clock: Timeframe, stride: int = 1) -> range:
        """The slots that open at every ``stride``-th close of the clock in the part."""
        first = -(-(self.start_ms - clock.anchor_ms) // clock.duration_ms)
        last = -(-(self.end_ms - clock.anchor_ms) // clock.duration_ms)
        return range(first, last, stride)

    def times(self, clock: Timeframe, stride: int = 1) -> Int64[np.ndarray, " decision"]:
        """Every ``stride``-th close of the clock in the part, in ms."""
        slots = self.slots(clock, stride)
        return clock.open_time(np.arange(slots.start, slots.stop, stride, dtype=np.int64))


def split(
    start_ms: int, end_ms: int, shares: dict[str, float], clock: Timeframe
) -> dict[str, Part]:
    """Cut ``[start_ms, end_ms)`` by clock time into the four parts, on closes of the clock.

    Args:
        start_ms: first decision time at the earliest.
        end_ms: all decision times lie before it.
        shares: share of each of ``PARTS``, summing to 1.
        clock: the timeframe at whose closes decisions are made.

    Raises:
        DataError: a part without a single close of the clock.
    """
    cumulated = np.cumsum([0.0, *(shares[name] for name in PARTS)])
    edges = [start_ms + round((end_ms - start_ms) * share) for share in cumulated]
    borders = [clock.open_time(clock.slot(edge)) for edge in edges]
    borders[0], borders[-1] = start_ms, end_ms
    parts = {
        name: Part(name, borders[index], borders[index + 1]) for index, name in enumerate(PARTS)
    }
    for part in parts.values():
        if not len(part.slots(clock)):
            raise DataError(
                f"the {part.name} part has no decision: {shares[part.name]:.0%} of "
                f"{(end_ms - start_ms) / clock.duration_ms:.0f} clock steps of {clock}",
                "at least one decision in every part",
                f"widen decisions.start … decisions.end or raise split.{part.name}",
            )
    return parts
