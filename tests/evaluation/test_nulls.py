"""Ranks among worlds where nothing is, by hand; and models trained on noise by the hundred."""

from __future__ import annotations

import math

import numpy as np
import pytest
from noise_worlds import noise_config, scored

from mtf.errors import ConfigError
from mtf.evaluation.bootstrap import Comparison, Estimate
from mtf.evaluation.nulls import Nulls, Score, run_nulls, scores_of
from mtf.evaluation.permutation import Permuted
from mtf.evaluation.results import BaselineResult, Results, TargetResult


def of(*gains: float) -> tuple[dict[str, Score], ...]:
    """Worlds in which the action head gains so much."""
    return tuple({"action": Score(gain, 0.5)} for gain in gains)


def figure(value: float) -> Estimate:
    return Estimate(value, value, value, 10, 10)


def against(value: float, model: float, rising: bool) -> BaselineResult:
    """A baseline's primary figure beside the model's."""
    comparison = Comparison(model - value, 0.5, 0.5)
    return BaselineResult({"it": figure(value)}, comparison, (model > value) == rising)


def results(model: float, others: dict[str, float], rising: bool) -> Results:
    beside = {name: against(value, model, rising) for name, value in others.items()}
    result = TargetResult("it", {"it": figure(model)}, beside, Permuted(0.02))
    return Results({"action": {"action": result}}, {}, frozenset({"action"}))


def test_ranks_by_hand() -> None:
    (real,) = of(0.3)
    nulls = {"few": of(0.1, 0.2, 0.4), "none": of(0.1, 0.2, 0.2), "tie": of(0.3, 0.1, math.nan)}
    found = Nulls(real, nulls, {"momentum": of(0.5)[0]}, 10)
    assert [found.p(null, "action") for null in nulls] == [2 / 4, 1 / 4, 3 / 4]
    assert found.p("few", "action", found.planted["momentum"]) == 1 / 4
    assert math.isnan(Nulls(of(math.nan)[0], nulls, {}, 10).p("few", "action"))


def test_the_gain_is_against_the_best_naive_forecast() -> None:
    scores = scores_of(results(0.9, {"zero": 1.2, "train_mean": 1.0, "oracle": 0.8}, False))
    assert scores["action"].gain == pytest.approx(0.1)
    assert scores["action"].best == pytest.approx(0.2)
    assert scores["action"].share == pytest.approx(0.5)
    assert scores["action"].permutation_p == 0.02
    higher = scores_of(results(0.3, {"flat": 0.0, "always_long": 0.5}, True))["action"]
    assert higher.gain == pytest.approx(-0.2)
    assert math.isnan(higher.share)
    rule = results(0.3, {"flat": 0.0, "momentum_rule": 0.5}, True)
    assert math.isnan(scores_of(rule)["action"].share)
    knows = scores_of(rule, ("oracle", "momentum_rule"))["action"]
    assert (knows.gain, knows.share) == (0.3, 0.6)


def test_without_a_figure_or_a_naive_forecast_there_is_no_gain() -> None:
    assert math.isnan(scores_of(results(0.9, {}, False))["action"].gain)
    empty = Results({"action": {"action": TargetResult("it", {}, {})}}, {}, frozenset({"action"}))
    assert math.isnan(scores_of(empty)["action"].gain)


def test_no_world_is_no_test() -> None:
    with pytest.raises(ConfigError, match="found 0 worlds"):
        run_nulls(noise_config(), worlds=0)


def rejections(worlds: int) -> int:
    """In how many random walks a small model trained on one is taken for related at 5 %."""
    p = [scored(noise_config(seed))["action"].permutation_p for seed in range(worlds)]
    return int((np.array(p) <= 0.05).sum())


@pytest.mark.slow
def test_of_forty_models_trained_on_noise_few_are_taken_for_skill() -> None:
    assert rejections(40) <= 6  # 2 are expected; more than 6 come once in 300 times


@pytest.mark.long
def test_of_two_hundred_models_trained_on_noise_a_twentieth_is_taken_for_skill() -> None:
    assert 2 <= rejections(200) <= 19


@pytest.mark.slow
def test_a_planted_signal_is_found_by_permutation_and_by_retraining() -> None:
    real = scored(noise_config(world="momentum", rho=0.5))
    noise = tuple(scored(noise_config(seed)) for seed in range(1, 20))
    assert real["action"].permutation_p <= 0.01
    assert Nulls(real, {"random_walk": noise}, {}, 80).p("random_walk", "action") <= 0.05
    assert real["action"].share > 0.5


@pytest.mark.slow
def test_a_config_with_a_signal_is_first_among_its_nulls() -> None:
    told: list[str] = []
    found = run_nulls(noise_config(world="momentum", rho=0.6), 4, 80, told.append)
    assert [found.p(null, "action") for null in found.nulls] == [1 / 5] * 3
    assert found.real["action"].permutation_p <= 0.01
    assert found.planted["momentum"]["action"].share > 0.5
    for worlds in found.nulls.values():
        assert max(world["action"].gain for world in worlds) < 0.1 * found.real["action"].gain
    assert len(told) == 3
