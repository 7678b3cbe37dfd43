"""Candles of one symbol and timeframe, validated once at the border and laid on the slot grid.

Everything behind this border may rely on it: finite positive prices with low <= open, close <=
high, volume >= 0, one candle a slot, slots in order. A slot without a candle is ``valid = False``
and NaN. Nothing is ever filled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64

from mtf.errors import DataError
from mtf.market import mapped
from mtf.market.report import DataReport
from mtf.market.rows import RowCounts, any_of, check_times, find_faults, refuse
from mtf.market.sorted_rows import SortedRows
from mtf.market.timeframe import Timeframe
from mtf.market.times import Locate

OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)

BadRows = Literal["refuse", "mask"]
"""What to do with rows that are no candles: stop, or treat them as missing."""


@dataclass(frozen=True)
class Candles:
    """One symbol at one timeframe on its regular grid.

    Attributes:
        first_slot: the slot of row 0; row ``i`` is slot ``first_slot + i``.
        ohlcv: open, high, low, close, volume (base coin); NaN where there is no candle.
        valid: whether the slot has a candle.
        available_at: when each candle may be known (ms), at least its close time; None = at its
            close plus the stream's latency. Only for sources that know of late deliveries. A slot
            without a candle has its close time: nothing is waited for.
        counts: what the raw rows told; None = not made from rows.
    """

    symbol: str
    timeframe: Timeframe
    first_slot: int
    ohlcv: Float64[np.ndarray, "slot 5"]
    valid: Bool[np.ndarray, " slot"]
    available_at: Int64[np.ndarray, " slot"] | None = None
    counts: RowCounts | None = field(default=None, compare=False)

    @classmethod
    def from_rows(
        cls,
        symbol: str,
        timeframe: Timeframe,
        open_time: Int64[np.ndarray, " row"],
        ohlcv: Float64[np.ndarray, "row 5"],
        *,
        available_at: Int64[np.ndarray, " row"] | None = None,
        bad_rows: BadRows = "refuse",
        origin: str = "rows",
        locate: Locate | None = None,
    ) -> Candles:
        """Validate rows and lay them on the grid: the border that all data crosses.

        Disorder is sorted and exact duplicates are dropped; both are counted. Without gaps the
        array given is used as it is, not copied.

        Args:
            symbol: such as ETHUSDT.
            timeframe: on whose grid the rows must be.
            open_time: ms UTC.
            ohlcv: open, high, low, close, volume.
            available_at: when each row may be known (ms), at least its close time.
            bad_rows: ``refuse`` rows that are no candles, or ``mask`` their slots as absent.
            origin: where the rows come from, for messages.
            locate: where one row stands, for messages; default: its number.

        Raises:
            DataError: no rows, rows that are no candles, a wrong unit or grid, or a few rows
                scattered over far too long a time.
        """
        if len(open_time) == 0:
            raise DataError(f"{origin}: no rows", f"candles of {symbol} at {timeframe}")
        check_times(open_time, timeframe, origin)
        faults = find_faults(open_time, ohlcv, timeframe, available_at)
        rows = SortedRows.of(open_time, ohlcv, available_at)
        if len(rows.conflicting):
            faults["conflicting"] = rows.in_given_order(rows.conflicting)
        keep = rows.keep(any_of(faults.values()))
        if faults and (bad_rows == "refuse" or keep is None or not keep.any()):
            raise refuse(faults, open_time, origin, locate or (lambda row: f"row {row + 1}"))
        counts = RowCounts(
            rows=len(open_time),
            disorder=rows.disorder,
            duplicates=len(rows.duplicate),
            **{name: int(np.count_nonzero(mask)) for name, mask in faults.items()},
        )
        grid = rows.select(keep).lay_out(timeframe, origin)
        return cls(symbol, timeframe, *grid, counts)

    @classmethod
    def empty(cls, symbol: str, timeframe: Timeframe, first_slot: int = 0) -> Candles:
        """No slots at all."""
        return cls(symbol, timeframe, first_slot, np.empty((0, 5)), np.empty(0, dtype=np.bool_))

    def __len__(self) -> int:
        """Number of slots, absent ones included."""
        return len(self.valid)

    @property
    def end_slot(self) -> int:
        """One past the last slot."""
        return self.first_slot + len(self)

    @cached_property
    def report(self) -> DataReport:
        """Gaps, zero volume, implausible prices and what the raw rows told; computed once."""
        return DataReport.of(
            self.symbol, self.timeframe, self.first_slot, self.ohlcv, self.valid, self.counts
        )

    def open_time(self) -> Int64[np.ndarray, " slot"]:
        """Open time of every slot in ms."""
        times = mapped.empty(len(self), np.int64)
        for rows in mapped.pieces(len(self)):
            slots = self.first_slot + np.arange(rows.start, rows.stop)
            times[rows] = self.timeframe.open_time(slots)
            mapped.release(times[rows])
        return times

    def slice(self, start_ms: int, end_ms: int) -> Candles:
        """The candles with ``start_ms <= open_time < end_ms``, as a view without absent ends."""
        frame = self.timeframe
        start = -((frame.anchor_ms - start_ms) // frame.duration_ms)
        end = -((frame.anchor_ms - end_ms) // frame.duration_ms)
        return self._rows(max(start - self.first_slot, 0), max(end - self.first_slot, 0)).trim()

    def trim(self) -> Candles:
        """The slots from the first to the last candle, as a view."""
        if len(self) and self.valid[0] and self.valid[-1]:
            return self
        ends = [
            (rows.start + int(there[0]), rows.start + int(there[-1]) + 1)
            for rows in mapped.pieces(len(self))
            if len(there := np.flatnonzero(self.valid[rows]))
        ]
        if not ends:
            return Candles.empty(self.symbol, self.timeframe, self.first_slot)
        return self._rows(ends[0][0], ends[-1][1])

    def _rows(self, start: int, end: int) -> Candles:
        """A view of some rows."""
        late = None if self.available_at is None else self.available_at[start:end]
        first = min(self.first_slot + start, self.end_slot)
        ohlcv, valid = self.ohlcv[start:end], self.valid[start:end]
        return Candles(self.symbol, self.timeframe, first, ohlcv, valid, late, self.counts)

    def fingerprint(self) -> str:
        """The sha256 over symbol, timeframe, start and values: the same data, the same text."""
        digest = hashlib.sha256(f"{self.symbol} {self.timeframe} {self.first_slot}".encode())
        for array in (self.ohlcv, self.valid, self.available_at):
            for rows in mapped.pieces(len(self)):
                if array is not None:
                    digest.update(np.ascontiguousarray(array[rows]).data)
                    mapped.release(array[rows])
        return digest.hexdigest()


def join(parts: Sequence[Candles], origin: str) -> Candles:
    """Candles of one symbol and timeframe from several places, such as a file a year.

    Raises:
        DataError: the same candle with different values in two places.
    """
    first = parts[0]
    joined = Candles.from_rows(
        first.symbol,
        first.timeframe,
        mapped.joined([mapped.taken(part.open_time(), part.valid) for part in parts]),
        mapped.joined([mapped.taken(part.ohlcv, part.valid) for part in parts]),
        origin=origin,
    )
    counts = [part.counts for part in (*parts, joined) if part.counts is not None]
    total = {name: sum(getattr(c, name) for c in counts) for name in asdict(counts[0])}
    total["rows"] = sum(part.counts.rows for part in parts if part.counts is not None)
    return replace(joined, counts=RowCounts(**total))
