"""Resamples of periods in circular blocks, and what they say: the ends of an interval, p-values.

What a block is and how long stands in ``mtf.market.blocks``. Here rows are drawn in their order,
because equity has a path (a drawdown is no sum), a bounded piece at a time. Knows nothing of what
is measured on the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from mtf.market.blocks import block_length, block_sums, drawn_starts, num_blocks

ROWS_AT_ONCE = 1_000_000
"""Rows held in memory at a time, over all resamples of a piece."""

Draws = Float64[np.ndarray, " resample"]


@dataclass(frozen=True)
class Difference:
    """A strategy against a baseline in one figure, both on the same resamples.

    Attributes:
        value: strategy - baseline; NaN where undefined.
        low: lower end of its 95 % percentile interval.
        high: upper end.
        p_two_sided: of a difference at least this large either way if there were none.
        p_better: of an advantage of the strategy at least this large if there were none.
    """

    value: float
    low: float
    high: float
    p_two_sided: float
    p_better: float


def resampled_rows(
    count: int, resamples: int = 1000, *, length: int | None = None, seed: int = 0
) -> Iterator[Int64[np.ndarray, "resample row"]]:
    """Which rows each resample takes: ``count`` of them, in circular blocks with replacement.

    Args:
        count: rows to draw from; none are drawn from none.
        resamples: how many.
        length: rows a block; None: the rounded cube root of ``count``, at least 1.
        seed: of the draws; the same seed draws the same rows, whatever the size of the pieces.

    Yields:
        Some resamples, together at most ``ROWS_AT_ONCE`` rows (one resample at least).
    """
    if count < 1:
        return
    random = np.random.default_rng(seed)
    size = min(length or block_length(count), count)
    at_once = max(1, ROWS_AT_ONCE // count)
    for start in range(0, resamples, at_once):
        starts = drawn_starts(random, count, min(at_once, resamples - start), size)
        rows = (starts[:, :, None] + np.arange(size)) % count
        yield rows.reshape(len(starts), -1)[:, :count]


def resampled_sums(
    values: Float64[np.ndarray, "row column"], resamples: int = 1000, *, seed: int = 0
) -> Iterator[Float64[np.ndarray, "resample column"]]:
    """The sums of the rows that each resample takes: those of ``resampled_rows``, but for rounding.

    Whole blocks are summed once, so a resample costs n^(2/3) additions.

    Args:
        values: what is summed.
        resamples: how many.
        seed: of the draws.

    Yields:
        Some resamples, from together at most ``ROWS_AT_ONCE`` numbers (one resample at least).
    """
    count, columns = values.shape
    if count < 1:
        return
    random, length = np.random.default_rng(seed), block_length(count)
    whole, rest = divmod(count, length)
    blocks = block_sums(values, length)
    cut = block_sums(values, rest) if rest else blocks
    at_once = max(1, ROWS_AT_ONCE // ((whole + 1) * max(columns, 1)))
    for start in range(0, resamples, at_once):
        starts = drawn_starts(random, count, min(at_once, resamples - start), length)
        yield blocks[starts[:, :whole]].sum(axis=1) + (cut[starts[:, -1]] if rest else 0.0)


def interval_ends(draws: Draws, level: float = 0.95) -> tuple[float, float]:
    """Ends of the percentile interval over the resamples where the figure is defined.

    NaN, NaN where it is defined in fewer than half of them: what is left would be a selection.
    """
    defined = draws[np.isfinite(draws)]
    if len(defined) < max(2, len(draws) / 2):
        return np.nan, np.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def compared(difference: float, draws: Draws, count: int) -> Difference:
    """Test a difference on its resamples, moved to mean nothing (centred on the difference).

    p = (1 + resamples at least as far out) / (1 + resamples), never 0, nor below what flipping the
    signs of whole blocks could give: few blocks are too alike to tell more.

    Args:
        difference: the one that was observed; up is better.
        draws: of each resample.
        count: rows that the resamples were drawn from.
    """
    around = draws[np.isfinite(draws)] - difference
    if not np.isfinite(difference) or count < 2 or not len(around):
        return Difference(difference, np.nan, np.nan, np.nan, np.nan)
    # a tie must count as "at least as far out", whatever rounding says
    slack = 1e-12 * max(abs(difference), float(np.abs(around).max()))
    total, least = 1 + len(around), 0.5 ** num_blocks(count)
    either_way = int((np.abs(around) >= abs(difference) - slack).sum())
    better = int((around >= difference - slack).sum())
    return Difference(
        difference,
        *interval_ends(draws),
        max((1 + either_way) / total, min(1.0, 2 * least)),
        max((1 + better) / total, least),
    )


__all__ = ["Difference", "compared", "interval_ends", "resampled_rows", "resampled_sums"]
