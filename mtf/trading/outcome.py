"""What a backtest found: equity at every bar, every fill, every round trip, what it cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from mtf.market.timeframe import Timeframe

DAY_MS = 86_400_000
PerBar = Float64[np.ndarray, " bar"]


@dataclass(frozen=True)
class Outcome:
    """One strategy on one stretch of candles. Money is in quote currency, sizes in base coin.

    Attributes:
        symbol: such as ETHUSDT.
        timeframe: length of a bar.
        close_time: end of every bar in ms UTC: when its equity is marked.
        capital: equity before the first bar.
        equity: cash and position at the close, net of every cost so far.
        cash: the part of it that is not in the position.
        position: signed size held at the close.
        commission: paid within each bar.
        slippage: lost within each bar.
        funding: paid within each bar; negative where received.
        fills: one row a fill: ``time`` (UTC), ``type`` (what caused it), ``side`` (1 bought, -1
            sold), ``price`` (before slippage), ``size``, ``commission``, ``slippage``,
            ``confidence``.
        trades: one row a round trip, the last one marked where still open: ``entry_time``,
            ``exit_time``, ``type`` (long, short), ``price`` (of entry), ``exit_price``, ``size``,
            ``pnl`` (net of all its costs), ``commission``, ``slippage``, ``funding``,
            ``confidence``, ``exit`` (what ended it).
    """

    symbol: str
    timeframe: Timeframe
    close_time: Int64[np.ndarray, " bar"]
    capital: float
    equity: PerBar
    cash: PerBar
    position: PerBar
    commission: PerBar
    slippage: PerBar
    funding: PerBar
    fills: pd.DataFrame
    trades: pd.DataFrame

    @property
    def returns(self) -> PerBar:
        """Net return of every bar, as a fraction of the equity before it."""
        before = np.concatenate([[self.capital], self.equity[:-1]])
        return self.equity / before - 1.0

    def daily(self) -> tuple[Int64[np.ndarray, " day"], Float64[np.ndarray, " day"]]:
        """Days (whole days since 1970, UTC) and the net return of each."""
        if not len(self.equity):
            return np.empty(0, dtype=np.int64), np.empty(0)
        day = (self.close_time - 1) // DAY_MS
        last = np.flatnonzero(np.diff(day, append=day[-1] + 1))
        ends = self.equity[last]
        before = np.concatenate([[self.capital], ends[:-1]])
        return day[last], ends / before - 1.0
