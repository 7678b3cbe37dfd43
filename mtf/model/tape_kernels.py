"""What a tape does between its matrix products, compiled: norms and GELU of whole rows.

Norms and GELU are of flat float32; the length of a row, or of all, is a multiple of sixteen.
"""

# mypy: ignore-errors
# The intrinsics of ``lanes`` have other arguments in compiled code than a type checker sees.

from __future__ import annotations

import numpy as np

from mtf.compiled import cached_njit
from mtf.model.lanes import LANES, add, fma, load, mul, spread, store, sub, total
from mtf.model.row_kernels import normal_law

real = np.float32


@cached_njit()
def normalise(x, weight, bias, eps, out):
    """Layer norm of every row."""
    dim = len(weight)
    for begin in range(0, len(x), dim):
        sums = spread(real(0))
        for d in range(0, dim, LANES):
            sums = add(sums, load(x, begin + d))
        mean = spread(total(sums) / real(dim))
        sums = spread(real(0))
        for d in range(0, dim, LANES):
            away = sub(load(x, begin + d), mean)
            sums = fma(away, away, sums)
        scale = spread(real(1) / np.sqrt(total(sums) / real(dim) + real(eps)))
        for d in range(0, dim, LANES):
            unit = mul(sub(load(x, begin + d), mean), scale)
            store(out, begin + d, fma(unit, load(weight, d), load(bias, d)))


@cached_njit()
def gelu(x, out):
    """Every value times the normal distribution function there."""
    for at in range(0, len(x), LANES):
        value = load(x, at)
        share, _ = normal_law(value)
        store(out, at, mul(value, share))


@cached_njit()
def select_rows(x, mask, other, out):
    """Rows ``[row, dim]`` where the mask, ``other`` elsewhere."""
    for row in range(len(mask)):
        into, one = out[row], x[row]
        if mask[row]:
            for d in range(len(into)):
                into[d] = one[d]
        else:
            into[:] = other


@cached_njit()
def softmax(x, out):
    """Shares of every row ``[row, column]``."""
    for row in range(len(x)):
        most = -np.inf
        for value in x[row]:
            most = max(most, value)
        total_share = 0.0
        for column in range(x.shape[1]):
            share = np.exp(x[row, column] - most)
            total_share += share
            out[row, column] = share
        for column in range(x.shape[1]):
            out[row, column] = out[row, column] / total_share
