"""Trades: recognised by their columns, looked at, and built into candles.

Only what ``mtf inspect`` needs: one price and one size a row, in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from mtf.market.columns import find_column
from mtf.market.finding import Finding
from mtf.market.timeframe import Timeframe

ALIASES = {
    "time": ("trade_time", "time_ms", "transact_time", "timestamp", "ts", "time", "t"),
    "price": ("price", "p"),
    "size": ("size", "qty", "quantity", "amount", "q", "volume"),
}
LIQUID_STEP = 2e-4
"""Median relative step from trade to trade; of a liquid coin it is ten times smaller."""


@dataclass(frozen=True)
class Trades:
    """Trades in order of time (ms), price in quote and size in base coin."""

    time: Int64[np.ndarray, " trade"]
    price: Float64[np.ndarray, " trade"]
    size: Float64[np.ndarray, " trade"]

    def timeframe(self) -> Timeframe:
        """1s where most seconds have a trade, else 1m."""
        span = int(self.time[-1] - self.time[0]) // 1_000 + 1
        busy = len(np.unique(self.time // 1_000))
        return Timeframe.parse("1s" if 2 * busy >= span else "1m")

    def rows(
        self, timeframe: Timeframe
    ) -> tuple[Int64[np.ndarray, " row"], Float64[np.ndarray, "row 5"]]:
        """One candle for every slot with a trade: open times (ms) and ohlcv."""
        slots, start = np.unique(timeframe.slot(self.time), return_index=True)
        end = np.append(start[1:], len(self.time)) - 1
        high = np.maximum.reduceat(self.price, start)
        low = np.minimum.reduceat(self.price, start)
        volume = np.add.reduceat(self.size, start)
        values = [self.price[start], high, low, self.price[end], volume]
        return timeframe.open_time(slots), np.stack(values, axis=1)

    def findings(self) -> list[Finding]:
        """What the single trades say before they are candles."""
        told = f"{len(self.time):,} trades, built into {self.timeframe()} candles"
        found = [Finding("trades", told, "slots without a trade are gaps here")]
        step = float(np.median(np.abs(np.diff(np.log(self.price))))) if len(self.price) > 1 else 0.0
        if step > LIQUID_STEP:
            text = (
                f"the price moves {100 * step:.2g} % from one trade to the next (median): "
                "looks synthetic, in a liquid market it is below 0.01 %"
            )
            advice = "check where these trades come from"
            found.insert(0, Finding("trade_steps", text, advice, broken=True))
        return found


def trade_columns(names: Sequence[str]) -> dict[str, str] | None:
    """The columns of time, price and size where a file has trades; None = it has none.

    Aggregated trades as exchanges send them are ``a p q f l T m``.
    """
    if {"a", "p", "q", "T"} <= set(names):
        return {"time": "T", "price": "p", "size": "q"}
    found = {role: find_column(names, aliases) for role, aliases in ALIASES.items()}
    known = {role: name for role, name in found.items() if name is not None}
    return known if len(known) == len(ALIASES) else None
