"""Figures and baselines of heads that forecast a number."""

from __future__ import annotations

import math

import numpy as np
import pytest
from worlds import MINUTE, random_candles, world_of

from mtf.evaluation import metrics as figures
from mtf.evaluation.evaluate import Decisions, evaluate_part
from mtf.evaluation.metrics import point_value
from mtf.evaluation.regression_baselines import TrainMean, Zero
from mtf.evaluation.regression_metrics import regression_metrics
from mtf.heads.price import Price
from mtf.market.labels import Future, Label
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import HeadContext

CLOCK = Timeframe.parse("1m")
HEAD = Price(HeadContext(8, (StreamSpec("1m", "ETHUSDT", CLOCK, "primary", 8),), CLOCK))
TIMES = np.arange(4) * MINUTE


def label_of(*values: float) -> Label:
    return Label({"target": np.array(values)}, np.ones(len(values), dtype=bool), np.arange(4))


def test_sign_accuracy_counts_a_forecast_of_nothing_as_half_and_no_move_not_at_all() -> None:
    metric = figures.sign_accuracy(np.array([1.0, -1, 0, 5]), np.array([2.0, 2, 2, 0]))
    assert point_value(metric) == 0.5
    assert metric.statistics.sum(0).tolist() == [1.5, 3.0]
    assert math.isnan(point_value(figures.sign_accuracy(np.ones(2), np.zeros(2))))


def test_qlike_is_least_at_the_mean_variance() -> None:
    truth = np.log(np.array([1.0, 3.0]))  # variances 1 and 9, their mean 5
    losses = {
        variance: point_value(figures.qlike(np.full(2, 0.5 * math.log(variance)), truth))
        for variance in (3.0, 4.5, 5.0, 5.5, 8.0)
    }
    assert min(losses, key=lambda variance: losses[variance]) == 5.0
    wanted = ((0.2 - math.log(0.2)) + (1.8 - math.log(1.8))) / 2 - 1
    assert losses[5.0] == pytest.approx(wanted)
    assert math.isfinite(point_value(figures.qlike(np.array([-900.0]), np.array([0.0]))))


def test_a_metric_of_some_adds_nothing_for_the_others() -> None:
    chosen = np.array([False, True, True])
    metric = figures.among(chosen, figures.mse(np.array([1.0, 5.0]), np.array([0.0, 3.0])))
    assert metric.statistics.tolist() == [[0, 0], [1, 1], [4, 1]]
    assert point_value(metric) == 2.5
    assert metric.higher_is_better is False
    nobody = figures.among(np.zeros(3, dtype=bool), figures.mse(np.empty(0), np.empty(0)))
    assert math.isnan(point_value(nobody))


def test_skill_of_errors_is_against_the_smaller_one() -> None:
    references = {"large": np.array([4.0, 4.0]), "small": np.array([1.0, 3.0])}
    assert point_value(figures.skill_of_errors(np.array([0.0, 1.0]), references)) == 0.75


def test_zero_and_the_mean_of_the_decisions_with_a_label() -> None:
    label = Label({"target": np.array([9.0, 1, 3])}, np.array([False, True, True]), np.arange(3))
    world = world_of(random_candles(70))
    for baseline, wanted in ((Zero(), 0.0), (TrainMean(), 2.0)):
        assert baseline.suits(HEAD, "prediction")
        baseline.fit(HEAD, "prediction", world, TIMES[:3], label)
        assert baseline.predict(world, TIMES)["prediction"].tolist() == [[wanted]] * 4
    nothing = label.select(np.array([0]))
    mean = TrainMean()
    mean.fit(HEAD, "prediction", world, TIMES[:1], nothing)
    assert not mean.predict(world, TIMES)["prediction"].any()


def test_figures_of_a_number() -> None:
    label, said = label_of(1.0, 2.0, 3.0, 4.0), {"prediction": np.array([[1.0], [2], [4], [3]])}
    references = {"train_mean": {"prediction": np.full((4, 1), 2.5)}}
    found = regression_metrics("prediction", said, label, references)
    values = {name: point_value(metric) for name, metric in found.items()}
    assert values == pytest.approx({"mse": 0.5, "skill": 1 - 0.5 / 1.25, "rank_ic": 0.8})
    constant = regression_metrics("prediction", {"prediction": np.zeros((4, 1))}, label, {})
    assert math.isnan(point_value(constant["rank_ic"]))


def test_a_regressing_head_stands_beside_both_constants() -> None:
    world, times = world_of(random_candles(900)), np.arange(100, 800) * MINUTE
    label = HEAD.label("prediction", Future(world, times, HEAD.reach("prediction", times)))
    part = Decisions(world, times, {"price": {"prediction": label}})
    said = {"price": {"prediction": 0.9 * label.values["target"][:, None]}}
    results = evaluate_part({"price": HEAD}, said, part, part, baselines=[], bootstrap=100)
    target = results.heads["price"]["prediction"]
    assert set(target.baselines) == {"zero", "train_mean"}
    assert all(one.beaten for one in target.baselines.values())
    assert target.metrics["skill"].value > 0.98
    assert target.baselines["train_mean"].metrics["skill"].value == pytest.approx(0.0)
    tree = results.as_dict()
    assert tree["test"]["price"]["sign_accuracy"]["value"] == 1.0
    assert tree["baselines"]["zero"]["price"]["sign_accuracy"]["value"] == 0.5
    assert tree["baselines"]["zero"]["price"]["rank_ic"]["value"] is None
