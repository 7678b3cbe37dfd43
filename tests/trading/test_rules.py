"""Rules of time: holding, cooldown, dead band; and that no row knows a later one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.trading.kernels import ruled

NAN = float("nan")


def after(
    signal: list[float], holding: int = 0, cooldown: int = 0, dead_band: float = 0.0
) -> list[float]:
    found: list[float] = ruled(np.array(signal, np.float64), holding, cooldown, dead_band).tolist()
    return found


def test_without_rules_signals_are_followed() -> None:
    assert after([0, 1, 1, -1, 0.5, NAN, 0, NAN]) == [0, 1, 1, -1, 0.5, 0.5, 0, 0]


def test_held_for_the_horizon_then_flat() -> None:
    assert after([1, 0, -1, 0, 0, 0], holding=3) == [1, 1, 1, 0, 0, 0]
    assert after([1, NAN, NAN, NAN, NAN], holding=3) == [1, 1, 1, 0, 0]


def test_held_for_the_horizon_unless_signalled_anew() -> None:
    assert after([1, 0, 0, 1, 0, 0, 0], holding=3) == [1, 1, 1, 1, 1, 1, 0]
    assert after([1, 0, 0, -1, 1, 1, 0], holding=3) == [1, 1, 1, -1, -1, -1, 0]
    assert after([1, 0.5, 0.5, 0.5, 1, 1], holding=3) == [1, 1, 1, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(("cooldown", "expected"), [
    (0, [1, 0, 1, 1, -1, -1]),
    (1, [1, 0, 1, 1, 0, -1]),
    (2, [1, 0, 0, 1, 0, 0]),
])  # fmt: skip
def test_no_position_before_the_cooldown_is_over(cooldown: int, expected: list[float]) -> None:
    assert after([1, 0, 1, 1, -1, -1], cooldown=cooldown) == expected


def test_small_changes_are_left_alone_but_not_leaving_or_turning() -> None:
    assert after([0.05, 0.1, 0.3, 0.25, 0, 0.02, -0.02], dead_band=0.1) == pytest.approx(
        [0.05, 0.05, 0.3, 0.3, 0, 0.02, -0.02]
    )


SIGNALS = st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0, NAN]), min_size=1, max_size=40)


@given(SIGNALS, SIGNALS, st.integers(0, 5), st.integers(0, 5), st.sampled_from([0.0, 0.6]))
@settings(max_examples=300, deadline=None)
def test_a_row_depends_on_rows_up_to_it_alone(
    known: list[float], later: list[float], holding: int, cooldown: int, dead_band: float
) -> None:
    rules = (holding, cooldown, dead_band)
    assert after(known + later, *rules)[: len(known)] == after(known, *rules)


@given(SIGNALS, st.integers(2, 5))
@settings(max_examples=300, deadline=None)
def test_every_position_is_held_as_long_as_it_must(signal: list[float], holding: int) -> None:
    found = np.array(after(signal, holding))
    moved = np.flatnonzero(np.diff(found, prepend=0.0))
    entered = moved[found[moved] != 0]
    for start in entered:
        assert (found[start : start + holding] == found[start]).all()
