"""Blocks of consecutive observations, drawn or shuffled: chance that leaves dependence as it is.

Neighbours in time are alike (a volatile week). Draws that tear them apart claim more independent
observations than there are; whole blocks keep what lies within one together. Blocks run over the
end to the beginning (circular: Politis & Romano, 1992), so every observation is as likely as any
other. A length that grows as n^(1/3) estimates a variance best (Künsch, 1989; Hall, Horowitz &
Jing, 1995).

What it does not know: what an observation is, and dependence that reaches beyond a block.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

Rows = Int64[np.ndarray, " row"]


def block_length(count: int) -> int:
    """Observations a block: the rounded cube root of how many there are, at least 1."""
    return max(1, round(float(np.cbrt(count))))


def num_blocks(count: int) -> int:
    """How many blocks of that length there are, the last one perhaps cut."""
    return -(-count // block_length(count))


def drawn_rows(random: np.random.Generator, count: int, size: int, length: int) -> Rows:
    """Rows of circular blocks drawn with replacement.

    Args:
        random: where the draws come from.
        count: rows to draw from, at least 1.
        size: rows wanted; the last block is cut.
        length: rows a block.
    """
    starts = random.integers(count, size=-(-size // length))
    return ((starts[:, None] + np.arange(length)) % count).reshape(-1)[:size]


def drawn_starts(
    random: np.random.Generator, count: int, resamples: int, length: int
) -> Int64[np.ndarray, "resample block"]:
    """First rows of the circular blocks of each resample of ``count`` rows; see ``block_sums``.

    Drawn resample by resample: a piece of them is the same draws.
    """
    return random.integers(count, size=(resamples, -(-count // length)))


def block_sums(
    values: Float64[np.ndarray, "row column"], length: int
) -> Float64[np.ndarray, "row column"]:
    """The sum of each circular block of ``length`` rows, by its first row."""
    around = np.concatenate([np.zeros((1, values.shape[1])), values, values[: length - 1]])
    running = np.cumsum(around, axis=0)
    return np.asarray(running[length:] - running[:-length])


def shuffled_rows(random: np.random.Generator, count: int, length: int) -> Rows:
    """All rows once, in blocks of consecutive ones whose order is drawn.

    Where the first block begins is drawn, too (it runs over the end), so that no border between
    two blocks is always the same one. The block that is left over is shorter than the others.
    """
    begin = int(random.integers(count))
    order = random.permutation(-(-count // length))
    rows = (order[:, None] * length + np.arange(length)).reshape(-1)
    turned: Rows = (rows[rows < count] + begin) % count
    return turned
