"""The contract of a backtest engine, tried out where the answer is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mtf.market.timeframe import Timeframe
from mtf.testing.contract import Check, require
from mtf.testing.probe import defect
from mtf.trading.bars import Bars
from mtf.trading.contracts import Backtest
from mtf.trading.costs import Broker
from mtf.trading.outcome import Outcome
from mtf.trading.targets import Targets

BARS = 120
MINUTE = 60_000
FREE = Broker(commission=0.0, capital=1_000.0, used=1.0)
FEE = 0.01
NEAR = 1e-9
ENTRY, EXIT = 10, 100
"""Bars at whose opens the long or short position begins and ends."""

MakeEngine = Callable[[], Backtest]


def check_backtest(engine: MakeEngine) -> None:
    """Try whether a backtest engine keeps its contract.

    Args:
        engine: builds it, such as the class.

    Raises:
        ContractError: not one mark a bar; money out of nothing; entry at the candle that decided;
            a short with the wrong sign; costs that are not in the equity at once; a last position
            that is not marked; bars that know later ones.
    """
    require(checks_of_backtest(engine))


def checks_of_backtest(engine: MakeEngine, *, seed: int = 0) -> tuple[Check, ...]:
    """The promises of an engine, one by one."""
    trial = BacktestTrial(engine, seed)
    return (
        Check("marks", trial.marks, vital=True, seed=seed),
        Check("long", trial.long, seed=seed),
        Check("short", trial.short, seed=seed),
        Check("costs", trial.costs, seed=seed),
        Check("last position", trial.last_position, seed=seed),
        Check("causality", trial.causality, seed=seed),
        Check("determinism", trial.determinism, seed=seed),
    )


class BacktestTrial:
    """An engine, and a random walk of minutes whose opens are no closes.

    Args:
        engine: builds it.
        seed: of the walk.
    """

    def __init__(self, engine: MakeEngine, seed: int = 0) -> None:
        self.engine, self.bars = engine, walk(seed)

    def trade(self, weights: dict[int, float], terms: Broker = FREE) -> Outcome:
        """What a fresh engine makes of weights decided at the opens of some bars."""
        times = self.bars.open_time[list(weights)]
        targets = Targets.plain(times, np.array(list(weights.values()), dtype=np.float64))
        return self.engine().run(targets, self.bars, terms)

    def expect(self, found: float, wanted: float, what: str, todo: str = "") -> None:
        """Refuse another figure.

        Raises:
            ContractError: with both.
        """
        if not abs(found - wanted) <= NEAR * FREE.capital:
            raise defect(self.engine, f"{what}: found {found:.6f}", f"{wanted:.6f}", todo)

    def marks(self) -> str:
        """One a bar; without targets nothing happens."""
        found = self.trade({0: 0.0})
        if len(found.equity) != BARS or not np.array_equal(found.close_time, self.bars.close_time):
            raise defect(
                self.engine, f"{len(found.equity)} marks for {BARS} bars", "one at every close"
            )
        self.expect(float(np.ptp(found.equity)), 0.0, "equity moves without a position")
        self.expect(float(found.equity[0]), FREE.capital, "equity before anything happens")
        return ""

    def long(self) -> str:
        """Bought at the open that follows the decision, sold alike."""
        self.held(1.0)
        return ""

    def short(self) -> str:
        """Sold first: what the price loses is won."""
        self.held(-1.0)
        return ""

    def held(self, side: float) -> None:
        """Check the money of one position."""
        found = self.trade({ENTRY: side, EXIT: 0.0}).equity
        entry, leaving = self.bars.ohlc[[ENTRY, EXIT], 0]
        size = side * FREE.capital / entry
        todo = "fill at the first open at or after the decision; mark cash + size · close"
        for bar in (ENTRY, EXIT - 1):
            wanted = FREE.capital + size * (self.bars.ohlc[bar, 3] - entry)
            self.expect(found[bar], wanted, f"equity of {side:+g} at bar {bar}", todo)
        wanted = FREE.capital + size * (leaving - entry)
        self.expect(found[-1], wanted, f"equity of {side:+g} after the end", todo)

    def costs(self) -> str:
        """Commission of every fill, in the equity of the bar of the fill."""
        terms = replace(FREE, commission=FEE, used=0.5)
        found, free = (
            self.trade({ENTRY: 1.0, EXIT: 0.0}, one) for one in (terms, replace(FREE, used=0.5))
        )
        paid = np.cumsum(free.capital + found.commission) - free.capital * np.arange(1, BARS + 1)
        apart = free.equity - found.equity
        entry, leaving = self.bars.ohlc[[ENTRY, EXIT], 0]
        fees = {ENTRY: 500.0 * FEE, EXIT: 500.0 * FEE * (1.0 + leaving / entry)}
        for bar, wanted in fees.items():
            self.expect(apart[bar], wanted, f"costs in the equity at bar {bar}")
            self.expect(paid[bar], wanted, f"commission up to bar {bar}")
        return ""

    def last_position(self) -> str:
        """Marked at the last close."""
        found = self.trade({ENTRY: 1.0}).equity[-1]
        wanted = FREE.capital * self.bars.ohlc[-1, 3] / self.bars.ohlc[ENTRY, 0]
        self.expect(found, float(wanted), "equity at the last bar with the position open")
        return ""

    def causality(self) -> str:
        """A bar does not know later ones."""
        weights = {10: 1.0, 30: -1.0, 50: 0.5, 70: 0.0, 90: 1.0}
        whole, bars = self.trade(weights).equity, self.bars
        for start in (31, 60, 95):
            ohlc = bars.ohlc.copy()
            ohlc[start:] *= 1.1
            self.bars = replace(bars, ohlc=ohlc)
            try:
                other = self.trade(weights).equity
            finally:
                self.bars = bars
            if not np.array_equal(whole[:start], other[:start]):
                raise defect(
                    self.engine,
                    f"equity before bar {start} moves when the bars from there on change",
                    "bar k depends on bars up to k alone",
                )
        return ""

    def determinism(self) -> str:
        """The same twice."""
        first, second = (self.trade({ENTRY: 1.0}).equity for _ in range(2))
        if not np.array_equal(first, second):
            raise defect(self.engine, "is random: two runs differ", "the same for the same input")
        return ""


def walk(seed: int) -> Bars:
    """Minutes of a random walk with gaps between close and open."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 1e-3, (BARS, 4))
    opens = 100 * np.exp(np.cumsum(steps[:, :2].sum(axis=1)) - steps[:, 0])
    close = opens * np.exp(steps[:, 0])
    high = np.maximum(opens, close) * np.exp(np.abs(steps[:, 2]))
    low = np.minimum(opens, close) * np.exp(-np.abs(steps[:, 3]))
    times = np.arange(BARS, dtype=np.int64) * MINUTE
    nothing = np.empty(0, dtype=np.int64), np.empty(0)
    valid = np.ones(BARS, dtype=np.bool_)
    ohlc = np.stack([opens, high, low, close], axis=1)
    return Bars("ETHUSDT", Timeframe.parse("1m"), times, ohlc, valid, *nothing)


__all__ = ["check_backtest", "checks_of_backtest"]
