from __future__ import annotations

import pytest
import reports

from mtf.report.scores import scores


def test_targets_of_flat_and_of_nested_heads_are_told_apart() -> None:
    found = list(scores(reports.metrics(), "test"))
    assert [one.name for one in found] == ["action", "next_candle 1m", "next_candle 1h"]
    assert (found[0].n, found[0].n_distinct) == (1200, 80)
    assert found[1].metrics["mse"].value == 0.5
    assert found[2].metrics == {}


def test_the_primary_metric_is_that_of_the_differences() -> None:
    action = next(scores(reports.metrics(), "test"))
    assert action.primary == "log_loss"
    assert action.others == {"null p": 0.25}


def test_a_better_baseline_is_named_and_the_oracle_is_none() -> None:
    metrics = reports.metrics()
    metrics["baselines"]["oracle"] = metrics["baselines"]["logistic"]
    action = next(scores(metrics, "test"))
    assert action.losing == ["logistic"]
    assert action.baselines["oracle"].difference == pytest.approx(0.04)
