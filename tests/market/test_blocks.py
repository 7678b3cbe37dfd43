"""Blocks of consecutive rows: by hand, and nothing lost or doubled in a shuffle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtf.market.blocks import (
    block_length,
    block_sums,
    drawn_rows,
    drawn_starts,
    num_blocks,
    shuffled_rows,
)


@pytest.mark.parametrize(
    ("count", "length", "blocks"), [(0, 1, 0), (1, 1, 1), (8, 2, 4), (28, 3, 10), (1000, 10, 100)]
)
def test_lengths_by_hand(count: int, length: int, blocks: int) -> None:
    assert (block_length(count), num_blocks(count)) == (length, blocks)


def test_sums_run_over_the_end() -> None:
    values = np.array([[1.0], [2.0], [4.0], [8.0]])
    assert block_sums(values, 1)[:, 0].tolist() == [1, 2, 4, 8]
    assert block_sums(values, 3)[:, 0].tolist() == [7, 14, 13, 11]


def test_drawn_rows_are_consecutive_and_as_many_as_wanted() -> None:
    rows = drawn_rows(np.random.default_rng(0), 10, 7, 3)
    assert len(rows) == 7
    steps = np.diff(rows) % 10
    assert (steps[[0, 1, 3, 4]] == 1).all()


def test_a_piece_of_the_draws_is_the_same_draws() -> None:
    whole = drawn_starts(np.random.default_rng(0), 10, 6, 3)
    random = np.random.default_rng(0)
    pieces = [drawn_starts(random, 10, count, 3) for count in (1, 2, 3)]
    np.testing.assert_array_equal(whole, np.concatenate(pieces))


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 5))
def test_a_shuffle_has_every_row_once_and_keeps_neighbours(
    count: int, length: int, seed: int
) -> None:
    rows = shuffled_rows(np.random.default_rng(seed), count, length)
    assert sorted(rows) == list(range(count))
    torn = (np.diff(rows) % count != 1).sum()
    assert torn <= -(-count // length) - 1
