"""Figures of money: what a strategy earned net of costs, how unevenly, and how sure that is.

Everything is computed from the equity at the end of every bar, net of every cost so far. A year has
365 days, and ratios are annualised by the length of the bar that the returns are of: √525,600 for
minutes. √252 belongs to daily returns of an exchange that closes at weekends.

Where a figure is undefined (no trade, one bar, nothing that moves) it is NaN. Intervals are
percentiles (95 %) of a circular block bootstrap over days, below 20 days over bars, for figures of
round trips over those; they know that neighbours are alike, not that a market changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float64

from mtf.market.timeframe import Timeframe
from mtf.trading import ratios
from mtf.trading.intervals import of_periods, of_trades
from mtf.trading.outcome import DAY_MS, Outcome
from mtf.trading.periods import periods, traded

YEAR_MS = 365 * DAY_MS
Returns = Float64[np.ndarray, " bar"]
Equity = Float64[np.ndarray, " bar"]


@dataclass(frozen=True)
class Figure:
    """A figure with its interval.

    Attributes:
        value: NaN where undefined.
        low: lower end of the 95 % interval; NaN where there is none.
        high: upper end.
        over: what was resampled for it: ``days``, ``bars`` or ``trades``; empty = nothing.
    """

    value: float
    low: float = np.nan
    high: float = np.nan
    over: str = ""


def bars_per_year(timeframe: Timeframe) -> float:
    """How many bars a year of 365 days has: 525,600 of 1m, 365 of 1d."""
    return YEAR_MS / timeframe.duration_ms


def total_return(equity: Equity, capital: float) -> float:
    """Equity at the end over the capital, minus 1, as a fraction; NaN without bars."""
    return float(equity[-1] / capital - 1.0) if len(equity) else np.nan


def cagr(equity: Equity, capital: float, timeframe: Timeframe) -> float:
    """Compound annual growth rate, (1 + total return)^(1 / years) - 1, as a fraction.

    -1 where nothing is left. Weeks blown up to a year say little: look at the total return too.
    """
    years = np.float64(len(equity) / bars_per_year(timeframe))
    return float(ratios.annual(np.float64(total_return(equity, capital)), years))


def sharpe_ratio(returns: Returns, timeframe: Timeframe) -> float:
    """Mean over standard deviation (ddof 1) of the bars' net returns, times √(bars per year).

    Sharpe (1994), against cash that earns nothing. NaN below two bars, or where nothing moves.
    """
    bars, squares = np.float64(len(returns)), (returns**2).sum()
    return float(ratios.sharpe(bars, returns.sum(), squares, bars_per_year(timeframe)))


def sortino_ratio(returns: Returns, timeframe: Timeframe) -> float:
    """Mean over downside deviation √(mean of min(r, 0)²), over all bars, times √(bars per year).

    Sortino & van der Meer (1991) with target 0. NaN where no bar lost.
    """
    bars, downside = np.float64(len(returns)), (np.minimum(returns, 0.0) ** 2).sum()
    return float(ratios.sortino(bars, returns.sum(), downside, bars_per_year(timeframe)))


def max_drawdown(equity: Equity, capital: float) -> float:
    """Largest fall from the highest equity so far (the capital at first), as a fraction of it."""
    if not len(equity):
        return np.nan
    peak = np.maximum.accumulate(np.concatenate([[capital], equity]))[1:]
    return float((1.0 - equity / peak).max())


def max_drawdown_duration(equity: Equity, capital: float, timeframe: Timeframe) -> float:
    """Longest time that equity was below an earlier peak, in days.

    From the bar at the peak to the one that reaches it again, or to the end where none does.
    """
    if not len(equity):
        return np.nan
    path = np.concatenate([[capital], equity])
    at_peak = np.flatnonzero(path >= np.maximum.accumulate(path))
    gaps = np.diff(at_peak)
    recovered, still = gaps[gaps > 1].max(initial=0), len(path) - 1 - at_peak[-1]
    return float(max(recovered, still) * timeframe.duration_ms / DAY_MS)


def calmar(equity: Equity, capital: float, timeframe: Timeframe) -> float:
    """Compound annual growth rate over the largest drawdown (Young, 1991); NaN without one."""
    annual, fall = cagr(equity, capital, timeframe), max_drawdown(equity, capital)
    return float(ratios.ratio(np.float64(annual), np.float64(fall)))


def win_rate(pnl: Float64[np.ndarray, " trade"]) -> float:
    """Share of round trips that earned something net of their costs; NaN without any."""
    return float(ratios.ratio(np.float64((pnl > 0).sum()), np.float64(len(pnl))))


def profit_factor(pnl: Float64[np.ndarray, " trade"]) -> float:
    """What winning round trips earned over what losing ones lost, net; NaN where none lost."""
    won, lost = np.maximum(pnl, 0.0).sum(), np.maximum(-pnl, 0.0).sum()
    return float(ratios.ratio(won, lost))


def turnover(outcome: Outcome) -> float:
    """Value of all fills over the equity before each, a year: all in and all out is 2."""
    years = np.float64(len(outcome.equity) / _per_year(outcome))
    return float(ratios.ratio(traded(outcome).sum(), years))


def exposure(outcome: Outcome) -> float:
    """Share of bars that end with a position, in [0, 1]; NaN without bars."""
    return float((outcome.position != 0).mean()) if len(outcome.position) else np.nan


def trading_metrics(outcome: Outcome, resamples: int = 1000, seed: int = 0) -> dict[str, Figure]:
    """All figures by name.

    ``days`` (length of the stretch), ``total_return``, ``cagr``, ``sharpe_ratio``,
    ``sortino_ratio``, ``max_drawdown``, ``max_drawdown_duration`` (days), ``calmar``, ``turnover``
    (a year), ``exposure``; of round trips ``num_trades`` (one that is still open counts),
    ``win_rate``, ``profit_factor``; in quote currency ``commission``, ``slippage``, ``funding``
    (negative where received) and ``costs``, their sum. Counts, durations and sums of money have no
    interval.

    Args:
        outcome: of one strategy on one stretch.
        resamples: of the bootstrap.
        seed: of its draws: two outcomes of the same bars are resampled alike.
    """
    account = outcome.equity, outcome.capital
    returns, frame = outcome.returns, outcome.timeframe
    values = {
        "days": len(outcome.equity) * frame.duration_ms / DAY_MS,
        "total_return": total_return(*account),
        "cagr": cagr(*account, frame),
        "sharpe_ratio": sharpe_ratio(returns, frame),
        "sortino_ratio": sortino_ratio(returns, frame),
        "max_drawdown": max_drawdown(*account),
        "max_drawdown_duration": max_drawdown_duration(*account, frame),
        "calmar": calmar(*account, frame),
        "turnover": turnover(outcome),
        "exposure": exposure(outcome),
    }
    ends = of_periods(periods(outcome), _per_year(outcome), resamples, seed)
    found = {name: Figure(value, *ends.get(name, ())) for name, value in values.items()}
    return {**found, **_of_trades(outcome.trades, resamples, seed), **_costs(outcome)}


def _per_year(outcome: Outcome) -> float:
    return bars_per_year(outcome.timeframe)


def _of_trades(trades: pd.DataFrame, resamples: int, seed: int) -> dict[str, Figure]:
    pnl = trades["pnl"].to_numpy(dtype=np.float64) if len(trades) else np.empty(0)
    ends = of_trades(pnl, resamples, seed)
    values = {"win_rate": win_rate(pnl), "profit_factor": profit_factor(pnl)}
    found = {name: Figure(value, *ends.get(name, ())) for name, value in values.items()}
    return {"num_trades": Figure(float(len(pnl))), **found}


def _costs(outcome: Outcome) -> dict[str, Figure]:
    paid = {name: float(getattr(outcome, name).sum()) for name in ("commission", "slippage")}
    paid["funding"] = float(outcome.funding.sum())
    return {name: Figure(value) for name, value in {**paid, "costs": sum(paid.values())}.items()}


__all__ = [
    "Figure",
    "bars_per_year",
    "cagr",
    "calmar",
    "exposure",
    "max_drawdown",
    "max_drawdown_duration",
    "profit_factor",
    "sharpe_ratio",
    "sortino_ratio",
    "total_return",
    "trading_metrics",
    "turnover",
    "win_rate",
]
