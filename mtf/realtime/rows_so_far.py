"""Arrays that grow at their end, and candles on a grid that do: a session's memory.

Of finer candles those alone are kept that a fill may depend on: a month of seconds would be two and
a half million, to be journalled, read again and gone through at every close.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import numpy as np
from jaxtyping import Float64, Int64

from mtf.market.candles import VOLUME
from mtf.market.timeframe import Timeframe
from mtf.realtime.events import Closed, NoCandle
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

    def take(self, event: Closed | NoCandle) -> Closed | NoCandle | None:
        """Take candles, or that there are none; what of it is new, None = nothing.

        Candles of before the first one, or that are there, are left alone.
        """
        if isinstance(event, NoCandle):
            before = len(self._rows)
            self._rows.grow(max(int(self.timeframe.slot(event.end_ms)) - self.first_slot, 0))
            return event if len(self._rows) > before else None
        new = event.only(event.open_ms >= self.end_ms)
        if len(new.open_ms) == 0:
            return None
        slots = np.asarray(self.timeframe.slot(new.open_ms)) - self.first_slot
        self._rows.grow(int(slots.max()) + 1)
        self._rows.rows[slots] = new.ohlcv[:, :VOLUME]
        return new

    def until(self, end_ms: int) -> Bars:
        """The candles that closed by a time, without funding."""
        count = min(max(int(self.timeframe.slot(end_ms)) - self.first_slot, 0), len(self._rows))
        slots = self.first_slot + np.arange(count, dtype=np.int64)
        ohlc = self._rows.rows[:count]
        opens = np.asarray(self.timeframe.open_time(slots), np.int64)
        return _bars(self.symbol, self.timeframe, opens, ohlc)


class FineSoFar:
    """Finer candles of a symbol, kept in the bars of a clock in which an order arrives.

    Whether one arrives is known when the decision is made from which it would: until then all
    candles from that bar on are held. Nothing else of them is ever read (``Sequence.of``).

    Args:
        symbol: such as ETHUSDT.
        timeframe: of the candles; the clock's is a multiple of it.
        clock: whose bars count.
        start_ms: open of the first bar.
    """

    def __init__(self, symbol: str, timeframe: Timeframe, clock: Timeframe, start_ms: int) -> None:
        """None yet, and nobody has decided anything."""
        self.symbol, self.timeframe, self.clock = symbol, timeframe, clock
        self._told_ms = self._decided_ms = start_ms
        self._due: list[int] = []
        self._held: list[Closed] = []
        self._per_bar = -(-clock.duration_ms // timeframe.duration_ms)
        self._rows = Growing(4)

    @property
    def end_ms(self) -> int:
        """Up to when is known what there is, as far as it counts."""
        waits = self._waits()
        return max(self._told_ms, self._due[waits.start] if waits else self._decided_ms)

    def take(self, event: Closed | NoCandle) -> Closed | NoCandle | None:
        """Take candles, or that there are none; what of it is new and counts, None = nothing."""
        waits, told_ms = self._waits(), self._told_ms
        if isinstance(event, NoCandle):
            self._told_ms = max(told_ms, event.end_ms)
            counts = bool(waits) and event.end_ms > max(told_ms, self._due[waits.start])
            return event if counts else None
        new = event.only(event.open_ms >= told_ms)
        if len(new.open_ms) == 0:
            return None
        self._told_ms = int(new.open_ms[-1]) + self.timeframe.duration_ms
        bars = self._bars_of(new)
        if (bars >= self._decided_ms).any():
            self._held.append(new.only(bars >= self._decided_ms))
        kept = new.only(np.isin(bars, [self._due[number] for number in waits]))
        for number in waits:
            self._keep(number, kept)
        return kept if len(kept.open_ms) else None

    def decide(self, arrival_ms: int, orders: bool) -> list[Closed]:
        """Know whether an order arrives in the bar of a time, and none in those before it.

        Returns:
            Candles that were held and turn out to count.
        """
        bar = int(self.clock.open_time(self.clock.slot(arrival_ms)))
        held, self._decided_ms = self._held, bar + self.clock.duration_ms
        found = [(one, self._bars_of(one)) for one in held]
        self._held = [one.only(bars > bar) for one, bars in found if (bars > bar).any()]
        if not orders:
            return []
        self._due.append(bar)
        self._rows.grow(len(self._due) * self._per_bar)
        kept = [one.only(bars == bar) for one, bars in found if (bars == bar).any()]
        for one in kept:
            self._keep(len(self._due) - 1, one)
        return kept

    def until(self, end_ms: int) -> Bars | None:
        """The bars with orders that begin before a time, every slot of each; None = there is none.

        Args:
            end_ms: end of a bar of the clock.
        """
        count = bisect_left(self._due, end_ms)
        if count == 0:
            return None
        inner = self.timeframe.duration_ms * np.arange(self._per_bar, dtype=np.int64)
        opens = (np.array(self._due[:count], np.int64)[:, None] + inner).ravel()
        return _bars(self.symbol, self.timeframe, opens, self._rows.rows[: len(opens)])

    def _waits(self) -> range:
        """Numbers of the bars with orders of which something is not told yet."""
        first = bisect_right(self._due, self._told_ms - self.clock.duration_ms)
        return range(first, len(self._due))

    def _bars_of(self, candles: Closed) -> Int64[np.ndarray, " candle"]:
        """The open of the bar in which each candle lies."""
        return np.asarray(self.clock.open_time(self.clock.slot(candles.open_ms)), np.int64)

    def _keep(self, number: int, candles: Closed) -> None:
        """Lay candles down in a bar with an order, those of them that are its own."""
        own = candles.only(self._bars_of(candles) == self._due[number])
        inner = (own.open_ms - self._due[number]) // self.timeframe.duration_ms
        self._rows.rows[number * self._per_bar + inner] = own.ohlcv[:, :VOLUME]


def _bars(
    symbol: str,
    timeframe: Timeframe,
    opens: Int64[np.ndarray, " bar"],
    ohlc: Float64[np.ndarray, "bar 4"],
) -> Bars:
    """Candles without funding; those of NaN are not there."""
    return Bars(symbol, timeframe, opens, ohlc, ~np.isnan(ohlc[:, 0]), *NO_PAYMENTS)


__all__ = ["BarsSoFar", "FineSoFar", "Growing"]
