"""Figures as sums by UTC day: small however many decisions there are, and resampled by whole days.

Decisions of one day share a market; resampling whole days keeps what they share together.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from mtf.evaluation.bootstrap import resampled
from mtf.evaluation.metrics import point_value
from mtf.plugins.contracts import Metric

DAY_MS = 86_400_000
Key = tuple[str, str]
"""Head name, target name."""


@dataclass(frozen=True)
class Estimated:
    """A value and how sure it is.

    Attributes:
        value: over all decisions; NaN where undefined.
        se: standard error: the spread over resamples of whole days; NaN below two days.
        low: lower end of the 95 % interval.
        high: upper end.
        n: number of decisions.
        days: number of days.
    """

    value: float
    se: float
    low: float
    high: float
    n: int
    days: int


def estimated(drawn: Float64[np.ndarray, " draw"], n: int, days: int) -> Estimated:
    """From the value, which is the first, and those of all resamples."""
    draws = drawn[1:][np.isfinite(drawn[1:])]
    if days < 2 or len(draws) < 2:
        return Estimated(float(drawn[0]), np.nan, np.nan, np.nan, n, days)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimated(float(drawn[0]), float(draws.std(ddof=1)), float(low), float(high), n, days)


@dataclass
class _Sums:
    """One who about one what."""

    metric: Metric
    sums: Float64[np.ndarray, "day statistic"]
    counts: Int64[np.ndarray, " day"]
    kept: list[np.ndarray]

    def over_days(self) -> Metric:
        """A day as one decision."""
        there = self.counts > 0
        return Metric(self.sums[there], self.metric.finish, self.metric.higher_is_better)

    def value(self) -> float:
        """Over all decisions; where they were kept, to the last bit that of one metric of them."""
        if not self.kept:
            return point_value(self.over_days())
        return float(self.metric.finish(np.concatenate(self.kept).sum(axis=0)))


class DaySums:
    """Sums of metrics by what they are about, by who said it, and by day.

    Args:
        times: of all decisions that may come, in ms.
    """

    def __init__(self, times: Int64[np.ndarray, " decision"]) -> None:
        """Nothing is summed yet."""
        self.first = int(times.min()) // DAY_MS
        self.length = int(times.max()) // DAY_MS - self.first + 1
        self._sums: dict[Key, dict[Hashable, _Sums]] = {}

    def add(
        self,
        who: Hashable,
        about: Key,
        times: Int64[np.ndarray, " decision"],
        metric: Metric,
        *,
        keep: bool = False,
    ) -> None:
        """Take the metric of some decisions into the sums.

        Args:
            who: said it.
            about: head and target.
            times: decision times in ms.
            metric: of these decisions.
            keep: every decision, so that the value is exactly that of one metric of them all.
        """
        day = times // DAY_MS - self.first
        columns = metric.statistics.T
        sums = [np.bincount(day, weights=column, minlength=self.length) for column in columns]
        new = _Sums(metric, np.stack(sums, axis=1), np.bincount(day, minlength=self.length), [])
        own = self._sums.setdefault(about, {}).setdefault(who, new)
        if own is not new:
            own.sums += new.sums
            own.counts += new.counts
        if keep:
            own.kept.append(metric.statistics)

    def abouts(self) -> list[Key]:
        """What there are sums about, in the order of their coming."""
        return list(self._sums)

    def counts(self, about: Key) -> tuple[int, int]:
        """How many decisions there were, and on how many days."""
        of = next(iter(self._sums[about].values())).counts
        return int(of.sum()), int((of > 0).sum())

    def higher_is_better(self, about: Key) -> bool:
        """Whether the metric says so."""
        return bool(next(iter(self._sums[about].values())).metric.higher_is_better)

    def drawn(
        self, about: Key, resamples: int, seed: int
    ) -> dict[Hashable, Float64[np.ndarray, " draw"]]:
        """By who: the value, then that of every resample of whole days, the same for all."""
        own, days = self._sums[about], self.counts(about)[1]
        metrics = {who: sums.over_days() for who, sums in own.items()}
        draws = resampled(metrics, np.arange(days), resamples, seed)
        return {who: np.append(sums.value(), draws[who]) for who, sums in own.items()}


__all__ = ["DaySums", "Estimated", "Key", "estimated"]
