"""Times as files write them, read into int64 ms UTC, and milliseconds as people read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from jaxtyping import Int64

from mtf.errors import DataError
from mtf.market import mapped
from mtf.market.timeframe import UNIT_MS

TimeUnit = Literal["auto", "s", "ms", "us", "ns", "iso"]

Locate = Callable[[int], str]
"""Where a row stands, such as ``prices.csv:17``."""

PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
UNIT_WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
UPPER_LIMIT = {"s": 1e11, "ms": 1e14, "us": 1e17}
"""A number below the limit is read in that unit: all units cover the years 1973 to 5138."""


def guess_unit(value: float) -> str:
    """The unit in which a number is a date between 1973 and 5138."""
    for unit, limit in UPPER_LIMIT.items():
        if abs(value) < limit:
            return unit
    return "ns"


def iso(time_ms: int) -> str:
    """Date and time (UTC) of a millisecond, as short as it can be said."""
    try:
        time = datetime.fromtimestamp(int(time_ms) / 1_000, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return f"{int(time_ms)} ms"
    if time_ms % 1_000:
        return f"{time:%Y-%m-%d %H:%M:%S}.{int(time_ms) % 1_000:03d}"
    return f"{time:%Y-%m-%d %H:%M:%S}" if time_ms % 60_000 else f"{time:%Y-%m-%d %H:%M}"


def duration_name(duration_ms: int) -> str:
    """The timeframe of that length, such as ``1m``; the plain length where none has it."""
    for unit, unit_ms in reversed(UNIT_MS.items()):
        if duration_ms > 0 and duration_ms % unit_ms == 0:
            return f"{duration_ms // unit_ms}{unit}"
    return f"{duration_ms} ms"


def numbers_to_ms(
    values: np.ndarray, unit: str, locate: Locate, column: str = "open_time"
) -> Int64[np.ndarray, " row"]:
    """Read whole or broken numbers in ``unit`` (``auto``: told by their size) as milliseconds.

    Raises:
        DataError: a time that is not finite; numbers where ISO times were announced.
    """
    if unit == "iso" and len(values):
        raise DataError(
            f"{locate(0)}: column {column!r} has numbers such as {values[0]}",
            "ISO times, as time_unit says",
            "set `time_unit: auto`, or the unit of the numbers: s, ms, us, ns",
        )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise no_time(locate(int(np.flatnonzero(~np.isfinite(values))[0])), column)
    if unit == "auto":
        unit = guess_unit(float(np.median(values))) if len(values) else "ms"
    return _scale(values, PER_SECOND.get(unit, 1_000))


def no_time(place: str, column: str) -> DataError:
    """A row without a time."""
    return DataError(
        f"{place}: column {column!r} has no time",
        "a time in every row",
        "remove the row or give it its time",
    )


def _scale(values: np.ndarray, per_second: int) -> Int64[np.ndarray, " row"]:
    """To milliseconds, without a copy where nothing changes."""
    if values.dtype.kind == "f":
        return np.asarray(np.rint(values * (1_000 / per_second)), dtype=np.int64)
    whole = values.astype(np.int64, copy=False)
    if per_second == 1_000:
        return whole
    return whole * 1_000 if per_second == 1 else whole // (per_second // 1_000)


def spacing(open_time: Int64[np.ndarray, " row"]) -> int:
    """The median distance of neighbouring times in ms, repeated times aside; 0 = only one time."""
    steps = _steps(open_time)
    if steps and min(steps) < 0:
        steps = _steps(np.sort(open_time))
    distances = sorted(step for step in steps if step > 0)
    if not distances:
        return 0
    seen = np.cumsum([steps[distance] for distance in distances])
    return distances[int(np.searchsorted(seen, (seen[-1] + 1) // 2))]


def _steps(open_time: Int64[np.ndarray, " row"]) -> Counter[int]:
    """How often each distance of neighbouring times is there: a few numbers for a long history."""
    found: Counter[int] = Counter()
    for rows in mapped.pieces(len(open_time) - 1):
        steps, times = np.unique(np.diff(open_time[rows.start : rows.stop + 1]), return_counts=True)
        found.update(dict(zip(steps.tolist(), times.tolist(), strict=True)))
        mapped.release(open_time[rows])
    return found
