"""Figures of several symbols: together and each by itself; times are the witnesses, not symbols."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from fakes_of_evaluation import Direction, decisions
from panels import SYMBOLS, small_panel
from worlds import MINUTE, random_candles, world_of

from mtf.evaluation.evaluate import Asked, evaluate_symbols
from mtf.evaluation.part import evaluate_part_of, predict_part, predictions_of_part, prior_scores
from mtf.evaluation.results import Results
from mtf.learning.task import Task


@pytest.fixture(scope="module")
def task() -> Task:
    """The small panel with fresh weights."""
    return small_panel(evaluation={"bootstrap": 20, "baselines": ["class_prior", "momentum"]})


def figures(results: Results) -> dict[str, Any]:
    """All figures but the speeds, as text would have them."""
    tree = results.as_dict()
    del tree["samples_per_second"], tree["schema"]
    assert json.loads(json.dumps(tree)) == tree
    return tree


def test_the_figures_of_a_symbol_are_those_of_evaluating_it_alone(task: Task) -> None:
    both = evaluate_part_of(task)
    tree = figures(both.results)
    assert list(tree["symbols"]) == SYMBOLS
    for symbol, predictions in zip(SYMBOLS, both.said, strict=True):
        alone = evaluate_part_of(task, symbol=symbol)
        assert figures(alone.results) == tree["symbols"][symbol]
        assert predictions.symbol == symbol
        for name, array in alone.predictions.arrays.items():
            np.testing.assert_array_equal(predictions.arrays[name], array)


def test_together_they_are_the_mean_over_all_decisions(task: Task) -> None:
    results = evaluate_part_of(task, "validation").results
    both, *alone = (
        one.heads["next_candle"]["1m"].metrics["mse"]
        for one in (results, *results.symbols.values())
    )
    assert both.n == sum(one.n for one in alone)
    assert both.value == pytest.approx(sum(one.n * one.value for one in alone) / both.n)
    assert both.n_distinct == alone[0].n_distinct  # the same minutes of two symbols
    found, _ = predict_part(task, "validation")
    assert found.times.tolist() == [*found.times[: both.n // 2]] * 2
    names = set(results.headline())
    assert {"validation/action/log_loss", "SOLUSDT/validation/action/log_loss"} <= names


def test_the_same_thing_seen_twice_is_no_second_witness() -> None:
    world = world_of(random_candles(2000))
    heads = {"way": Direction()}
    train, test = (
        decisions(heads, world, np.arange(*edges) * MINUTE) for edges in ((300, 1500), (1500, 1800))
    )
    guess = np.random.default_rng(0).dirichlet((2, 2, 2), len(test.times))
    one = Asked({"way": {"probs": guess}}, test, train)
    both = evaluate_symbols(heads, {"A": one, "B": one}, bootstrap=100)
    result, alone = (each.heads["way"]["direction"] for each in (both, both.symbols["A"]))
    for name, estimate in result.metrics.items():
        expected = alone.metrics[name]
        assert estimate.n == 2 * expected.n
        assert estimate.n_distinct == expected.n_distinct
        ends = [estimate.value, estimate.low, estimate.high]
        if name != "rank_ic":  # ranks of twice as many
            np.testing.assert_allclose(ends, [expected.value, expected.low, expected.high])
    p = [one.baselines["class_prior"].comparison.p_two_sided for one in (result, alone)]
    assert p[0] == p[1]


def test_the_prior_is_that_of_all_symbols(task: Task) -> None:
    (name,) = prior_scores(task)
    assert name == "action/log_loss"


def test_a_symbol_left_out_is_scored_as_it_is(task: Task) -> None:
    done = evaluate_part_of(task, symbol="XRPUSDT")
    assert not done.results.symbols
    (said,) = done.said
    assert (said.symbol, said.part) == ("XRPUSDT", "test")
    result = done.results.heads["action"]["action"]
    assert result.metrics["log_loss"].n > 150
    assert {"class_prior", "momentum", "oracle"} == set(result.baselines)
    eth = predictions_of_part(task, "test", "ETHUSDT")[0]
    assert not np.array_equal(said.arrays["action.prob_buy"], eth.arrays["action.prob_buy"])
