"""What two independent packages say of fixed returns: PSR, DSR, track record length, PBO.

Makes ``statistics_of_trials.json`` beside it, which ``tests/trading/test_oracles.py`` compares with
mtf. Run once, in an environment of its own (both packages are MIT licensed; mtf is not needed):

    python3.12 -m venv oracle
    oracle/bin/pip install purgedcv==0.1.11 ml4t-diagnostic==0.2.0
    oracle/bin/python tests/oracles/statistics_of_trials.py

Inputs are drawn from numpy's PCG64 with the seeds below; their sums are stored, so that a test on
another numpy knows that it has the same ones.
"""

from __future__ import annotations

import json
from importlib import import_module
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

RECORDS = {"year": (1, 250, 0.35), "losing": (2, 60, -0.2), "short": (3, 12, 0.8)}
"""Seed, days, and the mean in standard deviations."""
TRIALS = {"even": (4, 12, 320), "odd": (5, 11, 333)}
"""Seed, trials, days: 333 days make blocks of 20 and 21."""
BENCHMARKS = (0.0, 0.05)
NUM_TRIALS = (1, 2, 10, 200)
VARIANCE = 0.004


def record(seed: int, days: int, mean: float) -> np.ndarray:
    """Skewed returns with fat tails."""
    random = np.random.Generator(np.random.PCG64(seed))
    normal = random.standard_normal(days)
    tail = np.where(random.random(days) < 0.05, -3.0, 0.0)
    return 0.01 * (normal + tail + mean)


def trials(seed: int, count: int, days: int) -> np.ndarray:
    """Trials that are alike, of which some have skill."""
    random = np.random.Generator(np.random.PCG64(seed))
    shared, own = random.standard_normal(days), random.standard_normal((count, days))
    return 0.01 * (0.5 * shared + own + 0.01 * np.arange(count)[:, None])


def of_record(returns: np.ndarray) -> dict[str, Any]:
    """What both say of one record."""
    purgedcv, ml4t = import_module("purgedcv"), import_module("ml4t.diagnostic.evaluation.stats")
    found = ml4t.deflated_sharpe_ratio(returns)
    given = {
        "observed_sharpe": found.sharpe_ratio,
        "n_samples": len(returns),
        "skewness": found.skewness,
        "excess_kurtosis": found.excess_kurtosis,
    }
    full = purgedcv.deflated_sharpe_ratio_full(returns, 10, VARIANCE)
    moments = {"sharpe": full.observed_sr, "skew": full.skew, "kurtosis": full.kurt}
    return {
        "sum": float(returns.sum()),
        "purgedcv": {
            **moments,
            "psr": [purgedcv.probabilistic_sharpe_ratio(returns, b) for b in BENCHMARKS],
            "dsr": [purgedcv.deflated_sharpe_ratio(returns, n, VARIANCE) for n in NUM_TRIALS],
            "min_track_record": [
                # as a word where infinite: JSON has no such number
                str(
                    purgedcv.min_track_record_length(
                        moments["sharpe"], b, 0.05, moments["skew"], moments["kurtosis"]
                    )
                )
                for b in BENCHMARKS
            ],
        },
        "ml4t": {
            "sharpe": given["observed_sharpe"],
            "skew": given["skewness"],
            "excess_kurtosis": given["excess_kurtosis"],
            "psr": [
                ml4t.deflated_sharpe_ratio_from_statistics(**given, benchmark_sharpe=b).probability
                for b in BENCHMARKS
            ],
            "dsr": [
                ml4t.deflated_sharpe_ratio_from_statistics(
                    **given, n_trials=n, variance_trials=VARIANCE
                ).probability
                for n in NUM_TRIALS
            ],
            "expected_maximum": [ml4t.compute_expected_max_sharpe(n, VARIANCE) for n in NUM_TRIALS],
            "spread_of_maximum": [ml4t.get_variance_rescaling_factor(n) for n in NUM_TRIALS],
        },
    }


def of_trials(returns: np.ndarray) -> dict[str, Any]:
    """What both say of the choice among trials."""
    purgedcv, ml4t = import_module("purgedcv"), import_module("ml4t.diagnostic.evaluation.stats")
    found = purgedcv.probability_of_backtest_overfitting(returns, 16)
    inside, outside = ratios_by_half(returns)
    other = ml4t.compute_pbo(inside, outside)
    return {
        "sum": float(returns.sum()),
        "purgedcv": {
            "pbo": found.pbo,
            "slope": found.slope,
            "combinations": found.n_combos,
            "logits": dict(zip(*counted(found.logits), strict=True)),
            "mean_chosen": float(found.is_oos_performance[:, 0].mean()),
            "mean_later": float(found.is_oos_performance[:, 1].mean()),
        },
        "ml4t": {"pbo": other.pbo, "degradation": other.degradation_mean},
    }


def ratios_by_half(returns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sharpe ratios in and out of every half: ml4t wants them handed in."""
    blocks = np.array_split(np.arange(returns.shape[1]), 16)
    inside: list[np.ndarray] = []
    outside: list[np.ndarray] = []
    for half in combinations(range(16), 8):
        rest = [k for k in range(16) if k not in half]
        for taken, kept in ((half, inside), (rest, outside)):
            part = returns[:, np.concatenate([blocks[k] for k in taken])]
            kept.append(part.mean(axis=1) / part.std(axis=1, ddof=1))
    return np.array(inside), np.array(outside)


def counted(logits: np.ndarray) -> tuple[list[str], list[int]]:
    """How often each logit occurs."""
    values, counts = np.unique(np.round(logits, 9), return_counts=True)
    return [f"{value:.9f}" for value in values], counts.tolist()


def main() -> None:
    """Ask both, write what they say."""
    names = ("purgedcv", "ml4t-diagnostic", "numpy", "scipy")
    result = {
        "versions": {name: version(name) for name in names},
        "records": {name: of_record(record(*given)) for name, given in RECORDS.items()},
        "trials": {name: of_trials(trials(*given)) for name, given in TRIALS.items()},
    }
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
