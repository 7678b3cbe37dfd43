"""Candles out of trades as they come: in any order, some twice, from a stream or from a file.

Trades of one stretch of time count by their own time, then by the exchange's sequence, then by
their id; an id counts once. A slot without a trade is flat at the last price, with no volume.
Volumes are whole multiples of the smallest size, so sums over longer candles are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64

from mtf.errors import DataError
from mtf.market.timeframe import Timeframe

MOST_DECIMALS = 8
REMEMBERED_MS = 60_000
"""For so long after a slot was closed a trade that comes again is known to have counted."""
MOST_TRADED = 1e18
"""No price and no size is above; up to there all sums and products are finite."""
MOST_SLOTS = 10_000_000
"""A stray time must not ask for flat candles over years."""


@dataclass(frozen=True)
class TradeRows:
    """Trades of one symbol, in any order.

    Attributes:
        time: ms UTC.
        sequence: the exchange's order among trades of the same time.
        identity: ids, texts or numbers; equal = the same trade.
        price: in quote coin.
        size: in base coin.
    """

    time: Int64[np.ndarray, " trade"]
    sequence: Int64[np.ndarray, " trade"]
    identity: np.ndarray
    price: Float64[np.ndarray, " trade"]
    size: Float64[np.ndarray, " trade"]

    def __len__(self) -> int:
        """How many."""
        return len(self.time)

    def select(self, rows: np.ndarray) -> TradeRows:
        """Some of them, by mask or number."""
        columns = (self.time, self.sequence, self.identity, self.price, self.size)
        return TradeRows(*(column[rows] for column in columns))

    @classmethod
    def empty(cls) -> TradeRows:
        """None."""
        none = np.empty(0, np.int64)
        return cls(none, none, np.empty(0, object), np.empty(0), np.empty(0))

    @classmethod
    def join(cls, *parts: TradeRows) -> TradeRows:
        """All of them."""
        columns = ((p.time, p.sequence, p.identity, p.price, p.size) for p in parts)
        return cls(*(np.concatenate(column) for column in zip(*columns, strict=True)))

    @property
    def sound(self) -> Bool[np.ndarray, " trade"]:
        """Which have a price above 0, a size of at least 0, and neither beyond anything traded."""
        finite = np.isfinite(self.price) & np.isfinite(self.size)
        small = (self.price <= MOST_TRADED) & (self.size <= MOST_TRADED)
        good: np.ndarray = finite & small & (self.price > 0) & (self.size >= 0)
        return good


class TradeCandles:
    """Builds the candles of one symbol.

    Args:
        timeframe: of the candles.
        since_ms: the first slot that is whole begins then or later; None = with the first trade.
        price: the last one before that, for slots before the first trade; needs ``since_ms``.

    Attributes:
        duplicates: trades that came more than once.
        early: trades of before the first whole slot; they are in no candle.
        late: trades that came after their slot was closed; they are in no candle.
        unsound: trades without a price or a size that can be.
    """

    def __init__(
        self, timeframe: Timeframe, since_ms: int | None = None, price: float | None = None
    ) -> None:
        """Nothing has traded yet."""
        self.timeframe = timeframe
        self.duplicates = self.early = self.late = self.unsound = 0
        first = None if since_ms is None else timeframe.slot(since_ms - 1) + 1
        self._first = self._next = first
        self._price = price
        self._waiting: list[TradeRows] = []
        self._counted = TradeRows.empty()

    def add(self, trades: TradeRows) -> None:
        """Take trades."""
        sound = trades.sound
        self.unsound += int(np.count_nonzero(~sound))
        kept = trades.select(sound)
        if self._first is not None:
            whole = self.timeframe.slot(kept.time) >= self._first
            self.early += int(np.count_nonzero(~whole))
            kept = kept.select(whole)
        self._waiting.append(kept)

    def close(
        self, until_ms: int
    ) -> tuple[Int64[np.ndarray, " candle"], Float64[np.ndarray, "candle 5"]]:
        """The candles of all slots that closed by a time and were not told before.

        Returns:
            Open times (ms), and open, high, low, close, volume; from the first trade, or from
            ``since_ms``, on without a hole.

        Raises:
            DataError: far more slots than anything could have traded in.
        """
        end = self.timeframe.slot(until_ms)
        waiting = TradeRows.join(TradeRows.empty(), *self._waiting)
        mine = self.timeframe.slot(waiting.time) < end
        self._waiting = [waiting.select(~mine)]
        counted = self._new(waiting.select(mine))
        if self._next is None and len(counted):
            self._next = int(self.timeframe.slot(int(counted.time[0])))
        if self._next is None or end <= self._next:
            return np.empty(0, np.int64), np.empty((0, 5))
        return self._candles(counted, end)

    def _new(self, trades: TradeRows) -> TradeRows:
        """Trades that count, in order; those that come again or too late are counted away."""
        again = self._again(trades)
        too_late = np.zeros(len(trades), np.bool_)
        if self._next is not None:
            too_late = (self.timeframe.slot(trades.time) < self._next) & ~again
        self.duplicates += int(np.count_nonzero(again))
        self.late += int(np.count_nonzero(too_late))
        return in_order(trades.select(~again & ~too_late))

    def _again(self, trades: TradeRows) -> Bool[np.ndarray, " trade"]:
        """Which trades have an id that came before."""
        known = self._counted.identity
        both = np.concatenate([known, trades.identity])
        every = pd.Series(both, dtype=both.dtype)  # as texts they would have to be valid ones
        return np.asarray(every.duplicated(), np.bool_)[len(known) :]

    def _candles(
        self, counted: TradeRows, end: int
    ) -> tuple[Int64[np.ndarray, " candle"], Float64[np.ndarray, "candle 5"]]:
        """One candle a slot up to ``end``."""
        first, self._next = self._next or 0, end
        slots, rows = _rows(self.timeframe.slot(counted.time), counted)
        if self._price is None:
            first = int(slots[0]) if len(slots) else end
        if end - first > MOST_SLOTS:
            raise DataError(
                f"trades over {end - first:,} candles of {self.timeframe}",
                f"at most {MOST_SLOTS:,} at once",
                "look for a trade with a wrong time",
            )
        every = np.arange(first, end)
        laid = _laid_out(every, slots, rows, self._price)
        self._price = float(laid[-1, 3]) if len(laid) else self._price
        known = TradeRows.join(self._counted, counted)
        self._counted = known.select(known.time >= self.timeframe.open_time(end) - REMEMBERED_MS)
        return self.timeframe.open_time(every), laid


def in_order(trades: TradeRows) -> TradeRows:
    """Trades by time, then sequence, then id."""
    order = np.lexsort((trades.sequence, trades.time))
    trades = trades.select(order)
    same = (np.diff(trades.time) == 0) & (np.diff(trades.sequence) == 0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    rows = np.arange(len(trades))
    for start, stop in edges.reshape(-1, 2):  # only ties need their ids compared
        tie = rows[start : stop + 1]
        rows[start : stop + 1] = sorted(tie, key=lambda row: trades.identity[row])
    return trades.select(rows) if len(edges) else trades


def _rows(
    slot: Int64[np.ndarray, " trade"], trades: TradeRows
) -> tuple[Int64[np.ndarray, " slot"], Float64[np.ndarray, "slot 5"]]:
    """One row for every slot with a trade."""
    if len(trades) == 0:
        return np.empty(0, np.int64), np.empty((0, 5))
    slots, start = np.unique(slot, return_index=True)
    end = np.append(start[1:], len(trades)) - 1
    price = trades.price
    high = np.maximum.reduceat(price, start)
    low = np.minimum.reduceat(price, start)
    volume = np.round(np.add.reduceat(trades.size, start), decimals(trades.size))
    return slots, np.stack([price[start], high, low, price[end], volume], axis=1)


def _laid_out(
    every: Int64[np.ndarray, " candle"],
    slots: Int64[np.ndarray, " slot"],
    rows: Float64[np.ndarray, "slot 5"],
    price: float | None,
) -> Float64[np.ndarray, "candle 5"]:
    """Rows at their slots, flat ones between them."""
    before = np.array([[price or np.nan] * 4 + [0.0]])
    known = np.concatenate([before, rows])
    place = np.searchsorted(slots, every, side="right")
    laid: np.ndarray = known[place]
    flat = ~np.isin(every, slots, assume_unique=True)
    laid[flat, :4] = laid[flat, 3:4]
    laid[flat, 4] = 0.0
    return laid


def decimals(values: Float64[np.ndarray, " value"]) -> int:
    """How many digits behind the point tell all of the numbers; at most ``MOST_DECIMALS``."""
    for digits in range(MOST_DECIMALS):
        if np.array_equal(np.round(values, digits), values):
            return digits
    return MOST_DECIMALS
