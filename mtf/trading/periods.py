"""The net returns of an outcome by day or by bar, as sums and paths that can be resampled.

A resample takes whole periods: days, as hours of a day share a market. Every period keeps what its
bars add to each figure (sums) and how far its equity rose and fell inside (the path), so a resample
of days still has the Sharpe ratio and the drawdown *of bars*, and a thousand resamples of years of
minutes cost what a thousand of days do. Below ``FEWEST_DAYS`` days periods are bars, neighbours
joined where there are more than ``MOST_PERIODS``. Knows no figure by name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from mtf.trading.outcome import DAY_MS, Outcome

FEWEST_DAYS = 20
"""Fewer days than this are no sample: their bars are drawn instead."""
MOST_PERIODS = 5_000
RUIN = 1e-100
"""Share of the capital below which equity counts as this: its logarithm must stay a number."""

BARS, TOTAL, SQUARES, DOWNSIDE, TRADED, EXPOSED = range(6)
"""Columns of ``Periods.sums``."""

PerPeriod = Float64[np.ndarray, " period"]


@dataclass(frozen=True)
class Periods:
    """What every period adds.

    Attributes:
        over: ``days``, or ``bars``.
        sums: by period: number of bars; sums over bars of the return r, of r², of min(r, 0)²;
            value traded over equity; number of bars that end with a position.
        growth: log of equity at the end over equity at the start.
        high: largest log of equity at a close over equity at the start.
        low: smallest.
        fall: largest fall of log equity from one close to a later one, inside.
    """

    over: str
    sums: Float64[np.ndarray, "period 6"]
    growth: PerPeriod
    high: PerPeriod
    low: PerPeriod
    fall: PerPeriod

    def __len__(self) -> int:
        """Number of periods."""
        return len(self.growth)


def periods(outcome: Outcome) -> Periods:
    """Join the bars of an outcome to periods."""
    over, ends = _ends(outcome)
    starts = np.concatenate([[0], ends])[: len(ends)].astype(np.int64)
    sums = np.add.reduceat(_per_bar(outcome), starts) if len(ends) else np.zeros((0, 6))
    floor = RUIN * outcome.capital
    level = np.log(np.maximum(outcome.equity, floor) / outcome.capital)
    before = np.concatenate([[0.0], level])[starts]
    paths = [_path(level[a:b] - base) for a, b, base in zip(starts, ends, before, strict=True)]
    columns = np.array(paths).reshape(-1, 4).T
    return Periods(over, sums, *(np.ascontiguousarray(column) for column in columns))


def traded(outcome: Outcome) -> Float64[np.ndarray, " bar"]:
    """Value of all fills within each bar over the equity before it; 0 where there was none."""
    count = len(outcome.equity)
    if not count or not len(outcome.fills):
        return np.zeros(count)
    value = (outcome.fills["price"] * outcome.fills["size"].abs()).to_numpy(dtype=np.float64)
    times = outcome.fills["time"].dt.as_unit("ms").astype("int64").to_numpy()
    bar = np.searchsorted(outcome.close_time, times, side="right")
    before = np.concatenate([[outcome.capital], outcome.equity[:-1]])
    total = np.bincount(np.minimum(bar, count - 1), weights=value, minlength=count)
    return np.asarray(np.divide(total, before, out=np.zeros(count), where=before > 0))


def _ends(outcome: Outcome) -> tuple[str, Int64[np.ndarray, " period"]]:
    """What periods are, and the bar behind the last one of each."""
    count = len(outcome.close_time)
    day = (outcome.close_time - 1) // DAY_MS
    days = np.flatnonzero(np.diff(day, append=np.iinfo(np.int64).max)) + 1
    if len(days) >= FEWEST_DAYS:
        return "days", days
    joined = max(1, -(-count // MOST_PERIODS))
    return "bars", np.unique(np.minimum(np.arange(joined, count + joined, joined), count))


def _per_bar(outcome: Outcome) -> Float64[np.ndarray, "bar 6"]:
    returns = outcome.returns
    held = (outcome.position != 0).astype(np.float64)
    columns = [np.ones(len(returns)), returns, returns**2, np.minimum(returns, 0.0) ** 2]
    return np.stack([*columns, traded(outcome), held], axis=1)


def _path(level: Float64[np.ndarray, " bar"]) -> tuple[float, float, float, float]:
    """Growth, high, low and inner fall of one period."""
    fall = np.maximum.accumulate(level) - level
    return float(level[-1]), float(level.max()), float(level.min()), float(fall.max())


__all__ = ["Periods", "periods", "traded"]
