"""A picture of a table: white for the least, dark for the most, grey for what is not known."""

from __future__ import annotations

import numpy as np

from mtf.report.heat_map import CELL_HEIGHT, CELL_WIDTH, HIGH, LOW, MARGIN, UNDEFINED, heat_map


def corner(pixels: np.ndarray, row: int, column: int, columns: int) -> tuple[int, ...]:
    """The colour in the lower left corner of a cell, where no figure is written."""
    left = pixels.shape[1] - MARGIN - CELL_WIDTH * columns
    top = CELL_HEIGHT * (row + 2) - 4
    return tuple(pixels[top, left + CELL_WIDTH * column + 2].tolist())


def test_the_least_is_white_the_most_is_dark_and_the_undefined_is_grey() -> None:
    pixels = heat_map(np.array([[0.1, 0.9], [np.nan, 0.5]]), ["state", "1m"], ["1m", "btc"])
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
    assert corner(pixels, 0, 0, 2) == tuple(LOW)
    assert corner(pixels, 0, 1, 2) == tuple(HIGH)
    assert corner(pixels, 1, 0, 2) == UNDEFINED
    assert tuple(HIGH) < corner(pixels, 1, 1, 2) < tuple(LOW)


def test_figures_that_are_all_the_same_are_drawn_too() -> None:
    pixels = heat_map(np.full((1, 3), 0.25), ["x"], ["a", "b", "c"])
    assert corner(pixels, 0, 1, 3) == tuple(LOW)
