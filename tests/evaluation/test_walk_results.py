"""Figures of several seeds and folds, as metrics.json has them."""

from __future__ import annotations

import json
import math

import pytest

from mtf.evaluation.bootstrap import Estimate
from mtf.evaluation.results import Results, TargetResult
from mtf.evaluation.walk_results import FoldFigures, Spread, WalkResults
from mtf.learning.splits import Part

DAY = 86_400_000


def results(loss: float) -> Results:
    """One head with one figure."""
    estimate = Estimate(loss, loss - 0.1, loss + 0.1, 10, 5)
    target = TargetResult("log_loss", {"log_loss": estimate}, {})
    return Results({"action": {"action": target}}, {"train": 2.0}, frozenset({"action"}), "later")


def walk() -> WalkResults:
    """Two seeds, one fold."""
    seeds = {4: results(1.0), 5: results(1.4)}
    parts = {"train": Part("train", 0, DAY), "test": Part("test", DAY, 2 * DAY)}
    return WalkResults(results(1.1), seeds, [FoldFigures(1, parts, results(1.1), seeds)])


def test_mean_and_sd_of_two() -> None:
    spread = Spread.of([1.0, 1.4])
    assert spread.mean == pytest.approx(1.2)
    assert spread.n == 2
    assert spread.sd == pytest.approx(math.sqrt(0.08))


def test_what_is_not_defined_does_not_count() -> None:
    assert Spread.of([math.nan, 2.0]).mean == 2.0
    assert math.isnan(Spread.of([2.0]).sd)
    assert math.isnan(Spread.of([]).mean)


def test_the_content_of_metrics_json() -> None:
    tree = json.loads(json.dumps(walk().as_dict(), allow_nan=False))
    assert list(tree) == [
        *("schema", "later", "baselines", "samples_per_second"),
        *("seeds", "spread", "folds"),
    ]
    assert tree["later"]["action"]["log_loss"]["value"] == 1.1
    assert tree["seeds"]["5"]["later"]["action"]["log_loss"]["value"] == 1.4
    assert tree["spread"]["action"]["log_loss"]["mean"] == pytest.approx(1.2)
    (fold,) = tree["folds"]
    assert fold["parts"]["test"] == ["1970-01-02 00:00", "1970-01-03 00:00"]
    assert fold["later"]["action"]["log_loss"]["value"] == 1.1
    assert fold["spread"]["action"]["log_loss"]["n"] == 2
