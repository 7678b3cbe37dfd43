"""How sure a figure is: a block bootstrap over distinct outcomes in the order of time.

Decisions that share an outcome (1,440 minutes of a day share its 1d candle) are one observation.
Neighbouring outcomes are alike (a volatile week), so circular blocks of round(n^(1/3)) consecutive
ones are drawn with replacement until there are n again (Künsch, 1989; Politis & Romano, 1992): what
lies closer together than a block counts as dependent. Every group's statistics are summed first,
then every block's; a resample is a sum of n^(2/3) rows.

What it does not know: dependence that is longer than a block (intervals are then too narrow), and
a market that will be another one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float64, Int64

from mtf.evaluation.metrics import point_value
from mtf.market.blocks import block_length, block_sums, drawn_starts, num_blocks
from mtf.plugins.contracts import Metric

NUMBERS_AT_ONCE = 4_000_000
"""Numbers held in memory at a time (32 MB), however many groups and resamples there are."""

Group = Int64[np.ndarray, " decision"]
Draws = Float64[np.ndarray, " resample"]
Sums = Float64[np.ndarray, "group column"]
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
        group: id of the distinct outcome of each decision; ids rise with time.
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
    blocks could give, 2^(1 - blocks) two-sided: resamples of four days are too alike to tell more.

    Args:
        model: a metric of the model, such as its log loss.
        baseline: the same metric of the baseline, on the same decisions.
        group: id of the distinct outcome of each decision; ids rise with time.
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
    total, least = 1 + len(chance), 0.5 ** num_blocks(n_distinct)
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
    for drawn in _drawn_sums(sums, resamples, seed):
        for key, part in zip(keys, np.split(drawn, cuts, axis=1), strict=True):
            parts[key].append(_finish(metrics[key].finish, part))
    return {key: np.concatenate(parts[key]) for key in keys}


def _finish(finish: Callable[[np.ndarray], np.ndarray], sums: np.ndarray) -> np.ndarray:
    return np.asarray(finish(sums), dtype=np.float64)


def _group_sums(statistics: list[np.ndarray], group: Group) -> Sums:
    """Every group's sum of every column, groups in the order of their ids."""
    ids, inverse = np.unique(group, return_inverse=True)
    columns = [column for part in statistics for column in part.T]
    sums = [np.bincount(inverse, weights=column, minlength=len(ids)) for column in columns]
    return np.stack(sums, axis=1) if len(ids) else np.zeros((0, len(columns)))


def _drawn_sums(
    sums: Sums, resamples: int, seed: int
) -> Iterator[Float64[np.ndarray, "resample column"]]:
    """The sums of each resample, a bounded piece at a time; the last block of each is cut."""
    groups, columns = sums.shape
    if not groups:
        return
    random, length = np.random.default_rng(seed), block_length(groups)
    whole, rest = divmod(groups, length)
    blocks, shorter = block_sums(sums, length), block_sums(sums, rest) if rest else sums
    at_once = max(1, NUMBERS_AT_ONCE // max(1, (whole + 1) * columns))
    for start in range(0, resamples, at_once):
        starts = drawn_starts(random, groups, min(at_once, resamples - start), length)
        drawn = blocks[starts[:, :whole]].sum(axis=1)
        yield drawn + shorter[starts[:, whole]] if rest else drawn


def _ends(draws: np.ndarray, level: float, n_distinct: int) -> tuple[float, float]:
    defined = draws[np.isfinite(draws)]
    if n_distinct < 2 or not len(defined):
        return np.nan, np.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
