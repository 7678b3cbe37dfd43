"""Figures about forecasts, each as sums over decisions so that they can be bootstrapped by group.

A constructor takes what was predicted and what happened, one row a decision, and returns a
``Metric``: what every decision adds to the sums, and how the sums become the value. Sums of parts
are the sums of the whole, so resampling groups of decisions is one matrix product.

What a metric does not do: drop decisions without a label (that is done before), or say how sure
it is (``bootstrap`` does).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from mtf.plugins.contracts import Metric

SMALLEST_PROBABILITY = 1e-15
"""Probabilities are clipped here before the logarithm: a sure miss costs 34.5 nats."""

Probs = Float[np.ndarray, "decision class"]
Classes = Int[np.ndarray, " decision"]
Values = Float[np.ndarray, "decision *channel"]
Sums = np.ndarray | np.number
"""Sums of one resample, or of many."""


def log_loss(probs: Probs, y: Classes) -> Metric:
    """Mean of -ln p(class that happened), in nats a decision; lower is better.

    Args:
        probs: probabilities of the classes; rows sum to 1.
        y: index of the class that happened.
    """
    return mean(_surprise(probs, y), higher_is_better=False)


def accuracy(probs: Probs, y: Classes) -> Metric:
    """Share of decisions whose most probable class happened, in [0, 1].

    Args:
        probs: probabilities of the classes; of equal ones the first is chosen.
        y: index of the class that happened.
    """
    return mean((probs.argmax(axis=1) == y).astype(np.float64), higher_is_better=True)


def macro_f1(probs: Probs, y: Classes) -> Metric:
    """Mean over classes of F1 = 2·hits / (times chosen + times happened), in [0, 1].

    Classes that were neither chosen nor happened do not count (as in scikit-learn).
    """
    return Metric(_class_counts(probs, y), _macro_f1, higher_is_better=True)


def mcc(probs: Probs, y: Classes) -> Metric:
    """Matthews correlation of chosen and actual class, in [-1, 1].

    For several classes as Gorodkin (2004) has it: (c·n - Σ p_k t_k) / √((n² - Σ p_k²)(n² - Σ t_k²))
    with c hits, p_k times chosen, t_k times happened. 0 where one class alone was chosen or
    happened (as in scikit-learn).
    """
    return Metric(_class_counts(probs, y), _mcc, higher_is_better=True)


def rank_ic(
    score: Float[np.ndarray, " decision"], realised: Float[np.ndarray, " decision"]
) -> Metric:
    """Spearman's rank correlation of a score and what it should order, in [-1, 1].

    Pearson's correlation of the average ranks. Ranks are those within all decisions given; a
    resample keeps them, which leaves the interval right to first order. NaN for a constant score.
    """
    ranks = np.stack([_centred_ranks(score), _centred_ranks(realised)], axis=1)
    return Metric(_moments(ranks), _correlation, higher_is_better=True)


def calibration_error(probs: Probs, y: Classes, bins: int = 10) -> Metric:
    """Expected calibration error of the chosen class: Σ_bin n_bin/n · |accuracy - confidence|.

    Bins have equal width in the probability of the chosen class (Guo et al., 2017). In [0, 1];
    lower is better. Resamples lie above the point value where calibration is good, because noise
    within a bin counts as error.
    """
    chosen, confidence = probs.argmax(axis=1), probs.max(axis=1).astype(np.float64)
    in_bin = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    surplus = np.where(chosen == y, 1.0, 0.0) - confidence
    statistics = np.zeros((len(y), bins + 1))
    statistics[np.arange(len(y)), in_bin] = surplus
    statistics[:, bins] = 1.0
    return Metric(statistics, _calibration_error, higher_is_better=False)


def mean(
    per_decision: Float64[np.ndarray, " decision"], *, higher_is_better: bool | None
) -> Metric:
    """Mean of a figure that every decision has by itself, such as its loss."""
    statistics = np.stack([per_decision, np.ones(len(per_decision))], axis=1)
    return Metric(statistics, _ratio, higher_is_better)


def weighted_share(
    right: Bool[np.ndarray, " decision"], weight: Float64[np.ndarray, " decision"]
) -> Metric:
    """Share of the weight that lies on decisions that were right, in [0, 1].

    NaN without any weight; weights are 0 or more.
    """
    return Metric(np.stack([np.where(right, weight, 0.0), weight], axis=1), _ratio, True)


def mse(pred: Values, true: Values) -> Metric:
    """Mean squared error, over channels too; in the square of the units given; lower is better."""
    return mean(squared_error(pred, true), higher_is_better=False)


def skill(pred: Values, true: Values, references: Mapping[str, Values]) -> Metric:
    """1 - MSE / (smallest MSE among the references): 0 is as good as the best one, 1 is perfect.

    Which reference is the best is settled once, on all decisions given, and kept in resamples:
    the interval tells how sure the advantage over *that* reference is. For one channel hand in
    that channel: ``skill(pred[:, 3], true[:, 3], {name: p[:, 3] ...})``.

    Args:
        pred: the forecast.
        true: what happened.
        references: forecasts to beat, by name; at least one.
    """
    errors = {name: squared_error(reference, true) for name, reference in references.items()}
    return skill_of_errors(squared_error(pred, true), errors)


def skill_of_errors(
    error: Float64[np.ndarray, " decision"],
    references: Mapping[str, Float64[np.ndarray, " decision"]],
) -> Metric:
    """1 - mean error / (smallest mean error among the references), as ``skill`` has it.

    Args:
        error: of each decision, 0 at best.
        references: the errors to beat, by name; at least one.
    """
    best = min(references.values(), key=lambda other: float(other.sum()))
    return Metric(np.stack([error, best], axis=1), _skill, higher_is_better=True)


def sign_accuracy(
    pred: Float[np.ndarray, " decision"], true: Float[np.ndarray, " decision"]
) -> Metric:
    """Share of decisions whose sign is foreseen, in [0, 1]; where nothing moved none is counted.

    A forecast of exactly 0 takes no side and counts one half.
    """
    moved = true != 0
    right = 0.5 + 0.5 * np.sign(pred[moved]) * np.sign(true[moved])
    return among(moved, mean(right.astype(np.float64), higher_is_better=True))


def qlike(pred: Float[np.ndarray, " decision"], true: Float[np.ndarray, " decision"]) -> Metric:
    """QLIKE of log volatilities: mean of x - ln x - 1 with x = true / predicted variance.

    The loss of Patton (2011) that ranks volatility forecasts rightly where the truth is measured
    with noise: best is the mean variance, not the mean log volatility. 0 is perfect; lower is
    better. A variance that is foreseen more than e^30 times too small counts as that.

    Args:
        pred: log of the volatility foreseen.
        true: log of the volatility that came, in the same unit.
    """
    log_x = 2 * (true.astype(np.float64) - pred.astype(np.float64))
    return mean(np.exp(np.minimum(log_x, 30.0)) - log_x - 1, higher_is_better=False)


def among(chosen: Bool[np.ndarray, " decision"], metric: Metric) -> Metric:
    """The metric of the chosen decisions as one of all: the others add nothing to the sums.

    Args:
        chosen: mask over all decisions.
        metric: made of the chosen ones alone.
    """
    statistics = np.zeros((len(chosen), metric.statistics.shape[1]))
    statistics[chosen] = metric.statistics
    return Metric(statistics, metric.finish, metric.higher_is_better)


def squared_error(pred: Values, true: Values) -> Float64[np.ndarray, " decision"]:
    """Squared error of each decision, averaged over channels."""
    difference = pred.astype(np.float64) - true.astype(np.float64)
    channels = tuple(range(1, difference.ndim))
    return np.asarray(np.square(difference).mean(axis=channels))


def point_value(metric: Metric) -> float:
    """The metric over all its decisions; NaN where undefined or without decisions."""
    return float(metric.finish(metric.statistics.sum(axis=0)))


def _surprise(probs: Probs, y: Classes) -> Float64[np.ndarray, " decision"]:
    happened = probs[np.arange(len(y)), y].astype(np.float64)
    return np.asarray(-np.log(np.clip(happened, SMALLEST_PROBABILITY, 1.0)))


def _class_counts(probs: Probs, y: Classes) -> Float64[np.ndarray, "decision statistic"]:
    """Three columns a class: hit, chosen, happened."""
    classes = np.arange(probs.shape[1])
    chosen = probs.argmax(axis=1)[:, None] == classes
    happened = y[:, None] == classes
    return np.concatenate([chosen & happened, chosen, happened], axis=1).astype(np.float64)


def _centred_ranks(values: Float[np.ndarray, " decision"]) -> Float64[np.ndarray, " decision"]:
    """Average ranks on [-1, 1], so that sums of squares stay small."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    average = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(2 * average[inverse] / (len(values) + 1) - 1, dtype=np.float64)


def _moments(pairs: Float64[np.ndarray, "decision 2"]) -> Float64[np.ndarray, "decision 6"]:
    x, y = pairs.T
    return np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1)


def _divide(numerator: Sums, denominator: Sums, undefined: float) -> np.ndarray:
    """Elementwise, ``undefined`` where there is nothing to divide by."""
    safe = np.where(denominator > 0, denominator, 1.0)
    return np.where(denominator > 0, numerator / safe, undefined)


def _ratio(sums: np.ndarray) -> np.ndarray:
    return _divide(sums[..., 0], sums[..., 1], np.nan)


def _skill(sums: np.ndarray) -> np.ndarray:
    return np.asarray(1 - _ratio(sums))


def _calibration_error(sums: np.ndarray) -> np.ndarray:
    return _divide(np.abs(sums[..., :-1]).sum(axis=-1), sums[..., -1], np.nan)


def _split_counts(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    hits, chosen, happened = np.split(sums, 3, axis=-1)
    return hits, chosen, happened


def _macro_f1(sums: np.ndarray) -> np.ndarray:
    hits, chosen, happened = _split_counts(sums)
    seen = chosen + happened > 0
    f1 = _divide(2 * hits, chosen + happened, 0.0)
    return _divide(f1.sum(axis=-1), seen.sum(axis=-1), np.nan)


def _mcc(sums: np.ndarray) -> np.ndarray:
    hits, chosen, happened = _split_counts(sums)
    n = happened.sum(axis=-1)
    covariance = hits.sum(axis=-1) * n - (chosen * happened).sum(axis=-1)
    spread = (n**2 - (chosen**2).sum(axis=-1)) * (n**2 - (happened**2).sum(axis=-1))
    value = _divide(covariance, np.sqrt(np.maximum(spread, 0.0)), 0.0)
    return np.where(n > 0, value, np.nan)


def _correlation(sums: np.ndarray) -> np.ndarray:
    n, x, y, xx, yy, xy = (sums[..., i] for i in range(6))
    safe_n = np.where(n > 0, n, 1.0)
    variance_x, variance_y = xx - x * x / safe_n, yy - y * y / safe_n
    tiny = 1e-12 * safe_n  # rounding must not make a constant score look ordered
    defined = (n > 0) & (variance_x > tiny) & (variance_y > tiny)
    spread = np.sqrt(np.where(defined, variance_x * variance_y, 1.0))
    return np.where(defined, (xy - x * y / safe_n) / spread, np.nan)


__all__ = [
    "accuracy",
    "among",
    "calibration_error",
    "log_loss",
    "macro_f1",
    "mcc",
    "mean",
    "mse",
    "point_value",
    "qlike",
    "rank_ic",
    "sign_accuracy",
    "skill",
    "skill_of_errors",
    "squared_error",
    "weighted_share",
]
