"""Arrays that grow at their end, and candles on a grid that do: a session's memory."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from mtf.market.candles import VOLUME
from mtf.market.timeframe import Timeframe
from mtf.trading.bars import Bars

FIRST_ROOM = 1_024
NO_PAYMENTS = np.empty(0, np.int64), np.empty(0)


class Growing:
    """Rows of floats, one behind the other; room doubles.

    Args:
        columns: of each row.
    """

    def __init__(self, columns: int) -> None:
        """No rows yet."""
        self._rows = np.full((FIRST_ROOM, columns), np.nan)
        self._count = 0

    def __len__(self) -> int:
        """How many."""
        return self._count

    def grow(self, count: int) -> None:
        """Have so many rows; new ones are NaN."""
        if count > len(self._rows):
            room = max(count, 2 * len(self._rows))
            rows = np.full((room, self._rows.shape[1]), np.nan)
            rows[: self._count] = self.rows
            self._rows = rows
        self._count = max(count, self._count)

    def append(self, row: Float64[np.ndarray, " column"]) -> None:
        """One more."""
        self.grow(self._count + 1)
        self._rows[self._count - 1] = row

    @property
    def rows(self) -> Float64[np.ndarray, "row column"]:
        """All of them: a view."""
        return self._rows[: self._count]


class BarsSoFar:
    """The candles of a symbol from a time on, as a broker sees them.

    Args:
        symbol: such as ETHUSDT.
        timeframe: of the candles.
        start_ms: open of the first of them.
    """

    def __init__(self, symbol: str, timeframe: Timeframe, start_ms: int) -> None:
        """None yet."""
        self.symbol, self.timeframe = symbol, timeframe
        self.first_slot = int(timeframe.slot(start_ms))
        self._rows = Growing(4)

    @property
    def end_ms(self) -> int:
        """Up to when is known what there is."""
        return int(self.timeframe.open_time(self.first_slot + len(self._rows)))

    def add(
        self, open_ms: Int64[np.ndarray, " candle"], ohlcv: Float64[np.ndarray, "candle 5"]
    ) -> None:
        """Take candles; those of before the first one, or that are there, are left alone."""
        slots = np.asarray(self.timeframe.slot(open_ms)) - self.first_slot
        new = slots >= len(self._rows)
        if new.any():
            self._rows.grow(int(slots[new].max()) + 1)
            self._rows.rows[slots[new]] = ohlcv[new, :VOLUME]

    def lack(self, end_ms: int) -> None:
        """Know that up to a time there is nothing more."""
        self._rows.grow(max(int(self.timeframe.slot(end_ms)) - self.first_slot, 0))

    def until(self, end_ms: int) -> Bars:
        """The candles that closed by a time, without funding."""
        count = min(max(int(self.timeframe.slot(end_ms)) - self.first_slot, 0), len(self._rows))
        slots = self.first_slot + np.arange(count, dtype=np.int64)
        ohlc = self._rows.rows[:count]
        opens = np.asarray(self.timeframe.open_time(slots), np.int64)
        valid = ~np.isnan(ohlc[:, 0])
        return Bars(self.symbol, self.timeframe, opens, ohlc, valid, *NO_PAYMENTS)


__all__ = ["BarsSoFar", "Growing"]
