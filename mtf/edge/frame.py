"""Timeframes: slot ``k`` of a grid covers ``[anchor + k * duration, anchor + (k + 1) * duration)``.

All times are whole milliseconds UTC.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """A candle length and the anchor of its grid."""

    name: str
    duration_ms: int
    anchor_ms: int

    def slot(self, time_ms: int) -> int:
        """The slot whose candle covers the time."""
        return (time_ms - self.anchor_ms) // self.duration_ms

    def open_time(self, slot: int) -> int:
        """When the candle of a slot opens."""
        return self.anchor_ms + slot * self.duration_ms

    def close_time(self, slot: int) -> int:
        """When the candle of a slot closes."""
        return self.open_time(slot + 1)

    def last_slot(self, time_ms: int, latency_ms: int = 0) -> int:
        """The last slot closed and delivered at a time by the timetable, there or not."""
        return self.slot(time_ms - latency_ms) - 1

    def is_on_grid(self, time_ms: int) -> bool:
        """Whether a candle can open at the time."""
        return (time_ms - self.anchor_ms) % self.duration_ms == 0


__all__ = ["Frame"]
