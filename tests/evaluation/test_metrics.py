"""Metrics against scikit-learn and scipy, against answers by hand, and as sums of parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics

from mtf.evaluation import metrics
from mtf.evaluation.metrics import point_value
from mtf.plugins.contracts import Metric


def forecasts(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of three classes, and what happened, which follows them a little."""
    random = np.random.default_rng(seed)
    probs = random.dirichlet([2.0, 2.0, 3.0], size=n)
    y = np.array([random.choice(3, p=p) for p in probs])
    return probs, y


def test_log_loss_is_that_of_scikit_learn() -> None:
    probs, y = forecasts()
    expected = sklearn_metrics.log_loss(y, probs, labels=[0, 1, 2])
    assert point_value(metrics.log_loss(probs, y)) == pytest.approx(expected, abs=1e-12)


def test_a_sure_miss_is_finite() -> None:
    value = point_value(metrics.log_loss(np.array([[1.0, 0.0, 0.0]]), np.array([1])))
    assert value == pytest.approx(34.54, abs=0.01)


def test_float32_outputs_are_taken() -> None:
    probs, y = forecasts()
    value = point_value(metrics.log_loss(probs.astype(np.float32), y))
    assert value == pytest.approx(point_value(metrics.log_loss(probs, y)), rel=1e-6)


def test_accuracy_f1_and_mcc_are_those_of_scikit_learn() -> None:
    probs, y = forecasts()
    chosen = probs.argmax(axis=1)
    assert point_value(metrics.accuracy(probs, y)) == pytest.approx(
        sklearn_metrics.accuracy_score(y, chosen)
    )
    assert point_value(metrics.macro_f1(probs, y)) == pytest.approx(
        sklearn_metrics.f1_score(y, chosen, average="macro")
    )
    assert point_value(metrics.mcc(probs, y)) == pytest.approx(
        sklearn_metrics.matthews_corrcoef(y, chosen)
    )


def test_f1_leaves_out_a_class_that_was_neither_chosen_nor_happened() -> None:
    probs = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])
    assert point_value(metrics.macro_f1(probs, np.array([0, 1]))) == 1.0


def test_mcc_of_a_constant_choice_is_0() -> None:
    probs = np.tile([0.2, 0.3, 0.5], (5, 1))
    assert point_value(metrics.mcc(probs, np.array([0, 1, 2, 1, 0]))) == 0.0


def test_rank_ic_is_spearman_with_ties() -> None:
    random = np.random.default_rng(1)
    score = random.integers(0, 20, 300).astype(float)
    realised = score / 40 + random.normal(size=300)
    expected = stats.spearmanr(score, realised).statistic
    assert point_value(metrics.rank_ic(score, realised)) == pytest.approx(expected, abs=1e-12)


def test_rank_ic_of_a_constant_score_is_undefined() -> None:
    assert np.isnan(point_value(metrics.rank_ic(np.full(100, 0.3), np.arange(100.0))))


def test_calibration_error_by_hand() -> None:
    # two sure at 0.95 of whom one is right (0.45 off), two at 0.55 of whom both are (0.45 off)
    probs = np.array([[0.95, 0.05], [0.95, 0.05], [0.55, 0.45], [0.45, 0.55]])
    value = point_value(metrics.calibration_error(probs, np.array([0, 1, 0, 1])))
    assert value == pytest.approx(0.45)


def test_certainty_falls_into_the_last_bin() -> None:
    assert point_value(metrics.calibration_error(np.array([[1.0, 0.0]]), np.array([0]))) == 0.0


def test_mse_is_over_channels_too() -> None:
    pred, true = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 4.0], [3.0, 4.0]])
    assert point_value(metrics.mse(pred, true)) == 1.0
    assert point_value(metrics.mse(pred[:, 1], true[:, 1])) == 2.0


def test_skill_is_against_the_best_reference() -> None:
    true = np.zeros(4)
    references = {"bad": np.full(4, 3.0), "good": np.full(4, 2.0)}
    # MSE 1 against MSE 4 of the better one
    assert point_value(metrics.skill(np.ones(4), true, references)) == 0.75


def test_directions_are_told() -> None:
    probs, y = forecasts(20)
    assert metrics.log_loss(probs, y).higher_is_better is False
    assert metrics.accuracy(probs, y).higher_is_better is True
    assert metrics.calibration_error(probs, y).higher_is_better is False


def every_metric(n: int, seed: int) -> list[Metric]:
    """One of each, on the same decisions."""
    probs, y = forecasts(n, seed)
    random = np.random.default_rng(seed)
    pred, true = random.normal(size=(2, n, 5))
    return [
        metrics.log_loss(probs, y),
        metrics.accuracy(probs, y),
        metrics.macro_f1(probs, y),
        metrics.mcc(probs, y),
        metrics.rank_ic(probs[:, 0], true[:, 0]),
        metrics.calibration_error(probs, y),
        metrics.mse(pred, true),
        metrics.skill(pred, true, {"flat": np.zeros((n, 5))}),
    ]


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 60), cut=st.integers(0, 60), seed=st.integers(0, 10_000))
def test_sums_of_parts_are_the_sums_of_the_whole(n: int, cut: int, seed: int) -> None:
    for metric in every_metric(n, seed):
        first, second = metric.statistics[:cut], metric.statistics[cut:]
        parts = metric.finish(first.sum(axis=0) + second.sum(axis=0))
        assert float(parts) == pytest.approx(point_value(metric), rel=1e-9, abs=1e-9, nan_ok=True)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 40), seed=st.integers(0, 10_000))
def test_counting_twice_changes_nothing(n: int, seed: int) -> None:
    for metric in every_metric(n, seed):
        twice = metric.finish(2 * metric.statistics.sum(axis=0))
        assert float(twice) == pytest.approx(point_value(metric), rel=1e-9, abs=1e-9, nan_ok=True)


def test_many_sums_are_finished_at_once_and_none_is_nan() -> None:
    for metric in every_metric(30, 3):
        sums = np.stack([metric.statistics.sum(axis=0), np.zeros(metric.statistics.shape[1])])
        values = metric.finish(sums)
        assert values.shape == (2,)
        assert values[0] == pytest.approx(point_value(metric))
        assert np.isnan(values[1])
