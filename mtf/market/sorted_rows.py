"""Raw rows in order of time, repeated times found, laid on the slot grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from mtf.errors import DataError
from mtf.market.timeframe import Timeframe
from mtf.market.times import iso

MAX_SLOTS_PER_ROW = 100
MAX_SPARSE_SLOTS = 10_000_000
CHUNK = 1 << 16

Grid = tuple[int, np.ndarray, np.ndarray, np.ndarray | None]
"""First slot; open, high, low, close, volume of every slot; valid; available_at."""


@dataclass(frozen=True)
class SortedRows:
    """Rows in order of time. ``order`` is None where they came in order."""

    open_time: Int64[np.ndarray, " row"]
    ohlcv: Float64[np.ndarray, "row 5"]
    available_at: Int64[np.ndarray, " row"] | None
    order: Int64[np.ndarray, " row"] | None
    disorder: int
    duplicate: Bool[np.ndarray, " row"]
    conflicting: Bool[np.ndarray, " row"]

    @classmethod
    def of(
        cls,
        open_time: Int64[np.ndarray, " row"],
        ohlcv: Float64[np.ndarray, "row 5"],
        available_at: Int64[np.ndarray, " row"] | None,
    ) -> SortedRows:
        """Sort where needed and find rows of the same time."""
        disorder = int(np.count_nonzero(open_time[1:] < open_time[:-1]))
        order = np.argsort(open_time, kind="stable") if disorder else None
        if order is not None:
            open_time, ohlcv = open_time[order], ohlcv[order]
            available_at = None if available_at is None else available_at[order]
        duplicate, conflicting = _same_times(open_time, ohlcv, available_at)
        return cls(open_time, ohlcv, available_at, order, disorder, duplicate, conflicting)

    def in_given_order(self, rows: Bool[np.ndarray, " row"]) -> Bool[np.ndarray, " row"]:
        """A mask over sorted rows as a mask over the rows as given."""
        if self.order is None:
            return rows
        given = np.empty_like(rows)
        given[self.order] = rows
        return given

    def keep(self, bad: Bool[np.ndarray, " row"] | None) -> Bool[np.ndarray, " row"] | None:
        """Rows (sorted) that become candles; None = all of them."""
        if bad is None and not self.duplicate.any():
            return None
        keep: np.ndarray = ~(self.duplicate | self.conflicting)
        if bad is not None:
            keep &= ~(bad if self.order is None else bad[self.order])
        return keep

    def select(self, keep: Bool[np.ndarray, " row"] | None) -> SortedRows:
        """The rows kept."""
        if keep is None:
            return self
        late = None if self.available_at is None else self.available_at[keep]
        none = np.zeros(int(np.count_nonzero(keep)), dtype=np.bool_)
        return SortedRows(self.open_time[keep], self.ohlcv[keep], late, None, 0, none, none)

    def lay_out(self, timeframe: Timeframe, origin: str) -> Grid:
        """Put every row into its slot.

        Raises:
            DataError: a few rows scattered over far too long a time.
        """
        first = int(timeframe.slot(int(self.open_time[0])))
        slots = int(timeframe.slot(int(self.open_time[-1]))) - first + 1
        rows = len(self.open_time)
        if slots == rows:
            return first, self.ohlcv, np.ones(rows, dtype=np.bool_), self.available_at
        _check_sparse(rows, slots, self.open_time, timeframe, origin)
        return first, *self._scatter(timeframe, first, slots)

    def _scatter(
        self, timeframe: Timeframe, first: int, slots: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Dense arrays with NaN between the rows; in chunks, so that little memory is needed."""
        ohlcv, valid = np.full((slots, 5), np.nan), np.zeros(slots, dtype=np.bool_)
        late: np.ndarray | None = None
        if self.available_at is not None:
            late = timeframe.close_time(np.arange(first, first + slots, dtype=np.int64))
        for start in range(0, len(self.open_time), CHUNK):
            rows = slice(start, start + CHUNK)
            at = timeframe.slot(self.open_time[rows]) - first
            ohlcv[at], valid[at] = self.ohlcv[rows], True
            if late is not None and self.available_at is not None:
                late[at] = self.available_at[rows]
        return ohlcv, valid, late


def _same_times(
    open_time: Int64[np.ndarray, " row"],
    ohlcv: Float64[np.ndarray, "row 5"],
    available_at: Int64[np.ndarray, " row"] | None,
) -> tuple[Bool[np.ndarray, " row"], Bool[np.ndarray, " row"]]:
    """Sorted rows that repeat the row before, and all rows of a time that has different values."""
    repeated = np.zeros(len(open_time), dtype=np.bool_)
    conflicting = np.zeros(len(open_time), dtype=np.bool_)
    at = np.flatnonzero(open_time[1:] == open_time[:-1]) + 1
    if len(at) == 0:
        return repeated, conflicting
    first = np.searchsorted(open_time, open_time[at])  # of each repeated row: first of its time
    same = ((ohlcv[at] == ohlcv[first]) | (np.isnan(ohlcv[at]) & np.isnan(ohlcv[first]))).all(1)
    if available_at is not None:
        same &= available_at[at] == available_at[first]
    conflicting |= np.isin(open_time, open_time[at[~same]])
    repeated[at] = True
    return repeated & ~conflicting, conflicting


def _check_sparse(
    rows: int, slots: int, open_time: np.ndarray, timeframe: Timeframe, origin: str
) -> None:
    """A stray time (the year 1970, or 2554) must not ask for terabytes."""
    if slots <= MAX_SPARSE_SLOTS or slots <= MAX_SLOTS_PER_ROW * rows:
        return
    raise DataError(
        f"{origin}: {rows} rows from {iso(int(open_time[0]))} to {iso(int(open_time[-1]))} "
        f"are {slots} slots of {timeframe}",
        f"at most {MAX_SLOTS_PER_ROW} slots a row",
        "look for a row with a wrong time, or name the right timeframe",
    )
