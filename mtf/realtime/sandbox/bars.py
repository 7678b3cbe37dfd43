"""Candles as the exchange counts them: whole ticks and whole lots, so that sums are exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from mtf.realtime.sandbox.interval import Interval

OPEN, HIGH, LOW, CLOSE, VOLUME, TURNOVER = range(6)
TURNOVER_PARTS = 4
"""A turnover is counted in quarters of tick x lot: volume x (open + high + low + close)."""


@dataclass(frozen=True)
class Bars:
    """Candles in order of time, none twice.

    Attributes:
        open_time: ms UTC.
        values: open, high, low, close in ticks, volume in lots, turnover in quarters of both.
    """

    open_time: Int64[np.ndarray, " bar"]
    values: Int64[np.ndarray, "bar 6"]

    @classmethod
    def of(cls, open_time: Int64[np.ndarray, " bar"], ohlcv: Int64[np.ndarray, "bar 5"]) -> Bars:
        """Add the turnover, which no record tells: as if all had traded at the mean price."""
        turnover = ohlcv[:, VOLUME] * ohlcv[:, :VOLUME].sum(axis=1)
        return cls(open_time, np.column_stack([ohlcv, turnover]))

    @classmethod
    def empty(cls) -> Bars:
        """None at all."""
        return cls(np.empty(0, dtype=np.int64), np.empty((0, 6), dtype=np.int64))

    def __len__(self) -> int:
        """How many."""
        return len(self.open_time)

    def between(self, start_ms: int, end_ms: int) -> Bars:
        """Those with ``start_ms <= open_time < end_ms``, as a view."""
        rows = slice(*np.searchsorted(self.open_time, [start_ms, end_ms]))
        return Bars(self.open_time[rows], self.values[rows])

    def last(self, count: int) -> Bars:
        """The newest ones."""
        rows = slice(max(len(self) - count, 0), None)
        return Bars(self.open_time[rows], self.values[rows])

    def first(self, count: int) -> Bars:
        """The oldest ones."""
        return Bars(self.open_time[:count], self.values[:count])

    def aggregate(self, interval: Interval) -> Bars:
        """Longer candles out of these, as they are there."""
        if len(self) == 0:
            return self
        opens, start = np.unique(interval.opens(self.open_time), return_index=True)
        values = self.values
        end = np.append(start[1:], len(self)) - 1
        columns = [
            values[start, OPEN],
            np.maximum.reduceat(values[:, HIGH], start),
            np.minimum.reduceat(values[:, LOW], start),
            values[end, CLOSE],
            np.add.reduceat(values[:, VOLUME], start),
            np.add.reduceat(values[:, TURNOVER], start),
        ]
        return Bars(opens, np.column_stack(columns))


def join(*parts: Bars) -> Bars:
    """All of them in order of time; of two at one time the earlier part's counts."""
    time = np.concatenate([part.open_time for part in parts])
    values = np.concatenate([part.values for part in parts])
    kept, first = np.unique(time, return_index=True)
    return Bars(kept, values[first])


def text(number: int, decimals: int) -> str:
    """A whole number of the smallest unit as the exchange writes it, without needless zeros."""
    sign, number = ("-", -number) if number < 0 else ("", number)
    whole, part = divmod(number, 10**decimals)
    tail = f"{part:0{decimals}d}".rstrip("0") if decimals else ""
    return f"{sign}{whole}.{tail}" if tail else f"{sign}{whole}"


def turnover_text(quarters: int, decimals: int) -> str:
    """A turnover in quote coin; ``decimals`` are those of tick and lot together."""
    return text(quarters * (100 // TURNOVER_PARTS), decimals + 2)


def fold(bars: Bars) -> Bars:
    """One candle out of all of them, at the time of the first."""
    values = bars.values
    whole = [
        values[0, OPEN],
        values[:, HIGH].max(),
        values[:, LOW].min(),
        values[-1, CLOSE],
        values[:, VOLUME].sum(),
        values[:, TURNOVER].sum(),
    ]
    return Bars(bars.open_time[:1], np.array([whole], dtype=np.int64))


__all__ = ["CLOSE", "HIGH", "LOW", "OPEN", "TURNOVER", "VOLUME", "Bars", "fold", "join", "text"]
