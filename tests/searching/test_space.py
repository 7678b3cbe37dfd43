"""What is drawn from, and how it reads in a config again."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from mtf.config.sweep_file import Dimension
from mtf.config.sweep_schema import SearchConfig
from mtf.searching.space import distributions, grid, values_of

GRU = {"name": "gru"}


def dimension(key: str, whole: bool = False, **search: Any) -> Dimension:
    return Dimension(key, SearchConfig(**search), whole)


@pytest.mark.parametrize(
    ("searched", "expected"),
    [
        (dimension("x", low=0.1, high=0.2), FloatDistribution(0.1, 0.2)),
        (dimension("x", low=0.1, high=10.0, log=True), FloatDistribution(0.1, 10.0, log=True)),
        (dimension("x", low=0, high=1), FloatDistribution(0.0, 1.0)),
        (dimension("x", True, low=1, high=9), IntDistribution(1, 9)),
        (dimension("x", True, low=1, high=64, log=True), IntDistribution(1, 64, log=True)),
        (dimension("x", True, low=8, high=30, step=8), IntDistribution(8, 24, step=8)),
        (dimension("x", choices=[1, 0.5, None]), CategoricalDistribution([1, 0.5, None])),
        (dimension("x", choices=[GRU, "a"]), CategoricalDistribution(['{"name": "gru"}', "a"])),
    ],
)
def test_a_key_as_optuna_knows_it(searched: Dimension, expected: object) -> None:
    assert distributions([searched]) == {"x": expected}


def test_steps_of_a_tenth_reach_the_high_end() -> None:
    space = [dimension("x", low=0.0, high=0.3, step=0.1)]
    assert distributions(space) == {"x": FloatDistribution(0.0, 0.3, step=0.1)}
    assert [point["x"] for point in grid(space)] == [0.0, 0.1, 0.2, 0.3]


def test_a_grid_has_every_combination_the_last_key_fastest() -> None:
    space = [dimension("a", choices=[GRU, [1, 2]]), dimension("b", True, low=2, high=7, step=2)]
    points = grid(space)
    assert [point["b"] for point in points] == [2, 4, 6, 2, 4, 6]
    assert [values_of(space, point)["a"] for point in points] == [GRU] * 3 + [[1, 2]] * 3


def test_a_range_of_very_many_steps_is_not_written_out() -> None:
    space = [dimension("x", low=0.5, high=1e9, step=1), dimension("y", True, low=1, high=10**9)]
    assert distributions(space) == {
        "x": FloatDistribution(0.5, 999_999_999.5, step=1),
        "y": IntDistribution(1, 10**9),
    }
    first = [{"x": 0.5, "y": 1}, {"x": 0.5, "y": 2}, {"x": 0.5, "y": 3}]
    assert grid(space, 3) == first


def test_the_first_points_of_a_grid_are_those_of_the_whole() -> None:
    space = [dimension("a", choices=[1, 2]), dimension("b", True, low=2, high=7, step=2)]
    whole = grid(space)
    assert [grid(space, most) for most in range(9)] == [whole[:most] for most in range(9)]
