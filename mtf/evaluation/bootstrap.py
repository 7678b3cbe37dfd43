"""How sure a figure is: a bootstrap over distinct outcomes.

Decisions that share an outcome (1,440 minutes of a day share its 1d candle) are one observation.
So whole groups are drawn, with replacement, as many as there are. Every group's statistics are
summed first; a resample is then a vector of counts, and a thousand of them one matrix product.

What it does not know: dependence *between* groups (a volatile week). Intervals are honest about
shared outcomes, not about a market that changes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float64, Int64

from mtf.evaluation.metrics import point_value
from mtf.plugins.contracts import Metric

COUNTS_AT_ONCE = 4_000_000
"""Counts held in memory at a time (32 MB), however many groups and resamples there are."""

Group = Int64[np.ndarray, " decision"]
Draws = Float64[np.ndarray, " resample"]
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: over all decisions; NaN where undefined.
        low: lower end of the percentile interval; NaN where there are fewer than two groups.
        high: upper end.
        n: number of decisions.
        n_distinct: number of distinct outcomes among them.
    """

    value: float
    low: float
    high: float
    n: int
    n_distinct: int


@dataclass(frozen=True)
class Comparison:
    """A model against a baseline on the same decisions.

    Attributes:
        difference: model - baseline, in units of the metric; NaN where undefined.
        p_two_sided: of a difference at least this large either way if there were none.
        p_better: of an advantage of the model at least this large if there were none.
    """

    difference: float
    p_two_sided: float
    p_better: float


def interval(
    metric: Metric, group: Group, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> Estimate:
    """Estimate one metric; see ``intervals``."""
    return intervals({"": metric}, group, resamples, seed, level)[""]


def intervals(
    metrics: Mapping[Key, Metric],
    group: Group,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[Key, Estimate]:
    """Estimate metrics of the same decisions, all on the same resamples.

    Args:
        metrics: by name, each with a row a decision.
        group: id of the distinct outcome of each decision.
        resamples: number of bootstrap resamples.
        seed: of the draws; the same seed draws the same groups.
        level: of the interval, such as 0.95.
    """
    return intervals_of(metrics, group, resampled(metrics, group, resamples, seed), level)


def intervals_of(
    metrics: Mapping[Key, Metric], group: Group, draws: Mapping[Key, Draws], level: float = 0.95
) -> dict[Key, Estimate]:
    """Estimate metrics from resamples that are already drawn (``resampled``)."""
    n, n_distinct = len(group), len(np.unique(group))
    return {
        key: Estimate(point_value(metric), *_ends(draws[key], level, n_distinct), n, n_distinct)
        for key, metric in metrics.items()
    }


def paired(
    model: Metric, baseline: Metric, group: Group, resamples: int = 1000, seed: int = 0
) -> Comparison:
    """Test whether a model differs from a baseline in a metric, both on the same resamples.

    The resampled differences, moved to mean nothing (centred on the observed difference), stand
    for what chance alone does; p counts those at least as large, the observed one among them:
    p = (1 + count) / (1 + resamples), never 0. Nor is it below what flipping signs of as many
    groups could give, 2^(1 - groups) two-sided: resamples of four days are too alike to tell more.

    Args:
        model: a metric of the model, such as its log loss.
        baseline: the same metric of the baseline, on the same decisions.
        group: id of the distinct outcome of each decision.
        resamples: number of bootstrap resamples.
        seed: of the draws.
    """
    draws = resampled({"model": model, "baseline": baseline}, group, resamples, seed)
    return compare(model, baseline, draws["model"], draws["baseline"], len(np.unique(group)))


def compare(
    model: Metric,
    baseline: Metric,
    model_draws: Draws,
    baseline_draws: Draws,
    n_distinct: int,
) -> Comparison:
    """The test of ``paired`` on resamples that are already drawn (the same ones for both)."""
    difference = point_value(model) - point_value(baseline)
    chance = model_draws - baseline_draws - difference
    chance = chance[np.isfinite(chance)]
    if not np.isfinite(difference) or not len(chance):
        return Comparison(float(difference), np.nan, np.nan)
    # a tie must count as "at least as large", whatever rounding says
    slack = 1e-12 * max(1.0, abs(difference))
    sign = -1.0 if model.higher_is_better is False else 1.0
    either_way = np.abs(chance) >= abs(difference) - slack
    better = sign * chance >= sign * difference - slack
    total, least = 1 + len(chance), 0.5**n_distinct
    return Comparison(
        float(difference),
        max((1 + int(either_way.sum())) / total, 2 * least),
        max((1 + int(better.sum())) / total, least),
    )


def resampled(
    metrics: Mapping[Key, Metric], group: Group, resamples: int, seed: int
) -> dict[Key, Draws]:
    """Values of every metric on every resample of the groups."""
    keys = list(metrics)
    statistics = [metrics[key].statistics for key in keys]
    sums = _group_sums(statistics, group)
    cuts = np.cumsum([part.shape[1] for part in statistics])[:-1]
    parts: dict[Key, list[np.ndarray]] = {key: [np.empty(0)] for key in keys}
    for counts in _draw_counts(len(sums), resamples, seed):
        for key, part in zip(keys, np.split(counts @ sums, cuts, axis=1), strict=True):
            parts[key].append(_finish(metrics[key].finish, part))
    return {key: np.concatenate(parts[key]) for key in keys}


def _finish(finish: Callable[[np.ndarray], np.ndarray], sums: np.ndarray) -> np.ndarray:
    return np.asarray(finish(sums), dtype=np.float64)


def _group_sums(statistics: list[np.ndarray], group: Group) -> Float64[np.ndarray, "group column"]:
    """Every group's sum of every column, groups in the order of their ids."""
    ids, inverse = np.unique(group, return_inverse=True)
    columns = [column for part in statistics for column in part.T]
    sums = [np.bincount(inverse, weights=column, minlength=len(ids)) for column in columns]
    return np.stack(sums, axis=1) if len(ids) else np.zeros((0, len(columns)))


def _draw_counts(
    groups: int, resamples: int, seed: int
) -> Iterator[Float64[np.ndarray, "resample group"]]:
    """How often each group is drawn in each resample (multinomial), a bounded piece at a time."""
    random = np.random.default_rng(seed)
    at_once = max(1, COUNTS_AT_ONCE // max(1, groups))
    for start in range(0, resamples if groups else 0, at_once):
        rows = min(at_once, resamples - start)
        counts = np.empty((rows, groups))
        for row in range(rows):
            counts[row] = np.bincount(random.integers(groups, size=groups), minlength=groups)
        yield counts


def _ends(draws: np.ndarray, level: float, n_distinct: int) -> tuple[float, float]:
    defined = draws[np.isfinite(draws)]
    if n_distinct < 2 or not len(defined):
        return np.nan, np.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
