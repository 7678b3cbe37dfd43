"""The statistics of many trials against two independent packages; see ``tests/oracles``.

purgedcv has mtf's conventions: equal to 1e-9. ml4t-diagnostic differs, and each difference is one
line of ``their_probability``. Both leave a choice at the median uncounted; mtf does not.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mtf.trading import sharpe
from mtf.trading.overfitting import probability_of_overfitting

SCRIPT = Path(__file__).parents[1] / "oracles" / "statistics_of_trials.py"
ORACLE = json.loads(SCRIPT.with_suffix(".json").read_text())
RECORDS, TRIALS = ORACLE["records"], ORACLE["trials"]


def script() -> ModuleType:
    """The script that asked them: it knows the inputs."""
    spec = importlib.util.spec_from_file_location("statistics_of_trials", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ASKED = script()


def record(name: str) -> tuple[np.ndarray, dict[str, Any]]:
    returns = ASKED.record(*ASKED.RECORDS[name])
    assert returns.sum() == pytest.approx(RECORDS[name]["sum"], rel=1e-12), "another random stream"
    return returns, RECORDS[name]


def trials(name: str) -> tuple[np.ndarray, dict[str, Any]]:
    returns = ASKED.trials(*ASKED.TRIALS[name])
    assert returns.sum() == pytest.approx(TRIALS[name]["sum"], rel=1e-12), "another random stream"
    return returns, TRIALS[name]


def exactly(expected: Any) -> Any:
    return pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", RECORDS)
def test_sharpe_ratios_against_purgedcv(name: str) -> None:
    returns, said = record(name)
    theirs = said["purgedcv"]
    found = sharpe.moments(returns)
    assert [found.sharpe, found.skew, found.kurtosis] == exactly(
        [theirs[key] for key in ("sharpe", "skew", "kurtosis")]
    )
    assert [
        sharpe.probabilistic_sharpe_ratio(returns, benchmark) for benchmark in ASKED.BENCHMARKS
    ] == exactly(theirs["psr"])
    assert [
        sharpe.deflated_sharpe_ratio(returns, count, ASKED.VARIANCE) for count in ASKED.NUM_TRIALS
    ] == exactly(theirs["dsr"])
    assert [
        sharpe.minimum_track_record_length(returns, benchmark) for benchmark in ASKED.BENCHMARKS
    ] == [float(length) for length in theirs["min_track_record"]]


@pytest.mark.parametrize("name", RECORDS)
def test_sharpe_ratios_against_ml4t(name: str) -> None:
    returns, said = record(name)
    theirs, count = said["ml4t"], len(returns)
    assert [
        sharpe.expected_maximum_sharpe(number, ASKED.VARIANCE) for number in ASKED.NUM_TRIALS
    ] == exactly(theirs["expected_maximum"])

    # the ratio with ddof 1, skew and kurtosis as plain moments, kurtosis in excess of 3
    ratio = sharpe.moments(returns).sharpe * np.sqrt((count - 1) / count)
    skew, excess = stats.skew(returns), stats.kurtosis(returns)
    assert [ratio, skew, excess] == exactly(
        [theirs[key] for key in ("sharpe", "skew", "excess_kurtosis")]
    )

    def their_probability(benchmark: float, spread_of_maximum: float) -> float:
        # the variance where the benchmark is the truth, not at the ratio observed (the paper of
        # 2025 instead of those of 2012 and 2014); over n, not n - 1; of the maximum of the trials
        factor = 1 - skew * benchmark + (excess + 2) / 4 * benchmark**2
        error = np.sqrt(factor / count) * spread_of_maximum
        return float(stats.norm.cdf((ratio - benchmark) / error))

    assert [their_probability(benchmark, 1.0) for benchmark in ASKED.BENCHMARKS] == exactly(
        theirs["psr"]
    )
    luck = zip(theirs["expected_maximum"], theirs["spread_of_maximum"], strict=True)
    assert [their_probability(*one) for one in luck] == exactly(theirs["dsr"])


@pytest.mark.parametrize("name", TRIALS)
def test_overfitting_against_both(name: str) -> None:
    returns, said = trials(name)
    found = probability_of_overfitting(returns)
    theirs = said["purgedcv"]
    assert len(found.logits) == theirs["combinations"]
    values, counts = ASKED.counted(found.logits)
    assert dict(zip(values, counts, strict=True)) == theirs["logits"]
    assert found.degradation == exactly(theirs["slope"])
    assert found.chosen.mean() == exactly(theirs["mean_chosen"])
    assert found.later.mean() == exactly(theirs["mean_later"])
    assert (found.chosen - found.later).mean() == exactly(said["ml4t"]["degradation"])
    # with an odd number of trials a choice can be the very median: mtf counts it as overfitted
    at_the_median = (np.abs(found.logits) < 1e-9).mean()
    assert (at_the_median > 0) == (name == "odd")
    for other in (theirs["pbo"], said["ml4t"]["pbo"]):
        assert found.probability == exactly(other + at_the_median)
