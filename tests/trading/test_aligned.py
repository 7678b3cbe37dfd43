from __future__ import annotations

import numpy as np

from mtf.trading.aligned import aligned


def test_trials_with_all_of_the_days_are_kept() -> None:
    days = np.array([3, 4, 6])
    same = (days, np.array([0.1, 0.2, 0.3]))
    longer = (np.array([2, 3, 4, 5, 6, 7]), np.array([1.0, 2, 3, 4, 5, 6]))
    holed = (np.array([3, 6]), np.array([0.5, 0.5]))
    elsewhere = (np.array([30, 31, 32]), np.array([0.5, 0.5, 0.5]))
    found = aligned(days, [same, longer, holed, elsewhere])
    assert found.tolist() == [[0.1, 0.2, 0.3], [2, 3, 5]]


def test_a_day_after_ruin_earns_nothing() -> None:
    days = np.array([0, 1])
    assert aligned(days, [(days, np.array([-1.0, np.nan]))]).tolist() == [[-1, 0]]


def test_nothing_is_aligned_with_nothing() -> None:
    none = np.empty(0, dtype=np.int64), np.empty(0)
    assert aligned(none[0], [none]).shape == (0, 0)
    assert aligned(np.array([1]), [none]).shape == (0, 1)
    assert aligned(np.array([1, 2]), []).shape == (0, 2)
