"""Outcomes written out, for tests of figures: only the equity matters unless more is told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mtf.market.timeframe import Timeframe
from mtf.trading.outcome import Outcome
from mtf.trading.tables import utc

CAPITAL = 100.0


def account(
    equity: Sequence[float] | np.ndarray,
    timeframe: str = "1d",
    *,
    position: Sequence[float] | None = None,
    pnl: Sequence[float] = (),
    fills: Sequence[tuple[int, float, float]] = (),
    costs: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Outcome:
    """An outcome whose first bar opens at time 0, with a capital of 100.

    Args:
        equity: at the close of every bar.
        timeframe: of the bars.
        position: at the close of every bar; None: none.
        pnl: of the round trips.
        fills: bar, price and size of each, at the open of the bar.
        costs: commission, slippage and funding of every bar.
    """
    frame, count = Timeframe.parse(timeframe), len(equity)
    commission, slippage, funding = (np.full(count, cost) for cost in costs)
    step = frame.duration_ms
    bars = np.array([bar for bar, _, _ in fills], dtype=np.int64)
    table = {
        "time": utc(bars * step),
        "price": np.array([price for _, price, _ in fills], dtype=np.float64),
        "size": np.array([size for _, _, size in fills], dtype=np.float64),
    }
    return Outcome(
        "ETHUSDT",
        frame,
        np.arange(1, count + 1, dtype=np.int64) * step,
        CAPITAL,
        np.array(equity, dtype=np.float64),
        np.array(equity, dtype=np.float64),
        np.zeros(count) if position is None else np.array(position, dtype=np.float64),
        commission,
        slippage,
        funding,
        pd.DataFrame(table),
        pd.DataFrame({"pnl": np.array(pnl, dtype=np.float64)}),
    )


def earning(returns: np.ndarray, timeframe: str = "1d") -> Outcome:
    """An outcome with these net returns of its bars."""
    return account(CAPITAL * np.cumprod(1 + returns), timeframe)
