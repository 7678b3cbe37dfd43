"""The paper account: the backtest itself, run over the session so far whenever a candle closed.

What it says is what a backtest of the same decisions and candles says, because it is that: any
engine serves, a stranger's too, and a session that goes on after a restart has the same account.
Every close costs one pass over the session, so the cost of a close grows with it: some ten
milliseconds after a month of minutes, some fifty after a week of seconds. Of finer candles the
built-in engine reads those around late orders alone; for it the others are not kept.

A fill is known when its candle has closed, though it is stamped by the open. A bar is traded when
its candles are there and no funding payment before its end can be missing. Knows nothing of feeds
and of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from mtf.market.timeframe import Timeframe
from mtf.realtime.decision import Decision
from mtf.realtime.events import Closed, FundingKnown, FundingRate, Traded, next_payment_ms
from mtf.realtime.rows_so_far import BarsSoFar, FineSoFar, Growing
from mtf.realtime.view import AccountLook
from mtf.trading.bars import Bars
from mtf.trading.candle import Candle
from mtf.trading.contracts import Backtest
from mtf.trading.costs import Broker
from mtf.trading.outcome import Outcome
from mtf.trading.targets import Targets

TARGET = ("time_ms", "weight", "confidence", "stop_loss", "take_profit")


class Paper:
    """An account that trades on paper.

    Args:
        symbol: to trade.
        clock: whose candles are marked.
        start_ms: of the first decision.
        engine: of the backtest.
        broker: its terms; ``order_latency_ms`` holds the decision delay, too.
        fine: a finer timeframe of the symbol to fill late orders in; None = there is none.
        funding: whether it is booked, and waited for.

    Attributes:
        outcome: of all that has closed; None = nothing yet.
        settled_ms: up to when that is.
        rates: funding by the time that it is stamped with.
        funded_ms: before this time no payment can be missing.
    """

    def __init__(
        self,
        symbol: str,
        clock: Timeframe,
        start_ms: int,
        engine: Backtest,
        broker: Broker,
        *,
        fine: Timeframe | None = None,
        funding: bool = False,
    ) -> None:
        """An account without a position."""
        self.symbol, self.clock, self.start_ms = symbol, clock, start_ms
        self.engine, self.broker = engine, broker
        self.funding = funding
        self.bars = BarsSoFar(symbol, clock, start_ms)
        self.fine: BarsSoFar | FineSoFar | None = None
        if fine is not None and broker.order_latency_ms:
            self.fine = FineSoFar(symbol, fine, clock, start_ms)
            if type(engine) is not Candle:  # nobody knows what it reads of them
                self.fine = BarsSoFar(symbol, fine, start_ms)
        self.outcome: Outcome | None = None
        self._targets = Growing(len(TARGET))
        self._weight = 0.0
        self.rates: dict[int, float] = {}
        self.funded_ms = next_payment_ms(start_ms)
        self.settled_ms = start_ms

    def take(self, event: Traded) -> Traded | None:
        """Take what happened on the market.

        Returns:
            What of it is new and counts for this account; None = nothing.
        """
        if event.symbol != self.symbol:
            return None
        if isinstance(event, FundingRate | FundingKnown):
            return event if self._fund(event) else None
        for bars in (self.bars, self.fine):
            if bars is not None and event.timeframe == bars.timeframe:
                return bars.take(event)
        return None

    def order(self, decision: Decision) -> Sequence[Closed]:
        """Take a decision; it is filled by the engine's rules.

        Returns:
            Finer candles that came before, and count now that they may fill it.
        """
        self._targets.append(np.array([getattr(decision, name) for name in TARGET], np.float64))
        before = self._weight
        if not np.isnan(decision.weight):
            self._weight = decision.weight
        if not isinstance(self.fine, FineSoFar):
            return ()
        arrival_ms = decision.time_ms + self.broker.order_latency_ms
        return self.fine.decide(arrival_ms, self._weight != before)

    def settle(self) -> pd.DataFrame:
        """Trade all that has closed and was not traded yet.

        Returns:
            The fills that are new, as in ``Outcome.fills``.
        """
        end_ms = self._complete_ms()
        before = self.fills
        if end_ms > self.settled_ms:
            self.settled_ms = end_ms
            self.outcome = self.engine.run(
                self._wanted(end_ms), self.bars_until(end_ms), self.broker
            )
        return self.fills.iloc[len(before) :]

    @property
    def fills(self) -> pd.DataFrame:
        """All so far."""
        return pd.DataFrame() if self.outcome is None else self.outcome.fills

    def bars_until(self, end_ms: int) -> Bars:
        """What is traded on: the candles that closed by a time, with finer ones and funding."""
        times = np.array(sorted(time for time in self.rates if time < end_ms), np.int64)
        rates = np.array([self.rates[int(time)] for time in times])
        fine = None if self.fine is None else self.fine.until(end_ms)
        return replace(self.bars.until(end_ms), funding_time=times, funding_rate=rates, fine=fine)

    def look(self) -> AccountLook:
        """The account as it is shown."""
        outcome = self.outcome
        capital = float(self.broker.capital)
        if outcome is None:
            nan = float("nan")
            return AccountLook(capital, capital, 0.0, nan, nan, 0.0, 0.0, 0, 0, "", self._ordered())
        size = float(outcome.position[-1])
        mark = float((outcome.equity[-1] - outcome.cash[-1]) / size) if size else float("nan")
        entry = float(outcome.trades["price"].iloc[-1]) if size else float("nan")
        paid = outcome.commission.sum() + outcome.slippage.sum() + outcome.funding.sum()
        return AccountLook(
            equity=float(outcome.equity[-1]),
            capital=capital,
            position=size,
            entry_price=entry,
            mark=mark,
            unrealised=size * (mark - entry) if size else 0.0,
            costs=float(paid),
            num_fills=len(outcome.fills),
            num_trades=len(outcome.trades),
            last_fill=fill_words(outcome.fills.iloc[-1]) if len(outcome.fills) else "",
            ordered=self._ordered(),
        )

    def _ordered(self) -> float | None:
        """The weight that waits for its candle; None = all are filled, or were no order."""
        times, weights = self._targets.rows[:, 0], self._targets.rows[:, 1]
        given = ~np.isnan(weights)
        filled = weights[given & (times + self.broker.order_latency_ms <= self._last_open_ms())]
        in_force = filled[-1] if len(filled) else 0.0
        return self._weight if self._weight != in_force else None

    def _last_open_ms(self) -> int:
        """The last open that was traded at; orders that arrived by then are filled."""
        bars = self.bars_until(self.settled_ms)
        opens = [one.open_time[one.valid][-1:] for one in (bars, bars.fine) if one is not None]
        return int(np.concatenate(opens).max(initial=-1))

    def _fund(self, event: FundingRate | FundingKnown) -> bool:
        """Take a rate, or up to where all are known; whether that is new.

        Rates are told in order, so before one none is missing either.
        """
        before = self.funded_ms, len(self.rates)
        if isinstance(event, FundingKnown):
            self.funded_ms = max(self.funded_ms, event.end_ms)
        elif event.time_ms >= self.start_ms:
            self.rates.setdefault(event.time_ms, event.rate)
            self.funded_ms = max(self.funded_ms, next_payment_ms(event.time_ms + 1))
        return (self.funded_ms, len(self.rates)) != before

    @property
    def candles_ms(self) -> int:
        """Up to when all candles are there, or known not to exist."""
        return min(bars.end_ms for bars in (self.bars, self.fine) if bars is not None)

    def _complete_ms(self) -> int:
        """Up to when everything is known that a bar is traded by, in whole bars.

        A rate that is stamped by the end of a bar is paid in the next one.
        """
        known = min(self.candles_ms, self.funded_ms) if self.funding else self.candles_ms
        return int(self.clock.open_time(self.clock.slot(known)))

    def _wanted(self, end_ms: int) -> Targets:
        """The decisions up to a time."""
        rows = self._targets.rows
        rows = rows[rows[:, 0] <= end_ms]
        return Targets(rows[:, 0].astype(np.int64), *(rows[:, i].copy() for i in range(1, 5)))


def fill_words(fill: pd.Series) -> str:
    """A fill in words."""
    side = "bought" if fill["side"] > 0 else "sold"
    when = pd.Timestamp(fill["time"]).strftime("%Y-%m-%d %H:%M:%S")
    return f"{when} {fill['type']}: {side} {fill['size']:.6g} at {fill['price']:.6g}"


def finer_of(frames: Sequence[Timeframe], clock: Timeframe) -> Timeframe | None:
    """The finest of a symbol's delivered timeframes that is finer than the clock."""
    return min((frame for frame in frames if frame < clock), default=None)


__all__ = ["Paper", "fill_words", "finer_of"]
