"""How good a probability of being right is, as sums over decisions like every metric."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float64

from mtf.evaluation.metrics import mean
from mtf.plugins.contracts import Metric

BINS = 15

Confidence = Float[np.ndarray, " decision"]
Right = Bool[np.ndarray, " decision"]


def brier(confidence: Confidence, right: Right) -> Metric:
    """Mean squared difference of the probability and what came (1 or 0); lower is better."""
    return mean(_squares(confidence, right), higher_is_better=False)


def brier_skill(confidence: Confidence, right: Right) -> Metric:
    """1 - Brier / Brier of the best constant, which is the share of right ones in hindsight.

    0 is as good as knowing the average, 1 is perfect. NaN where all are right, or all wrong.
    """
    columns = [_squares(confidence, right), right.astype(np.float64), np.ones(len(right))]
    return Metric(np.stack(columns, axis=1), _brier_skill, higher_is_better=True)


def equal_mass_calibration_error(confidence: Confidence, right: Right, bins: int = BINS) -> Metric:
    """Expected calibration error Σ_bin n_bin/n · |share right - mean confidence|, in [0, 1].

    Bins hold equally many decisions (Nixon et al., 2019), so that none is empty where a model is
    hardly ever sure; they are settled once and kept in resamples. Decisions of equal confidence
    share a bin. Resamples lie above the point value, because noise within a bin counts as error.
    """
    edges = np.quantile(confidence, np.arange(1, bins) / bins) if len(confidence) else np.empty(0)
    in_bin = np.searchsorted(edges, confidence, side="left")
    statistics = np.zeros((len(right), bins + 1))
    surplus = right.astype(np.float64) - confidence
    statistics[np.arange(len(right)), in_bin] = surplus
    statistics[:, bins] = 1.0
    return Metric(statistics, _calibration_error, higher_is_better=False)


def _squares(confidence: Confidence, right: Right) -> Float64[np.ndarray, " decision"]:
    return np.asarray(np.square(confidence.astype(np.float64) - right))


def _brier_skill(sums: np.ndarray) -> np.ndarray:
    squares, right, count = (sums[..., i] for i in range(3))
    share = right / np.maximum(count, 1)
    constant = count * share * (1 - share)
    safe = np.where(constant > 0, constant, 1.0)
    return np.where(constant > 0, 1 - squares / safe, np.nan)


def _calibration_error(sums: np.ndarray) -> np.ndarray:
    count = sums[..., -1]
    error = np.abs(sums[..., :-1]).sum(axis=-1) / np.maximum(count, 1)
    return np.where(count > 0, error, np.nan)


__all__ = ["brier", "brier_skill", "equal_mass_calibration_error"]
