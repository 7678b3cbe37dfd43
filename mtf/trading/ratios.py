"""Figures of money from sums over bars: of one strategy, or of every resample of it at once.

NaN where undefined, without a warning. ``per_year`` is the number of bars a year.
"""

from __future__ import annotations

import numpy as np

from mtf.trading.sharpe import STILL

Some = np.ndarray | np.number
"""One value, or one of each resample."""


def sharpe(bars: Some, total: Some, squares: Some, per_year: float) -> np.ndarray:
    """The Sharpe ratio from the number of bars, the sum of returns and that of their squares."""
    with np.errstate(all="ignore"):
        variance = (squares - total**2 / bars) / (bars - 1)
        moves = (bars > 1) & (variance > STILL * squares / bars)
        found = total / bars / np.sqrt(variance) * np.sqrt(per_year)
    return np.asarray(np.where(moves, found, np.nan))


def sortino(bars: Some, total: Some, downside: Some, per_year: float) -> np.ndarray:
    """The Sortino ratio from the number of bars and the sums of r and of min(r, 0)²."""
    bars = np.maximum(bars, 1.0)
    return np.asarray(np.sqrt(per_year) * ratio(total / bars, np.sqrt(downside / bars)))


def ratio(above: Some, below: Some) -> np.ndarray:
    """NaN where the divisor is not positive."""
    with np.errstate(all="ignore"):
        return np.asarray(np.where(below > 0, above / below, np.nan))


def annual(whole: Some, years: Some) -> np.ndarray:
    """A growth over some years as one of a year; -1 where nothing is left."""
    with np.errstate(all="ignore"):
        found = np.expm1(np.log1p(np.maximum(whole, -1.0)) / years)
    return np.asarray(np.where(np.isfinite(found), found, np.nan))


__all__ = ["annual", "ratio", "sharpe", "sortino"]
