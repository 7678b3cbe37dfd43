"""Raw rows before they are candles: what is wrong with them, each fault with a name and a count.

Finite comes first: NaN passes every comparison. Nothing is mended here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from mtf.errors import DataError
from mtf.market import mapped
from mtf.market.timeframe import Timeframe
from mtf.market.times import UNIT_WORDS, Locate, duration_name, guess_unit, iso, spacing

FAULTS = {
    "non_finite": "NaN or infinite",
    "bad_price": "price not above 0",
    "bad_ohlc": "high or low on the wrong side of open or close",
    "bad_volume": "volume below 0",
    "off_grid": "open time off the grid",
    "too_early": "available_at before the close",
    "conflicting": "same time, different values",
}
"""Faults that make a row no candle, in the order in which they are told."""


@dataclass(frozen=True)
class RowCounts:
    """What only the raw rows can tell. The faults count rows; a row may have several."""

    rows: int
    disorder: int = 0
    duplicates: int = 0
    non_finite: int = 0
    bad_price: int = 0
    bad_ohlc: int = 0
    bad_volume: int = 0
    off_grid: int = 0
    too_early: int = 0
    conflicting: int = 0


def find_faults(
    open_time: Int64[np.ndarray, " row"],
    ohlcv: Float64[np.ndarray, "row 5"],
    timeframe: Timeframe,
    available_at: Int64[np.ndarray, " row"] | None = None,
) -> dict[str, Bool[np.ndarray, " row"]]:
    """Which rows have which fault; faults that no row has are left out."""
    found: dict[str, np.ndarray] = {}
    for rows in mapped.pieces(len(open_time)):
        late = None if available_at is None else available_at[rows]
        for name, mask in _faults(open_time[rows], ohlcv[rows], timeframe, late).items():
            if mask.any():
                if name not in found:
                    found[name] = np.zeros(len(open_time), np.bool_)
                found[name][rows] = mask
        mapped.release(open_time[rows], ohlcv[rows], late)
    return {name: found[name] for name in FAULTS if name in found}


def _faults(
    open_time: Int64[np.ndarray, " row"],
    ohlcv: Float64[np.ndarray, "row 5"],
    timeframe: Timeframe,
    available_at: Int64[np.ndarray, " row"] | None,
) -> dict[str, Bool[np.ndarray, " row"]]:
    """Which of a few rows have which fault."""
    open_, high, low, close, volume = ohlcv.T
    finite = np.isfinite(ohlcv).all(axis=1)
    ordered = (low <= open_) & (low <= close) & (open_ <= high) & (close <= high)
    found = {
        "non_finite": ~finite,
        "bad_price": finite & ~(ohlcv[:, :4] > 0).all(axis=1),
        "bad_ohlc": finite & ~ordered,
        "bad_volume": finite & ~(volume >= 0),
        "off_grid": ~np.asarray(timeframe.is_on_grid(open_time)),
    }
    if available_at is not None:
        found["too_early"] = available_at < open_time + timeframe.duration_ms
    return found


def any_of(masks: Iterable[Bool[np.ndarray, " row"]]) -> Bool[np.ndarray, " row"] | None:
    """Rows of which any mask is True; None = there is no mask."""
    both: np.ndarray | None = None
    for mask in masks:
        both = mask.copy() if both is None else np.logical_or(both, mask, out=both)
    return both


def check_times(open_time: Int64[np.ndarray, " row"], timeframe: Timeframe, origin: str) -> None:
    """Refuse times that as a whole are in another unit or on another grid.

    Raises:
        DataError: seconds, micro- or nanoseconds taken for milliseconds; candles of another
            timeframe; times that are all shifted against the grid.
    """
    off_grid = 0
    for rows in mapped.pieces(len(open_time)):
        off_grid += int(np.count_nonzero(~np.asarray(timeframe.is_on_grid(open_time[rows]))))
        mapped.release(open_time[rows])
    _check_unit(open_time, off_grid, origin)
    step = spacing(open_time)
    if off_grid == 0:
        _check_coarser(open_time, timeframe, step, origin)
    elif 0 < step < timeframe.duration_ms or (
        step != timeframe.duration_ms and _most(off_grid, open_time)
    ):
        raise _wrong_timeframe(step, timeframe, origin)
    elif _most(off_grid, open_time):
        raise _shifted(open_time, timeframe, origin)


def _most(count: int, rows: np.ndarray) -> bool:
    """Whether that is more than half of the rows: a matter of the file, not of some rows."""
    return 2 * count > len(rows)


def _check_unit(open_time: Int64[np.ndarray, " row"], off_grid: int, origin: str) -> None:
    """Times of the years 1973 to 5138 tell their unit by their size."""
    middle = float(np.median(open_time[:: max(1, len(open_time) // 1_000)]))
    unit = guess_unit(middle)
    # Small numbers may be honest milliseconds of 1970 (tests use them): then they are on the grid.
    if unit == "ms" or (unit == "s" and (off_grid == 0 or middle < 5e8)):
        return
    raise DataError(
        f"{origin}: open_time such as {int(open_time[0])} looks like {UNIT_WORDS[unit]}",
        "milliseconds since 1970-01-01 UTC, such as 1640995200000",
        f"set `time_unit: {unit}` (data.time_unit={unit})",
    )


def _check_coarser(
    open_time: Int64[np.ndarray, " row"], timeframe: Timeframe, step: int, origin: str
) -> None:
    """Rows on the grid that never stand side by side are candles of a longer timeframe."""
    if len(open_time) < 10 or step <= timeframe.duration_ms:
        return
    common = 0
    for rows in mapped.pieces(len(open_time) - 1):
        steps = np.abs(np.diff(open_time[rows.start : rows.stop + 1]))
        common = int(np.gcd(common, np.gcd.reduce(steps)))
    if common == step:
        raise _wrong_timeframe(step, timeframe, origin)


def _wrong_timeframe(step: int, timeframe: Timeframe, origin: str) -> DataError:
    """Name the timeframe that is there, and how to get the one that is wanted."""
    name = duration_name(step)
    finer = 0 < step < timeframe.duration_ms and timeframe.duration_ms % step == 0
    todo = (
        f"ask for {name}, and build {timeframe} from it: a stream with timeframe {name} and "
        f"`streams.<name>.from: {name}` for the {timeframe} stream"
        if finer
        else f"ask for {name}, or name a file of {timeframe} candles"
    )
    return DataError(
        f"{origin}: candles are {step / 1_000:g} s apart ({name})", f"{timeframe}", todo
    )


def _shifted(open_time: Int64[np.ndarray, " row"], timeframe: Timeframe, origin: str) -> DataError:
    """Right distance, wrong place: most often close times in the place of open times."""
    first = int(open_time[0])
    over = int((first - timeframe.anchor_ms) % timeframe.duration_ms)
    close = over >= timeframe.duration_ms - 1_000
    return DataError(
        f"{origin}: open_time such as {iso(first)} is {over / 1_000:g} s off the {timeframe} grid",
        f"open times such as {iso(first - over)}",
        "these look like close times: name the column of the open times (`columns:`)"
        if close
        else "shift the times onto the grid, or name the column of the open times (`columns:`)",
    )


def refuse(
    faults: dict[str, Bool[np.ndarray, " row"]],
    open_time: Int64[np.ndarray, " row"],
    origin: str,
    locate: Locate,
) -> DataError:
    """The message about rows that are no candles: how many of what, and the first of each."""
    parts = []
    for name, rows in faults.items():
        first = int(np.flatnonzero(rows)[0])
        count = int(np.count_nonzero(rows))
        parts.append(
            f"{count} {FAULTS[name]} (first: {locate(first)}, {iso(int(open_time[first]))})"
        )
    bad = any_of(faults.values())
    total = 0 if bad is None else int(np.count_nonzero(bad))
    return DataError(
        f"{origin}: {total} of {len(open_time)} rows are no candles: {'; '.join(parts)}",
        "finite prices above 0 with low <= open, close <= high, volume >= 0, one row a slot",
        "mend these rows, or treat them as missing with data.bad_rows=mask",
    )
