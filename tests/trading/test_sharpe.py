from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mtf.trading import sharpe

UP_DOWN = np.array([0.1, -0.1, 0.2, -0.1, 0.15])


def noise(count: int, days: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (count, days))


def test_moments_are_those_that_pandas_has() -> None:
    found = sharpe.moments(UP_DOWN)
    assert found.sharpe == pytest.approx(
        0.05 / np.sqrt(0.016)
    )  # squares sum to 0.0925, less 5·0.05²
    assert found.skew == pytest.approx(pd.Series(UP_DOWN).skew())
    assert found.kurtosis - 3 == pytest.approx(pd.Series(UP_DOWN).kurt())


def test_probability_that_a_ratio_is_above_a_benchmark() -> None:
    found = sharpe.moments(UP_DOWN)
    spread = np.sqrt(1 - found.skew * found.sharpe + (found.kurtosis - 1) / 4 * found.sharpe**2)
    expected = stats.norm.cdf((found.sharpe - 0.1) * 2 / spread)
    assert sharpe.probabilistic_sharpe_ratio(UP_DOWN, 0.1) == pytest.approx(expected)
    assert sharpe.probabilistic_sharpe_ratio(UP_DOWN, found.sharpe) == 0.5


def test_losing_tails_make_a_ratio_less_sure() -> None:
    returns = np.random.default_rng(2).normal(0, 1, 400)
    crashes = -np.abs(returns) * (np.arange(400) % 20 == 0) * 4
    with_crashes = returns + crashes
    with_crashes += 0.1 * with_crashes.std() - with_crashes.mean()
    calm = (returns - returns.mean()) / returns.std() + 0.1
    assert sharpe.moments(calm).sharpe == pytest.approx(sharpe.moments(with_crashes).sharpe)
    assert sharpe.probabilistic_sharpe_ratio(with_crashes) < sharpe.probabilistic_sharpe_ratio(calm)


def test_what_is_undefined_is_nan() -> None:
    for returns in (np.empty(0), np.array([0.1]), UP_DOWN[:3], np.full(9, 0.1), np.zeros(9)):
        assert np.isnan(sharpe.probabilistic_sharpe_ratio(returns))
        assert np.isnan(sharpe.minimum_track_record_length(returns))
        assert np.isnan(sharpe.deflated(returns, returns[None, :]).value)


def test_a_track_record_of_that_length_is_long_enough() -> None:
    returns = noise(1, 300, seed=4)[0] + 0.001
    needed = sharpe.minimum_track_record_length(returns)
    found = sharpe.moments(returns)
    for count, enough in ((needed, True), (needed - 1, False)):
        errors = found.sharpe * np.sqrt(count - 1) / np.sqrt(found.variance_factor)
        assert (stats.norm.cdf(errors) >= 0.95) == enough
    assert sharpe.minimum_track_record_length(returns, found.sharpe) == math.inf


def test_expected_maximum_of_normal_draws() -> None:
    drawn = np.random.default_rng(0).normal(0, 0.5, (20_000, 50)).max(axis=1).mean()
    assert sharpe.expected_maximum_sharpe(50, 0.25) == pytest.approx(drawn, rel=0.02)
    assert sharpe.expected_maximum_sharpe(1, 0.25) == 0


@given(st.floats(1, 1e4), st.floats(1, 1e4))
def test_luck_grows_with_the_number_of_trials_and_is_never_below_0(a: float, b: float) -> None:
    few, many = sorted((a, b))
    least, most = (sharpe.expected_maximum_sharpe(count, 1.0) for count in (few, many))
    assert 0 <= least <= most


def test_one_trial_is_not_deflated() -> None:
    returns = noise(1, 100)[0]
    assert sharpe.deflated_sharpe_ratio(returns, 1, 0.1) == sharpe.probabilistic_sharpe_ratio(
        returns
    )


def test_participation_ratio_by_hand() -> None:
    a, b = np.array([1.0, -1, 1, -1]), np.array([1.0, 1, -1, -1])
    assert sharpe.participation_ratio(np.stack([a, b])) == pytest.approx(2)
    assert sharpe.participation_ratio(np.stack([a, 5 * a + 1, -a])) == pytest.approx(1)
    # a twice and b: eigenvalues 2, 1, 0 → 9 / 5; who does not move does not count
    assert sharpe.participation_ratio(np.stack([a, a, b, 0 * a])) == pytest.approx(9 / 5)
    assert sharpe.participation_ratio(np.zeros((0, 4))) == 0


def test_participation_ratio_is_that_of_the_eigenvalues() -> None:
    trials = noise(8, 40) + noise(1, 40, seed=1)
    values = np.linalg.eigvalsh(np.corrcoef(trials))
    assert sharpe.participation_ratio(trials) == pytest.approx(
        values.sum() ** 2 / (values**2).sum()
    )


def test_chance_correlation_does_not_make_trials_fewer() -> None:
    unrelated = noise(200, 90)
    assert sharpe.participation_ratio(unrelated) < 70
    assert sharpe.effective_trials(unrelated) > 170
    alike = noise(1, 90, seed=1) + 0.1 * unrelated
    assert sharpe.effective_trials(alike) == pytest.approx(1, abs=0.1)


@given(st.integers(1, 12), st.integers(3, 40), st.integers(0, 9))
def test_effective_trials_are_between_the_ratio_and_their_number(
    count: int, days: int, seed: int
) -> None:
    trials = noise(count, days, seed) + 0.5 * noise(1, days, seed + 100)
    ratio = sharpe.participation_ratio(trials)
    assert 1 - 1e-9 <= ratio <= sharpe.effective_trials(trials) + 1e-9
    assert sharpe.effective_trials(trials) <= count + 1e-9


def test_trials_without_skill_do_not_pass() -> None:
    passed = 0
    for seed in range(12):
        trials = noise(200, 180, seed)
        best = max(trials, key=lambda one: sharpe.moments(one).sharpe)
        found = sharpe.deflated(best, trials)
        assert found.probabilistic > 0.95  # as if it had been the only one: a discovery
        passed += found.value > 0.95
    assert passed <= 2


def test_one_with_skill_among_them_passes() -> None:
    trials = noise(50, 365)
    trials[7] += 0.003
    found = sharpe.deflated(trials[7], trials)
    assert found.value > 0.95
    assert (found.num_trials, found.sharpe) == (50, sharpe.moments(trials[7]).sharpe)


def test_trials_that_were_only_counted_count() -> None:
    trials = noise(20, 200)
    seen, all_of_them = (sharpe.deflated(trials[0], trials, num) for num in (20, 2000))
    assert all_of_them.effective_trials == pytest.approx(100 * seen.effective_trials)
    assert all_of_them.value < seen.value
    alone = sharpe.deflated(trials[0], trials[:0], 20)  # none of them on these days
    assert alone.effective_trials == 20
    assert alone.value < alone.probabilistic


def test_copies_of_one_trial_are_one() -> None:
    returns = noise(1, 100)[0]
    found = sharpe.deflated(returns, np.stack([returns] * 30))
    assert found.effective_trials == pytest.approx(1)
    assert found.value == pytest.approx(found.probabilistic)
