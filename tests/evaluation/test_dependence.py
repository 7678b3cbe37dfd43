"""Autocorrelation by hand; lengths that grow with memory."""

from __future__ import annotations

import numpy as np
import pytest

from mtf.evaluation.dependence import autocorrelation, automatic_length


def test_autocorrelation_by_hand() -> None:
    # around its mean 1, -1, 1, -1: products of neighbours are -1, three of them over four
    assert autocorrelation(np.array([3.0, 1.0, 3.0, 1.0])) == pytest.approx(
        [1, -3 / 4, 1 / 2, -1 / 4]
    )
    assert autocorrelation(np.full(4, 0.1)).tolist() == [1, 0, 0, 0]


def test_noise_needs_no_blocks_and_memory_needs_longer_ones() -> None:
    random = np.random.default_rng(0)
    lengths = []
    for memory in (0.0, 0.8, 0.95):
        values = random.normal(size=2000)
        for row in range(1, 2000):
            values[row] += memory * values[row - 1]
        lengths.append(automatic_length(values))
    assert lengths[0] < 5
    # of an AR(1) the length is (6 ρ² / (1 - ρ²)²)^(1/3) n^(1/3): 38.7 and 105 here
    assert 20 < lengths[1] < 70
    assert 50 < lengths[2] <= 3 * np.sqrt(2000)


def test_a_short_or_constant_series_tells_nothing() -> None:
    assert automatic_length(np.arange(7.0)) == 1.0
    assert automatic_length(np.ones(50)) == 1.0
