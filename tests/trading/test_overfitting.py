from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mtf.trading import overfitting
from mtf.trading.overfitting import probability_of_overfitting


def noise(count: int, days: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (count, days))


def test_two_blocks_by_hand() -> None:
    # the first is the best in the first half and the worst in the second; the last, the other way
    trials = np.array([
        [3.0, 1, -3, -1],
        [1, -1, 1, -1],
        [-3, -1, 3, 1],
    ])  # fmt: skip
    found = probability_of_overfitting(trials, blocks=2, fewest=3)
    assert found.probability == 1
    assert found.logits == pytest.approx(np.log([(1 / 4) / (3 / 4)] * 2))
    assert found.chosen == pytest.approx([2 / np.sqrt(2)] * 2)
    assert found.later == pytest.approx([-2 / np.sqrt(2)] * 2)
    assert found.probability_of_loss == 1
    assert np.isnan(found.degradation)  # both halves choose as well


@settings(max_examples=10)
@given(st.integers(0, 99), st.sampled_from([19, 24]))
def test_as_if_every_half_were_cut_out(seed: int, days: int) -> None:
    trials = np.round(noise(5, days, seed), 2)  # rounded, so that ratios tie
    trials[0, : days // 2] = 0.0
    found = probability_of_overfitting(trials, blocks=4, fewest=5)
    parts = np.array_split(np.arange(days), 4)
    logits = []
    for half in combinations(range(4), 2):
        inside = np.concatenate([parts[k] for k in half])
        outside = np.setdiff1d(np.arange(days), inside)
        ratios = []
        for rows in (inside, outside):
            spread = trials[:, rows].std(axis=1, ddof=1)
            mean = trials[:, rows].mean(axis=1)
            ratios.append(np.divide(mean, spread, out=0 * mean, where=spread > 1e-9).round(12))
        rank = stats.rankdata(ratios[1])[ratios[0].argmax()] / 6
        logits.append(np.log(rank / (1 - rank)))
    assert found.logits == pytest.approx(np.array(logits))


def test_noise_is_overfitted_half_of_the_time() -> None:
    found = [probability_of_overfitting(noise(12, 96, seed), blocks=8) for seed in range(30)]
    assert np.mean([one.probability for one in found]) == pytest.approx(0.5, abs=0.1)


def test_skill_is_not() -> None:
    trials = noise(20, 320)
    trials[3] += 0.006
    found = probability_of_overfitting(trials)
    assert found.probability == 0
    assert (len(found.logits), found.num_trials, found.num_days) == (12_870, 20, 320)
    assert found.probability_of_loss == 0


def test_the_median_does_not_speak_for_a_choice() -> None:
    trials = np.zeros((3, 8))  # all tie: whoever is chosen has the middle rank
    found = probability_of_overfitting(trials, blocks=2, fewest=3)
    assert found.logits == pytest.approx([0, 0])
    assert found.probability == 1


def test_too_few() -> None:
    found = probability_of_overfitting(noise(9, 100))
    assert (found.probability, found.reason) == (None, "too few trials: 9 of 10")
    assert np.isnan([found.degradation, found.probability_of_loss]).all()
    assert probability_of_overfitting(noise(10, 31)).reason == "too few days: 31 of 32"
    assert probability_of_overfitting(np.zeros((0, 0))).probability is None


def test_blocks_that_cannot_be_halved() -> None:
    with pytest.raises(ValueError, match="7 blocks can't be halved"):
        probability_of_overfitting(noise(10, 100), blocks=7)


def test_pieces_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = noise(10, 64)
    whole = probability_of_overfitting(trials, blocks=8)
    monkeypatch.setattr(overfitting, "NUMBERS_AT_ONCE", 130)
    pieces = probability_of_overfitting(trials, blocks=8)
    assert (whole.logits == pieces.logits).all()
    assert (whole.later == pieces.later).all()
