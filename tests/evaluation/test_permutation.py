"""What was said and what happened, dealt out anew: found where it is, not where it is not."""

from __future__ import annotations

from collections.abc import Mapping
from unittest import mock

import numpy as np
import pytest
import torch
from fakes_of_evaluation import Direction
from small_models import CLOCK, SPECS

from mtf.evaluation import metrics, pairing, permutation
from mtf.evaluation.permutation import Permuted, first_decisions, permutation_test
from mtf.market.labels import Label
from mtf.plugins import registry
from mtf.plugins.contracts import Arrays, Head, HeadContext, Metric


class Number(Direction):
    """One number a decision, measured by its squared error; no module, no label of its own."""

    task = "regression"
    primary_metric = "mse"
    targets = ("direction",)

    def metrics(
        self, target: str, outputs: Arrays, label: Label, references: Mapping[str, Arrays]
    ) -> dict[str, Metric]:
        return {"mse": metrics.mse(outputs[target][:, 0], label.values["target"])}


def numbers(
    said: np.ndarray, happened: np.ndarray, each: int = 1, permutations: int = 999
) -> Permuted:
    """The test of numbers said about numbers, so many decisions about each."""
    count = len(said) * each
    label = Label(
        {"target": happened.repeat(each)},
        np.ones(count, dtype=bool),
        np.arange(len(said)).repeat(each),
    )
    outputs = {"direction": said.repeat(each)[:, None]}
    return permutation_test(Number(), "direction", outputs, label, permutations)


def classes(probs: np.ndarray, happened: np.ndarray) -> Permuted:
    """The test of probabilities of classes."""
    label = Label(
        {"class": happened, "log_return": np.zeros(len(happened))},
        np.ones(len(happened), dtype=bool),
        np.arange(len(happened)),
    )
    return permutation_test(Direction(), "direction", {"probs": probs}, label)


def slow(random: np.random.Generator, count: int, memory: float) -> np.ndarray:
    """A series that remembers: AR(1)."""
    values = random.normal(size=count)
    for row in range(1, count):
        values[row] += memory * values[row - 1]
    return values


def test_one_decision_stands_for_each_outcome_of_each_symbol() -> None:
    group = np.array([4, 4, 4, 5, 7, 7, 4, 5, 5, 6, 7])  # behind the 7 another symbol begins
    assert first_decisions(group).tolist() == [[0, 6], [3, 7], [4, 10]]
    assert first_decisions(np.zeros(0, dtype=np.int64)).shape == (0, 1)


def test_one_who_knows_is_found_and_one_who_always_says_the_same_is_not() -> None:
    random = np.random.default_rng(0)
    happened = random.integers(0, 3, 60)
    assert classes(np.eye(3)[happened] * 0.97 + 0.01, happened).p == 1 / 1000
    assert classes(np.tile([0.5, 0.3, 0.2], (60, 1)), happened).p == 1.0
    assert classes(1 - np.eye(3)[happened] * 0.97 - 0.01, happened).p == 1.0  # always wrong


def test_a_day_of_decisions_about_one_outcome_is_one_observation() -> None:
    # five days, foreseen exactly, in blocks of two: three blocks have six orders
    happened = np.array([1.0, 4.0, 2.0, 9.0, 3.0])
    found = numbers(happened, happened, each=1440)
    assert (found.outcomes, found.block) == (5, 2)
    assert found.p >= 1 / 6


def test_two_outcomes_have_two_orders_and_one_has_none() -> None:
    assert numbers(np.array([0.0, 1.0]), np.array([0.0, 1.0])).p >= 1 / 2
    alone = numbers(np.array([0.0]), np.array([0.0]))
    assert np.isnan(alone.p)
    assert alone.reason == "fewer than two outcomes to deal out"


def test_a_bias_hides_no_relation() -> None:
    random = np.random.default_rng(1)
    happened = random.normal(size=300)
    assert numbers(happened + random.normal(size=300) + 50.0, happened).p == 1 / 1000


def test_two_series_with_the_same_slowness_are_not_taken_for_related() -> None:
    random = np.random.default_rng(2)
    trials = 60
    found, short = 0, 0
    for _ in range(trials):
        said, happened = (slow(random, 300, 0.95) for _ in range(2))
        found += numbers(said, happened, permutations=99).p <= 0.05
        with mock.patch.object(permutation, "_length", return_value=1):
            short += numbers(said, happened, permutations=99).p <= 0.05
    assert found <= 0.17 * trials
    assert short >= 0.25 * trials, "one by one they would be"


def test_of_unrelated_series_a_twentieth_is_found() -> None:
    random = np.random.default_rng(3)
    p = [
        numbers(random.normal(size=80), random.normal(size=80), permutations=99).p
        for _ in range(120)
    ]
    assert 0 < (np.array(p) <= 0.05).mean() < 0.12
    assert 0.4 < np.mean(p) < 0.6


def test_looked_up_by_class_and_computed_anew_are_the_same() -> None:
    random = np.random.default_rng(4)
    probs, happened = random.dirichlet([2, 2, 2], 70), random.integers(0, 3, 70)
    quick = classes(probs, happened)
    with mock.patch.object(np, "array_equal", return_value=False):
        assert classes(probs, happened).p == quick.p


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(5)
    said, happened = random.normal(size=(2, 50))
    whole = numbers(said, happened + 0.2 * said)
    monkeypatch.setattr(pairing, "ROWS_AT_ONCE", 120)
    assert numbers(said, happened + 0.2 * said) == whole


def test_many_outcomes_are_thinned_out_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "MOST", 40)
    values = np.random.default_rng(6).normal(size=100)
    assert numbers(values, values).outcomes == 34


def test_symbols_are_moved_together() -> None:
    random = np.random.default_rng(7)
    happened = random.normal(size=(2, 80))
    label = Label(
        {"target": happened.reshape(-1)}, np.ones(160, dtype=bool), np.tile(np.arange(80), 2)
    )
    said = (happened + 0.5 * random.normal(size=(2, 80))).reshape(-1, 1)
    found = permutation_test(Number(), "direction", {"direction": said}, label)
    assert (found.outcomes, found.p) == (80, 1 / 1000)


@pytest.mark.parametrize("related", [True, False])
def test_a_position_is_tested_by_what_it_earns_at_the_times_it_was_decided(related: bool) -> None:
    random = np.random.default_rng(8)
    torch.manual_seed(0)
    head = registry.load("head", "position")(HeadContext(8, SPECS, CLOCK))
    weight = random.random(400)
    scale = 1e-3 * np.exp(slow(random, 400, 0.9) / 4)
    move = scale * (random.normal(size=400) + (weight - 0.5 if related else 0.0))
    values = {"log_return": move, "scale": scale, "time": np.arange(400) * head.hold_ms}
    label = Label(values, np.ones(400, dtype=bool), np.arange(400))
    found = permutation_test(head, "weight", {"weight": weight[:, None]}, label)
    assert (found.p <= 0.01) == related


class Relative(Number):
    """Measured against baselines alone."""

    primary_metric = "skill"


def test_no_test_says_why() -> None:
    label = Label({"target": np.arange(9.0)}, np.ones(9, dtype=bool), np.arange(9))
    said = {"direction": np.arange(9.0)[:, None]}
    relative: Head = Relative()
    assert permutation_test(relative, "direction", said, label).reason == (
        "skill is not there without baselines"
    )
    none = permutation_test(Number(), "direction", said, label, permutations=0)
    assert none.reason == "no permutations were asked for"
    said = {"direction": np.full((9, 1), np.nan)}
    assert permutation_test(Number(), "direction", said, label).reason == (
        "the primary metric is undefined"
    )
