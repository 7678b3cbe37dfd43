"""The engine that trades on candles: orders fill at opens, stops inside, every bar is marked.

Inside a candle only four prices are known, so what can't be known is decided against the trader:

- A decision at t fills at the open of the first candle that opens no earlier than t + latency;
  slippage is a cost beside that price, so no fill has a price outside of its candle.
- At an open: funding stamped by it is paid on the position held before it; then what the open has
  passed (liquidation, stop, take-profit) fills there; then the order.
- Funding stamped inside a candle is paid on the position after the fill at its open. Payments are
  valued at the candle's open, where it is missing at the last close.
- After the open the adverse extreme comes first: the stop or, where nearer, the liquidation; the
  take-profit is touched last. It rests in the book: maker commission, no slippage.
- A position that ended by itself stays ended until the target changes.
- An open or increase sets stop and take-profit anew from its own price; a reduction leaves them.

It knows no partial fills, no queue in the book, no size of the market, no interest on cash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from mtf.errors import DataError
from mtf.market.times import iso
from mtf.trading import kernels
from mtf.trading.bars import Bars
from mtf.trading.contracts import Backtest
from mtf.trading.costs import Broker
from mtf.trading.outcome import Outcome
from mtf.trading.sequence import Sequence
from mtf.trading.tables import fills_table, trades_table
from mtf.trading.targets import Reals, Targets

BPS = 1e-4


class Candle(Backtest):
    """Fills at the next open, stops inside of candles, funding, liquidation; equity at every close.

    A weight w puts w · used of the equity at the fill into the market, never more than the
    leverage. Only a change of target trades: the same weight again is no order, NaN is none either.
    """

    def __init__(self) -> None:
        """There is nothing to choose: the terms are the broker's."""

    def run(self, targets: Targets, bars: Bars, broker: Broker) -> Outcome:
        """Trade the targets and mark the equity at every bar, the last position too.

        Raises:
            DataError: targets outside the bars, out of order, or with stops that are not above 0.
        """
        check(targets, bars)
        given = prepared(targets, bars, broker)
        marks, costs, fills, funding = given.results()
        count, shortfall = kernels.simulate(marks, costs, fills, funding, *given.arguments)
        rows, fills = given.rows, fills[:count]
        trades = trades_table(fills, funding, marks, shortfall, rows, targets.confidence)
        marks, costs = rows.by_bar(marks, costs)
        return Outcome(
            symbol=bars.symbol,
            timeframe=bars.timeframe,
            close_time=bars.close_time,
            capital=broker.capital,
            equity=marks[:, 0],
            cash=marks[:, 1],
            position=marks[:, 2],
            commission=costs[:, 0],
            slippage=costs[:, 1],
            funding=costs[:, 2],
            fills=fills_table(fills, rows, targets.confidence),
            trades=trades,
            shortfall=float(shortfall),
        )


@dataclass(frozen=True)
class Prepared:
    """What the kernel is given.

    Attributes:
        rows: the candles it goes through.
        orders: how many.
        arguments: of ``kernels.simulate`` behind its results.
    """

    rows: Sequence
    orders: int
    arguments: tuple[Any, ...]

    def results(self) -> tuple[np.ndarray, ...]:
        """Room for what it writes: marks, costs, fills, funding by trade.

        Made here and not in the kernel: numpy's large arrays come in large pages, numba's in small.
        """
        rows, orders = len(self.rows.valid), self.orders
        return np.empty((rows, 3)), np.zeros((rows, 3)), np.empty((3 * orders, 8)), np.zeros(orders)


def prepared(targets: Targets, bars: Bars, broker: Broker) -> Prepared:
    """Orders and payments in the rows in which they fall."""
    exposure = np.clip(targets.weight * broker.used, -broker.leverage, broker.leverage)
    rows = Sequence.of(targets.times, exposure, bars, broker.order_latency_ms)
    bar, row = kernels.orders(
        targets.times, exposure, rows.open_time, rows.valid, broker.order_latency_ms
    )
    wanted = bar, row, exposure, targets.stop_loss, targets.take_profit
    given = (rows.ohlc, rows.valid, *wanted, *payments(rows, bars), *terms(broker))
    return Prepared(rows, len(bar), given)


def check(targets: Targets, bars: Bars) -> None:
    """Refuse targets that these bars can't be traded with.

    Raises:
        DataError: outside the bars, out of order, or with stops that are not above 0.
    """
    if not len(targets):
        return
    times = targets.times
    if not len(bars) or times[0] < bars.open_time[0] or times[-1] > bars.end_ms:
        there = "no candle at all"
        if len(bars):
            there = f"{iso(int(bars.open_time[0]))} … {iso(bars.end_ms)}"
        raise DataError(
            f"decisions from {iso(int(times[0]))} to {iso(int(times[-1]))}",
            f"within the candles of {bars.symbol}: {there}",
            "give candles that cover the decisions",
        )
    if (np.diff(times) <= 0).any():
        raise DataError("decisions out of order or twice", "ascending times")
    for name, distance in (("stop_loss", targets.stop_loss), ("take_profit", targets.take_profit)):
        if (distance <= 0).any():
            raise DataError(
                f"found a {name} of {np.nanmin(distance):g}", "above 0, or NaN for none"
            )


def payments(
    found: Sequence, bars: Bars
) -> tuple[Int64[np.ndarray, " payment"], Bool[np.ndarray, " payment"], Reals]:
    """In which row each funding payment lies, whether it is at its open, and its rate."""
    row = np.searchsorted(found.open_time, bars.funding_time, side="right") - 1
    inside = (row >= 0) & (bars.funding_time < bars.end_ms)
    row, times = row[inside], bars.funding_time[inside]
    return row, found.open_time[row] == times, bars.funding_rate[inside]


def terms(
    broker: Broker,
) -> tuple[float, tuple[float, float], float, float, float, float, float]:
    """A broker as the kernel takes it."""
    maker = broker.commission if broker.maker_commission is None else broker.maker_commission
    return (
        float(broker.capital),
        (float(broker.commission), float(maker)),
        broker.slippage_bps * BPS,
        float(broker.maintenance_margin),
        float(broker.tick_size),
        float(broker.lot_size),
        float(broker.min_notional),
    )


__all__ = ["Candle", "prepared"]
