"""The rows that an engine goes through: bars, or finer candles where an order is on its way.

With an order latency a fill lies inside of a bar. Where there are finer candles, the bars in which
the target changes are replaced by them, and the result is told bar by bar again. A bar of which no
finer candle is there stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from mtf.errors import DataError
from mtf.trading.bars import Bars
from mtf.trading.targets import Reals

Times = Int64[np.ndarray, " decision"]
PerRow = Float64[np.ndarray, "row column"]
PerBar = Float64[np.ndarray, "bar column"]


@dataclass(frozen=True)
class Sequence:
    """Candles of one or two lengths in the order of time, without overlaps.

    Attributes:
        open_time: of each, in ms UTC.
        close_time: of each, alike.
        ohlc: NaN where there is no candle.
        valid: whether there is one.
        first: the first row of each bar; None = rows are bars.
    """

    open_time: Int64[np.ndarray, " row"]
    close_time: Int64[np.ndarray, " row"]
    ohlc: Float64[np.ndarray, "row 4"]
    valid: Bool[np.ndarray, " row"]
    first: Int64[np.ndarray, " bar"] | None = None

    @classmethod
    def of(cls, times: Times, exposure: Reals, bars: Bars, latency_ms: int) -> Sequence:
        """The bars, with finer candles in those in which a late order may be filled.

        Raises:
            DataError: the finer candles are of another symbol, or not finer.
        """
        plain = cls(bars.open_time, bars.close_time, bars.ohlc, bars.valid)
        if latency_ms == 0 or bars.fine is None or not len(times) or not len(bars):
            return plain
        check_fine(bars, bars.fine)
        wanted = np.zeros(len(bars), np.bool_)
        arrival = times[changes(exposure)] + latency_ms
        bar = np.searchsorted(bars.open_time, arrival, side="right") - 1
        wanted[bar[arrival < bars.end_ms]] = True
        return plain.refined(wanted, bars.fine)

    def refined(self, wanted: Bool[np.ndarray, " bar"], fine: Bars) -> Sequence:
        """Finer candles in place of the wanted bars of which there are any."""
        start, end = (np.searchsorted(fine.open_time, t) for t in (self.open_time, self.close_time))
        seen = np.concatenate([[0], np.cumsum(fine.valid)])
        wanted = wanted & (seen[end] > seen[start])
        length = np.where(wanted, end - start, 1)
        last = np.cumsum(length)
        first = last - length
        bar = np.repeat(np.arange(len(length)), length)
        inner = np.where(wanted, start, 0)[bar] + np.arange(len(bar)) - first[bar]
        from_fine, place = wanted[bar], np.minimum(inner, len(fine) - 1)
        return Sequence(
            np.where(from_fine, fine.open_time[place], self.open_time[bar]),
            np.where(from_fine, fine.close_time[place], self.close_time[bar]),
            np.where(from_fine[:, None], fine.ohlc[place], self.ohlc[bar]),
            np.where(from_fine, fine.valid[place], self.valid[bar]),
            first,
        )

    def by_bar(self, marks: PerRow, costs: PerRow) -> tuple[PerBar, PerBar]:
        """Of each bar the last marks and the sum of the costs."""
        if self.first is None:
            return marks, costs
        last = np.append(self.first[1:], len(marks)) - 1
        return marks[last], np.add.reduceat(costs, self.first, axis=0)


def changes(exposure: Reals) -> Int64[np.ndarray, " change"]:
    """Decisions that want something else than the one before that wanted anything."""
    given = np.flatnonzero(~np.isnan(exposure))
    changed: np.ndarray = given[np.diff(exposure[given], prepend=0.0) != 0.0]
    return changed


def check_fine(bars: Bars, fine: Bars) -> None:
    """Refuse finer candles that do not fit.

    Raises:
        DataError: of another symbol, or not finer.
    """
    length, finer = bars.timeframe.duration_ms, fine.timeframe.duration_ms
    if fine.symbol != bars.symbol or finer >= length or length % finer:
        raise DataError(
            f"fills of {bars.symbol} {bars.timeframe} from {fine.symbol} {fine.timeframe}",
            "candles of the same symbol, of a length that fits a whole number of times",
        )


__all__ = ["Sequence"]
