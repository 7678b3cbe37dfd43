"""From outputs and labels to metrics.json: a model beside its baselines."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from fakes_of_evaluation import Candle, Direction, Knowing, decisions
from worlds import MINUTE, random_candles, world_of

from mtf.errors import ConfigError
from mtf.evaluation.evaluate import Decisions, evaluate_part
from mtf.evaluation.results import Results
from mtf.market.labels import Label

TRAIN = np.arange(300, 1500) * MINUTE
TEST = np.arange(1500, 1800) * MINUTE
WORLD = world_of(random_candles(2000, missing=0.01), {"1m": 8, "1h": 4})


def candle_decisions(head: Candle, times: np.ndarray, constant: float) -> Decisions:
    """Every next candle is the same; ten decisions share one, and every third has none."""
    label = Label(
        {"candle": np.full((len(times), 5), constant)},
        np.arange(len(times)) % 3 > 0,
        np.arange(len(times)) // 10,
    )
    return Decisions(WORLD, times, {"candles": dict.fromkeys(head.targets, label)})


def perfect(test: Decisions) -> np.ndarray:
    """Probabilities of one who knows the label."""
    happened = test.labels["way"]["direction"].values["class"]
    return np.asarray(np.eye(3)[happened] * 0.97 + 0.01)


def evaluate_direction(**options: Any) -> Results:
    """A model that knows the answer, among the baselines."""
    heads = {"way": Direction()}
    train, test = (decisions(heads, WORLD, times) for times in (TRAIN, TEST))
    outputs = {"way": {"probs": perfect(test)}}
    return evaluate_part(heads, outputs, test, train, bootstrap=100, **options)


def test_a_model_that_knows_beats_every_baseline() -> None:
    result = evaluate_direction().heads["way"]["direction"]
    assert list(result.baselines) == ["class_prior", "momentum", "logistic"]
    assert result.metrics["log_loss"].value == pytest.approx(-np.log(0.98))
    for beside in result.baselines.values():
        assert beside.beaten is True
        assert beside.comparison.p_two_sided == pytest.approx(1 / 101)
        assert beside.comparison.difference < -0.5
    present = decisions({"way": Direction()}, WORLD, TEST).labels["way"]["direction"].present
    assert result.metrics["log_loss"].n == present.sum()
    assert result.n_distinct == 60


def test_metrics_json_has_the_agreed_form() -> None:
    tree = evaluate_direction(samples_per_second={"train": 353.0, "eval": 900.0}).as_dict()
    assert tree["schema"] == 1
    assert set(tree["test"]["way"]["log_loss"]) == {"value", "low", "high", "n", "n_distinct"}
    assert tree["test"]["way"]["permutation_p"] == 1 / 1000
    prior = tree["baselines"]["class_prior"]["way"]
    assert prior["beaten"] is True
    assert 0 < prior["paired_p"] < 0.05
    assert tree["samples_per_second"] == {"train": 353.0, "eval": 900.0}
    assert prior["rank_ic"]["value"] is None  # a constant score orders nothing
    assert json.loads(json.dumps(tree, allow_nan=False)) == tree


def test_heads_of_streams_keep_the_streams_names() -> None:
    for streams in (("1m",), ("1m", "1h")):
        head = Candle(streams)
        train, test = candle_decisions(head, TRAIN, 1.0), candle_decisions(head, TEST, 1.0)
        outputs = {"candles": {name: np.full((len(TEST), 5), 1.0) for name in streams}}
        tree = evaluate_part(
            {"candles": head}, outputs, test, train, baselines=[], bootstrap=20
        ).as_dict()
        assert set(tree["test"]["candles"]) == set(streams)
        assert set(tree["baselines"]) == {"naive_candle", "mean_candle"}


def test_only_decisions_with_a_label_count_and_distinct_ones_are_told() -> None:
    head = Candle(("1m",))
    train, test = candle_decisions(head, TRAIN, 3.0), candle_decisions(head, TEST, 1.0)
    predicted = np.where((np.arange(len(TEST)) % 3 > 0)[:, None], 2.0, np.nan) * np.ones(5)
    results = evaluate_part(
        {"candles": head}, {"candles": {"1m": predicted}}, test, train, bootstrap=20
    )
    result = results.heads["candles"]["1m"]
    assert result.metrics["mse"].value == 1.0
    assert (result.metrics["mse"].n, result.metrics["mse"].n_distinct) == (200, 30)
    # the mean of training is off by 2, the flat naive candle by 1
    assert result.baselines["mean_candle"].metrics["mse"].value == 4.0
    assert result.baselines["mean_candle"].beaten is True
    assert result.baselines["naive_candle"].beaten is False
    assert result.metrics["skill"].value == 0.0


def test_a_part_without_labels_has_no_figures() -> None:
    head = Candle(("1m",))
    nothing = Label({"candle": np.zeros((len(TEST), 5))}, np.zeros(len(TEST), dtype=bool), TEST)
    test = Decisions(WORLD, TEST, {"candles": {"1m": nothing}})
    outputs = {"candles": {"1m": np.zeros((len(TEST), 5))}}
    train = candle_decisions(head, TRAIN, 1.0)
    results = evaluate_part({"candles": head}, outputs, test, train)
    assert results.as_dict()["test"] == {"candles": {"1m": {}}}
    assert results.heads["candles"]["1m"].n_distinct == 0


def test_a_source_that_knows_adds_the_oracle() -> None:
    result = evaluate_direction(source=Knowing(), baselines=["class_prior"])
    assert list(result.heads["way"]["direction"].baselines) == ["class_prior", "oracle"]


def test_the_same_seed_gives_the_same_figures() -> None:
    assert evaluate_direction(seed=1).as_dict() == evaluate_direction(seed=1).as_dict()


def test_an_unknown_baseline_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean momentum"):
        evaluate_direction(baselines=["momentun"])
    with pytest.raises(ConfigError, match=r"evaluation\.baselines: found 'xyz'"):
        evaluate_direction(baselines=["xyz"])


def test_whether_anything_is_related_is_tested_unless_nobody_asks() -> None:
    result = evaluate_direction(permutations=99).heads["way"]["direction"]
    assert (result.permutation_p, result.permuted and result.permuted.outcomes) == (1 / 100, 60)
    untested = evaluate_direction(permutations=0)
    assert untested.heads["way"]["direction"].permuted is None
    assert untested.as_dict()["test"]["way"]["permutation_p"] is None


def test_figures_by_path_for_tensorboard() -> None:
    figures = evaluate_direction(baselines=[]).headline()
    assert set(figures) == {"test/way/log_loss", "test/way/rank_ic"}
