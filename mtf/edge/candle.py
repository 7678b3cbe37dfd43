"""One candle as it comes in, checked at the border: everything behind it may rely on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mtf.edge.errors import RunnerError
from mtf.edge.frame import Frame

FIELDS = ("open_time", "open", "high", "low", "close", "volume")


class Candle(NamedTuple):
    """Prices, volume in base coin, and when it may be known (ms)."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    available_at: int


Given = Mapping[str, float] | Sequence[float]
"""``open_time`` (ms), open, high, low, close, volume, in that order or by these names."""


def read_candle(
    stream: str, frame: Frame, latency_ms: int, given: Given, available_at: int | None
) -> tuple[int, Candle]:
    """The slot of a candle, and the candle.

    Args:
        stream: for messages.
        frame: on whose grid it must be.
        latency_ms: from its close until it is known, where nothing else is said.
        given: the candle.
        available_at: when it may be known (ms), at least its close; None = by the timetable.

    Raises:
        RunnerError: it is no candle of that timeframe.
    """
    try:
        values = [given[name] for name in FIELDS] if isinstance(given, Mapping) else list(given)
        open_time, (start, high, low, close, volume) = int(values[0]), map(float, values[1:])
    except (KeyError, TypeError, ValueError) as error:
        raise _no_candle(stream, f"{given!r}", ", ".join(FIELDS)) from error
    prices = start, high, low, close
    if not all(math.isfinite(value) for value in (*prices, volume)):
        raise _no_candle(stream, f"{given!r}", "finite prices and volume")
    if min(prices) <= 0 or volume < 0 or low > min(start, close) or high < max(start, close):
        expected = "prices above 0 with low <= open, close <= high, and a volume of at least 0"
        raise _no_candle(stream, f"{given!r}", expected)
    if not frame.is_on_grid(open_time):
        raise _no_candle(stream, f"open_time {open_time}", f"the open of a {frame.name} candle, ms")
    slot = frame.slot(open_time)
    on_time = frame.close_time(slot) + latency_ms
    if available_at is None:
        available_at = on_time
    elif available_at < frame.close_time(slot):
        raise _no_candle(stream, f"available_at {available_at}", "a time after the candle's close")
    return slot, Candle(start, high, low, close, volume, max(int(available_at), on_time))


def _no_candle(stream: str, found: str, expected: str) -> RunnerError:
    return RunnerError(f"stream {stream}: found {found}", expected, "mend what delivers them")


__all__ = ["FIELDS", "Candle", "Given", "read_candle"]
