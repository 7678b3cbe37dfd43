"""Intervals of the figures of money: circular block bootstrap over days, bars or round trips.

Neighbours are drawn together, so that what lies closer than a block counts as dependent. What it
does not know: dependence that is longer, and a market that will be another one.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from mtf.trading import ratios
from mtf.trading.periods import BARS, DOWNSIDE, EXPOSED, SQUARES, TOTAL, TRADED, Periods
from mtf.trading.resamples import interval_ends, resampled_rows, resampled_sums

Rows = Int64[np.ndarray, "resample row"]
Draws = Float64[np.ndarray, " resample"]
Ends = tuple[float, float, str]
"""Lower and upper end of a 95 % interval, and what was resampled for it."""


def of_periods(joined: Periods, per_year: float, resamples: int, seed: int) -> dict[str, Ends]:
    """Of every figure that periods tell, by its name in ``trading_metrics``.

    Args:
        joined: days, or bars; from fewer than two nothing can be drawn.
        per_year: bars a year.
        resamples: how many.
        seed: of the draws.
    """
    if len(joined) < 2:
        return {}
    drawn = resampled_rows(len(joined), resamples, seed=seed)
    return _ends([_figures(joined, rows, per_year) for rows in drawn], joined.over)


def of_trades(pnl: Float64[np.ndarray, " trade"], resamples: int, seed: int) -> dict[str, Ends]:
    """Of win rate and profit factor, by round trips in the order of time.

    Args:
        pnl: net result of each.
        resamples: how many.
        seed: of the draws.
    """
    if len(pnl) < 2:
        return {}
    columns = np.stack([pnl > 0, np.maximum(pnl, 0.0), np.maximum(-pnl, 0.0)], axis=1)
    pieces = []
    for sums in resampled_sums(columns, resamples, seed=seed):
        wins, won, lost = sums.T
        pieces.append({"win_rate": wins / len(pnl), "profit_factor": ratios.ratio(won, lost)})
    return _ends(pieces, "trades")


def _ends(pieces: list[dict[str, np.ndarray]], over: str) -> dict[str, Ends]:
    names = pieces[0] if pieces else {}
    return {
        name: (*interval_ends(np.concatenate([piece[name] for piece in pieces])), over)
        for name in names
    }


def _figures(joined: Periods, rows: Rows, per_year: float) -> dict[str, Draws]:
    """Figures of some resamples."""
    sums = joined.sums[rows].sum(axis=1)
    bars, total = sums[:, BARS], sums[:, TOTAL]
    whole, fall = np.expm1(joined.growth[rows].sum(axis=1)), _max_drawdown(joined, rows)
    annual = ratios.annual(whole, bars / per_year)
    return {
        "total_return": whole,
        "cagr": annual,
        "sharpe_ratio": ratios.sharpe(bars, total, sums[:, SQUARES], per_year),
        "sortino_ratio": ratios.sortino(bars, total, sums[:, DOWNSIDE], per_year),
        "max_drawdown": fall,
        "calmar": ratios.ratio(annual, fall),
        "turnover": sums[:, TRADED] * per_year / bars,
        "exposure": sums[:, EXPOSED] / bars,
    }


def _max_drawdown(joined: Periods, rows: Rows) -> Draws:
    """Of the bars' equity along the periods drawn: inside one, or from an earlier peak."""
    growth = joined.growth[rows]
    start = np.cumsum(growth, axis=1) - growth
    tops = np.maximum.accumulate(np.maximum(start + joined.high[rows], 0.0), axis=1)
    peak = np.concatenate([np.zeros((len(rows), 1)), tops[:, :-1]], axis=1)
    fall = np.maximum(peak - start - joined.low[rows], joined.fall[rows])
    return np.asarray(-np.expm1(-np.maximum(fall.max(axis=1), 0.0)))


__all__ = ["of_periods", "of_trades"]
