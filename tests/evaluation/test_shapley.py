"""Shapley values: by hand for two and three, and what must hold for any values."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.evaluation.shapley import members, plan, sampled

FIGURES = st.floats(-1e3, 1e3, allow_nan=False)


def test_two_players_share_what_they_have_in_common() -> None:
    # nobody 0, a alone 1, b alone 2, both 5: a adds 1 or 3, b adds 2 or 4
    found = plan(2).shapley(np.array([0.0, 1.0, 2.0, 5.0]))
    assert found.tolist() == [2.0, 3.0]


def test_three_players_over_all_six_orders() -> None:
    values = np.array([3.0, 10.0, 4.0, 7.0, -2.0, 5.0, 0.5, 20.0])
    orders = list(permutations(range(3)))
    by_hand = np.zeros(3)
    for order in orders:
        before = 0
        for player in order:
            by_hand[player] += values[before | 1 << player] - values[before]
            before |= 1 << player
    assert plan(3).shapley(values) == pytest.approx(by_hand / len(orders), abs=1e-12)


@given(st.integers(1, 6), st.data())
@settings(max_examples=40, deadline=None)
def test_they_add_up_to_what_all_are_worth_beyond_nobody(players: int, data: st.DataObject) -> None:
    values = np.array(data.draw(st.lists(FIGURES, min_size=2**players, max_size=2**players)))
    found = plan(players).shapley(values)
    assert abs(found.sum() - (values[-1] - values[0])) <= 1e-9 * max(1, np.abs(values).max())


@given(st.integers(2, 6), st.data())
@settings(max_examples=40, deadline=None)
def test_who_adds_nothing_gets_nothing_and_equals_get_the_same(
    players: int, data: st.DataObject
) -> None:
    """Player 0 never changes a value; players 1 and 2 (where they are) count alike."""
    worth = data.draw(st.lists(FIGURES, min_size=players, max_size=players))
    pair = data.draw(FIGURES)
    values = np.zeros(2**players)
    for number in range(2**players):
        there = members(range(players), number)
        values[number] = sum(worth[3:][player - 3] for player in there if player > 2)
        values[number] += pair * sum(player in (1, 2) for player in there) ** 2
    found = plan(players).shapley(values)
    assert abs(found[0]) <= 1e-9 * max(1.0, np.abs(values).max())
    if players > 2:
        assert found[1] == pytest.approx(found[2], abs=1e-8)


def test_further_axes_are_carried_along() -> None:
    values = np.random.default_rng(0).normal(size=(8, 5))
    each = [plan(3).shapley(values[:, draw]) for draw in range(5)]
    assert plan(3).shapley(values) == pytest.approx(np.stack(each, axis=1))


def test_up_to_eight_players_all_sets_are_valued_beyond_only_those_of_random_orders() -> None:
    assert (len(plan(8).sets), plan(8).orders) == (256, None)
    nine = plan(9)
    assert nine.orders == 200
    assert nine.sets[0] == 0
    assert nine.sets[-1] == 2**9 - 1
    assert len(set(nine.sets)) == len(nine.sets) < 2**9
    assert plan(9).sets == nine.sets != plan(9, seed=1).sets


def test_random_orders_add_up_exactly_and_come_near_the_exact_values() -> None:
    values = np.random.default_rng(1).normal(size=2**5)
    drawn = sampled(5, 200, seed=0)
    found = drawn.shapley(values[list(drawn.sets)])
    assert abs(found.sum() - (values[-1] - values[0])) <= 1e-9
    # the marginal contributions have a standard deviation of about 1.4: 200 orders leave 0.1
    assert np.abs(found - plan(5).shapley(values)).max() < 0.4


def test_members_of_a_number() -> None:
    assert members(("a", "b", "c"), 0b101) == ("a", "c")
