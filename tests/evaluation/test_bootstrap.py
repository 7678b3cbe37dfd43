"""Intervals over distinct outcomes: counted right, covering as they claim, small in memory."""

from __future__ import annotations

import numpy as np
import pytest

from mtf.evaluation import bootstrap
from mtf.evaluation.bootstrap import interval, intervals, paired
from mtf.evaluation.metrics import accuracy, mse
from mtf.plugins.contracts import Metric


def mean_of(values: np.ndarray, higher_is_better: bool = False) -> Metric:
    """The mean as a metric."""
    statistics = np.stack([values, np.ones(len(values))], axis=1)
    return Metric(statistics, lambda sums: sums[..., 0] / sums[..., 1], higher_is_better)


def clustered(random: np.random.Generator, groups: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Values around 0 that mostly share what happened to their group."""
    shared = np.repeat(random.normal(size=groups), size)
    return shared + 0.3 * random.normal(size=groups * size), np.repeat(np.arange(groups), size)


def test_decisions_and_distinct_outcomes_are_counted() -> None:
    estimate = interval(mean_of(np.arange(6.0)), np.array([7, 7, 7, 9, 9, 9]), resamples=50)
    assert (estimate.value, estimate.n, estimate.n_distinct) == (2.5, 6, 2)


def test_the_interval_of_two_groups_by_hand() -> None:
    # groups with mean 0 and 1: a resample has mean 0, 1/2 or 1, each end with a quarter of the mass
    values, group = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 1, 1])
    estimate = interval(mean_of(values), group, resamples=400)
    assert (estimate.low, estimate.high) == (0.0, 1.0)


def test_one_outcome_tells_nothing_about_chance() -> None:
    estimate = interval(mean_of(np.arange(5.0)), np.zeros(5, dtype=np.int64))
    assert estimate.value == 2.0
    assert np.isnan(estimate.low)
    assert np.isnan(estimate.high)


def test_no_decision_is_no_figure() -> None:
    empty = accuracy(np.zeros((0, 3)), np.zeros(0, dtype=np.int64))
    estimate = interval(empty, np.zeros(0, dtype=np.int64))
    assert np.isnan(estimate.value)
    assert (estimate.n, estimate.n_distinct) == (0, 0)


def test_the_same_seed_draws_the_same_groups() -> None:
    values, group = clustered(np.random.default_rng(0), 20, 5)
    first, second = (interval(mean_of(values), group, 200, seed=3) for _ in range(2))
    assert first == second
    assert first != interval(mean_of(values), group, 200, seed=4)


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values, group = clustered(np.random.default_rng(0), 20, 5)
    whole = interval(mean_of(values), group, 100)
    monkeypatch.setattr(bootstrap, "NUMBERS_AT_ONCE", 70)
    pieces = interval(mean_of(values), group, 100)
    assert (pieces.low, pieces.high) == pytest.approx((whole.low, whole.high))


def test_group_ids_are_only_names() -> None:
    values, group = clustered(np.random.default_rng(0), 20, 5)
    renamed = interval(mean_of(values), group * 86_400_000 - 5, 100)
    assert renamed == interval(mean_of(values), group, 100)


def test_intervals_cover_the_truth_where_single_decisions_would_not() -> None:
    random = np.random.default_rng(1)
    covered = naive = 0
    trials = 150
    for trial in range(trials):
        values, group = clustered(random, 40, 12)
        honest = interval(mean_of(values), group, 200, seed=trial)
        covered += honest.low <= 0.0 <= honest.high
        apart = random.permutation(len(values))  # as if no decision stood beside another
        single = interval(mean_of(values), apart, 200, seed=trial)
        naive += single.low <= 0.0 <= single.high
    assert 0.88 <= covered / trials <= 0.99
    assert naive / trials < 0.6


def test_intervals_cover_where_neighbouring_outcomes_are_alike() -> None:
    random = np.random.default_rng(5)
    covered = torn = 0
    trials = 150
    for trial in range(trials):
        values = random.normal(size=400)
        for row in range(1, 400):
            values[row] += 0.6 * values[row - 1]
        honest = interval(mean_of(values), np.arange(400), 200, seed=trial)
        covered += honest.low <= 0.0 <= honest.high
        one_by_one = interval(mean_of(values), random.permutation(400), 200, seed=trial)
        torn += one_by_one.low <= 0.0 <= one_by_one.high
    assert 0.82 <= covered / trials <= 0.99
    assert torn / trials < 0.75


def test_a_resample_is_made_of_blocks_in_the_order_of_ids() -> None:
    # eight outcomes in blocks of two: each pair is seen, over the end too, and nothing is between
    values = np.array([1.0, -1.0] * 4)
    estimate = interval(mean_of(values), np.arange(8), resamples=50)
    assert (estimate.low, estimate.high) == (0.0, 0.0)


def test_the_paired_test_finds_nothing_where_nothing_is() -> None:
    random = np.random.default_rng(2)
    trials = 150
    p_values = []
    for trial in range(trials):
        difference, group = clustered(random, 40, 6)
        common = random.normal(size=len(group)) * 10
        result = paired(mean_of(common + difference), mean_of(common), group, 200, seed=trial)
        p_values.append((result.p_two_sided, result.p_better))
    two_sided, better = np.array(p_values).T
    assert 0.0 < (two_sided < 0.1).mean() < 0.2
    assert 0.0 < (better < 0.1).mean() < 0.2


def test_the_paired_test_sees_an_advantage_smaller_than_the_noise() -> None:
    random = np.random.default_rng(3)
    noise = random.normal(size=500) * 10
    advantage = 0.5 + 0.2 * random.normal(size=500)
    group = np.arange(500)
    result = paired(mean_of(noise - advantage), mean_of(noise), group)
    assert result.difference == pytest.approx(-advantage.mean())
    assert result.p_two_sided == pytest.approx(1 / 1001)
    assert result.p_better == pytest.approx(1 / 1001)
    other_way = paired(mean_of(noise), mean_of(noise - advantage), group)
    assert other_way.p_better > 0.99


def test_an_advantage_is_up_where_higher_is_better() -> None:
    values = np.linspace(0, 1, 200)
    better = paired(mean_of(values + 0.1, True), mean_of(values, True), np.arange(200))
    assert better.p_better < 0.01


def test_a_few_outcomes_prove_little_however_large_the_advantage() -> None:
    # blocks of 1, 2 and 2 outcomes: as many signs as there are blocks
    for groups, least in ((1, 1.0), (4, 1 / 2), (8, 1 / 8)):
        group = np.repeat(np.arange(groups), 1440)
        result = paired(mean_of(group * 1.0), mean_of(group * 1.0 + 9.0), group)
        assert (result.p_two_sided, result.p_better) == (least, least / 2)


def test_equals_are_not_told_apart() -> None:
    same = mean_of(np.arange(10.0))
    result = paired(same, same, np.arange(10))
    assert (result.difference, result.p_two_sided, result.p_better) == (0.0, 1.0, 1.0)


def test_metrics_of_the_same_decisions_share_resamples() -> None:
    random = np.random.default_rng(4)
    pred, true = random.normal(size=(2, 50))
    group = np.arange(50) // 3
    both = intervals({"a": mse(pred, true), "b": mse(2 * pred, 2 * true)}, group, 100)
    assert both["b"].low == pytest.approx(4 * both["a"].low)
