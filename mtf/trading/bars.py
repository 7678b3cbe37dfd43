"""The candles that money is made and lost on, with the funding payments between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from mtf.market.candles import VOLUME, Candles
from mtf.market.timeframe import Timeframe


@dataclass(frozen=True)
class Bars:
    """One symbol at one timeframe on its regular grid, as a broker sees it.

    Attributes:
        symbol: such as ETHUSDT.
        timeframe: length of a bar.
        open_time: of every slot, in ms UTC.
        ohlc: open, high, low, close; NaN where there is no candle.
        valid: whether the slot has a candle.
        funding_time: time stamps of funding payments in ms, ascending.
        funding_rate: what longs pay at each as a fraction of the position's value; negative rates
            are paid by shorts.
        fine: finer candles of the same symbol, where there are any: with an order latency, fills
            are looked for in them.
    """

    symbol: str
    timeframe: Timeframe
    open_time: Int64[np.ndarray, " bar"]
    ohlc: Float64[np.ndarray, "bar 4"]
    valid: Bool[np.ndarray, " bar"]
    funding_time: Int64[np.ndarray, " payment"]
    funding_rate: Float64[np.ndarray, " payment"]
    fine: Bars | None = None

    @classmethod
    def of(cls, candles: Candles, start_ms: int, end_ms: int) -> Bars:
        """The candles with ``start_ms <= open_time < end_ms``, without funding.

        Where the history begins later or ends earlier, so do the bars.
        """
        frame = candles.timeframe
        first = max(int(frame.slot(start_ms + frame.duration_ms - 1)), candles.first_slot)
        end = min(int(frame.slot(end_ms + frame.duration_ms - 1)), candles.end_slot)
        rows = slice(first - candles.first_slot, max(first, end) - candles.first_slot)
        slots = np.arange(first, max(first, end), dtype=np.int64)
        ohlc = np.ascontiguousarray(candles.ohlcv[rows, :VOLUME])
        opens = np.asarray(frame.open_time(slots), dtype=np.int64)
        nothing = np.empty(0, dtype=np.int64), np.empty(0)
        return cls(candles.symbol, frame, opens, ohlc, candles.valid[rows], *nothing)

    def __len__(self) -> int:
        """Number of slots, absent ones included."""
        return len(self.open_time)

    @property
    def end_ms(self) -> int:
        """When the last bar ends; 0 where there is none."""
        return int(self.open_time[-1]) + self.timeframe.duration_ms if len(self) else 0

    @property
    def close_time(self) -> Int64[np.ndarray, " bar"]:
        """When each bar ends, in ms UTC."""
        return self.open_time + self.timeframe.duration_ms
