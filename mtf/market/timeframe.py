"""Timeframes and their slots: the regular grid on which every stream lives.

A candle of a timeframe covers ``[open_time, open_time + duration)``. Slot ``k`` opens at
``anchor + k * duration``. All times are int64 milliseconds UTC. Weeks start on Monday
(anchor 1970-01-05), everything else at the epoch. Months have no constant duration and are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering
from typing import TypeVar

import numpy as np

from mtf.errors import ConfigError

UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
MONDAY_MS = 4 * UNIT_MS["d"]  # 1970-01-05, the first Monday after the epoch

Time = TypeVar("Time", int, np.ndarray)
"""One number, or an int64 array of them."""


@total_ordering
@dataclass(frozen=True)
class Timeframe:
    """A candle length such as ``1m``: a name, a duration and the anchor of its grid."""

    name: str
    duration_ms: int
    anchor_ms: int

    @classmethod
    def parse(cls, text: str) -> Timeframe:
        """Read ``<count><unit>`` with unit s, m, h, d or w.

        Raises:
            ConfigError: not of that form, or months.
        """
        match = re.fullmatch(r"([1-9][0-9]{0,3})([smhdw])", str(text))
        if match is None:
            raise ConfigError(
                f"found timeframe {text!r}",
                "a count and a unit s, m, h, d or w, such as 1s, 5m, 4h, 1w",
                "months have no constant duration and are not supported"
                if re.fullmatch(r"\d*(M|mo|month|months)", str(text))
                else "write the timeframe in that form",
            )
        count, unit = int(match[1]), match[2]
        return cls(str(text), count * UNIT_MS[unit], MONDAY_MS if unit == "w" else 0)

    def __lt__(self, other: Timeframe) -> bool:
        """Shorter candles come first."""
        return self.duration_ms < other.duration_ms

    def __str__(self) -> str:
        """The name, as written in configs."""
        return self.name

    def slot(self, time_ms: Time) -> Time:
        """The slot whose candle covers ``time_ms``, which is the first to close after it."""
        return (time_ms - self.anchor_ms) // self.duration_ms

    def open_time(self, slot: Time) -> Time:
        """When the candle of ``slot`` opens, in ms."""
        return self.anchor_ms + slot * self.duration_ms

    def close_time(self, slot: Time) -> Time:
        """When the candle of ``slot`` closes, in ms: the open of the next slot."""
        return self.open_time(slot) + self.duration_ms

    def last_slot(self, time_ms: Time, latency_ms: int = 0) -> Time:
        """The last slot closed and delivered at ``time_ms`` by the timetable, there or not."""
        return (time_ms - latency_ms - self.anchor_ms) // self.duration_ms - 1

    def is_on_grid(self, time_ms: Time) -> bool | np.ndarray:
        """Whether a candle of this timeframe can open at ``time_ms``."""
        on_grid: bool | np.ndarray = (time_ms - self.anchor_ms) % self.duration_ms == 0
        return on_grid
