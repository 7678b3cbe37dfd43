"""Raw rows in order of time, repeated times found, laid on the slot grid.

In pieces, and what is long lies in files: rows in order and once need next to no memory, however
many. Sorting takes 12 bytes a row, dropping rows 1 to 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from mtf.errors import DataError
from mtf.market import mapped
from mtf.market.timeframe import Timeframe
from mtf.market.times import iso

MAX_SLOTS_PER_ROW = 100
MAX_SPARSE_SLOTS = 10_000_000

Grid = tuple[int, np.ndarray, np.ndarray, np.ndarray | None]
"""First slot; open, high, low, close, volume of every slot; valid; available_at."""


@dataclass(frozen=True)
class SortedRows:
    """Rows in order of time.

    Attributes:
        order: number of each row among those given; None = they came in order.
        disorder: rows earlier than the one before.
        duplicate: rows (sorted) that repeat an earlier one.
        conflicting: rows (sorted) of a time that has different values.
    """

    open_time: Int64[np.ndarray, " row"]
    ohlcv: Float64[np.ndarray, "row 5"]
    available_at: Int64[np.ndarray, " row"] | None
    order: Int64[np.ndarray, " row"] | None
    disorder: int
    duplicate: Int64[np.ndarray, " duplicate"]
    conflicting: Int64[np.ndarray, " conflicting"]

    @classmethod
    def of(
        cls,
        open_time: Int64[np.ndarray, " row"],
        ohlcv: Float64[np.ndarray, "row 5"],
        available_at: Int64[np.ndarray, " row"] | None,
    ) -> SortedRows:
        """Sort where needed and find rows of the same time."""
        disorder = sum(len(rows) for rows in _steps(open_time, np.less))
        order = np.argsort(open_time, kind="stable") if disorder else None
        if order is not None:
            open_time, ohlcv = mapped.taken(open_time, order), mapped.taken(ohlcv, order)
            available_at = None if available_at is None else mapped.taken(available_at, order)
        duplicate, conflicting = _same_times(open_time, ohlcv, available_at)
        return cls(open_time, ohlcv, available_at, order, disorder, duplicate, conflicting)

    def in_given_order(self, rows: Int64[np.ndarray, " chosen"]) -> Bool[np.ndarray, " row"]:
        """Some sorted rows as a mask over the rows as given."""
        given = np.zeros(len(self.open_time), dtype=np.bool_)
        given[rows if self.order is None else self.order[rows]] = True
        return given

    def keep(self, bad: Bool[np.ndarray, " row"] | None) -> Bool[np.ndarray, " row"] | None:
        """Rows (sorted) that become candles; None = all of them."""
        if bad is None and len(self.duplicate) == 0:
            return None
        keep = np.ones(len(self.open_time), dtype=np.bool_)
        keep[self.duplicate] = keep[self.conflicting] = False
        if bad is not None:
            keep &= ~(bad if self.order is None else bad[self.order])
        return keep

    def select(self, keep: Bool[np.ndarray, " row"] | None) -> SortedRows:
        """The rows kept."""
        if keep is None:
            return self
        open_time, ohlcv = mapped.taken(self.open_time, keep), mapped.taken(self.ohlcv, keep)
        late = None if self.available_at is None else mapped.taken(self.available_at, keep)
        none = np.empty(0, dtype=np.int64)
        return SortedRows(open_time, ohlcv, late, None, 0, none, none)

    def lay_out(self, timeframe: Timeframe, origin: str) -> Grid:
        """Put every row into its slot.

        Raises:
            DataError: a few rows scattered over far too long a time.
        """
        first = int(timeframe.slot(int(self.open_time[0])))
        slots = int(timeframe.slot(int(self.open_time[-1]))) - first + 1
        rows = len(self.open_time)
        if slots == rows:
            return first, self.ohlcv, mapped.full(rows, True, np.bool_), self.available_at
        _check_sparse(rows, slots, self.open_time, timeframe, origin)
        return first, *self._scatter(timeframe, first, slots)

    def _scatter(
        self, timeframe: Timeframe, first: int, slots: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Dense arrays with NaN between the rows."""
        ohlcv, valid = mapped.full((slots, 5), np.nan), mapped.full(slots, False, np.bool_)
        late = None if self.available_at is None else _close_times(timeframe, first, slots)
        for rows in mapped.pieces(len(self.open_time)):
            at = timeframe.slot(self.open_time[rows]) - first
            ohlcv[at], valid[at] = self.ohlcv[rows], True
            if late is not None and self.available_at is not None:
                late[at] = self.available_at[rows]
            mapped.release(self.open_time[rows], self.ohlcv[rows], ohlcv[at[0] : at[-1] + 1])
        mapped.release(valid, late, self.available_at)
        return ohlcv, valid, late


def _close_times(timeframe: Timeframe, first: int, slots: int) -> Int64[np.ndarray, " slot"]:
    """Close time of so many slots from ``first`` on."""
    closes = mapped.empty(slots, np.int64)
    for rows in mapped.pieces(slots):
        closes[rows] = timeframe.close_time(first + np.arange(rows.start, rows.stop))
        mapped.release(closes[rows])
    return closes


def _steps(
    open_time: Int64[np.ndarray, " row"], compare: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Iterator[Int64[np.ndarray, " found"]]:
    """Rows whose time compares so with that of the row before, piece by piece."""
    for rows in mapped.pieces(len(open_time) - 1):
        before, after = open_time[rows], open_time[rows.start + 1 : rows.stop + 1]
        yield np.flatnonzero(compare(after, before)) + rows.start + 1
        mapped.release(before)


def _same_times(
    open_time: Int64[np.ndarray, " row"],
    ohlcv: Float64[np.ndarray, "row 5"],
    available_at: Int64[np.ndarray, " row"] | None,
) -> tuple[Int64[np.ndarray, " duplicate"], Int64[np.ndarray, " conflicting"]]:
    """Sorted rows that repeat the row before, and all rows of a time that has different values."""
    at = np.concatenate([np.empty(0, np.int64), *_steps(open_time, np.equal)])
    if len(at) == 0:
        return at, at
    first = np.searchsorted(open_time, open_time[at])  # of each repeated row: first of its time
    same = ((ohlcv[at] == ohlcv[first]) | (np.isnan(ohlcv[at]) & np.isnan(ohlcv[first]))).all(1)
    if available_at is not None:
        same &= available_at[at] == available_at[first]
    begins = np.unique(first[~same])
    ends = np.searchsorted(open_time, open_time[begins], side="right")
    spans = [np.arange(begin, end) for begin, end in zip(begins, ends, strict=True)]
    conflicting = np.concatenate([np.empty(0, np.int64), *spans])
    return np.setdiff1d(at, conflicting, assume_unique=True), conflicting


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
