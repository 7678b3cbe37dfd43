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
        fills: one row a fill: ``time`` (UTC, the open of its candle), ``type`` (open, increase,
            reduce, close, stop_loss, take_profit, liquidation), ``side`` (1 bought, -1 sold),
            ``price`` (before slippage), ``size``, ``commission``, ``slippage``, ``confidence`` (of
            the decision that asked for it; NaN where none did).
        trades: one row a round trip, the last one marked where still open: ``entry_time``,
            ``exit_time``, ``type`` (long, short), ``price`` (mean of what was entered at),
            ``exit_price`` (mean), ``size`` (all that was entered), ``pnl`` (net of all its costs),
            ``commission``, ``slippage``, ``funding``, ``confidence`` (of the decision that opened
            it), ``exit`` (close, stop_loss, take_profit, liquidation; end = still open). Their
            ``pnl`` sums to what the account made.
        shortfall: loss of a liquidation beyond the whole equity, which the account does not bear.
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
    shortfall: float = 0.0

    @property
    def returns(self) -> PerBar:
        """Net return of every bar, as a fraction of the equity before it; 0 once it is gone."""
        return changes(self.equity, self.capital)

    def daily(self) -> tuple[Int64[np.ndarray, " day"], Float64[np.ndarray, " day"]]:
        """Days (whole days since 1970, UTC) and the net return of each."""
        if not len(self.equity):
            return np.empty(0, dtype=np.int64), np.empty(0)
        day = (self.close_time - 1) // DAY_MS
        last = np.flatnonzero(np.diff(day, append=day[-1] + 1))
        return day[last], changes(self.equity[last], self.capital)


def changes(equity: PerBar, capital: float) -> PerBar:
    """Each equity over the one before it, minus 1; 0 where nothing was left to lose."""
    before = np.concatenate([[capital], equity[:-1]])[: len(equity)]
    there = before > 0
    return np.where(there, equity / np.where(there, before, 1.0) - 1.0, 0.0)
