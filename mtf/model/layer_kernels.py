"""The parts of a transformer layer, compiled, forward and backward: a piece of rows at a time.

Norm, product, GELU, dropout and residual of a piece follow each other while it lies in the cache.
Arrays are flat float32; weights are packed (see ``product_kernels``).
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np

from mtf.model.attention_kernels import attend
from mtf.model.lanes import LANES, compiled
from mtf.model.product_kernels import add_outer, multiply
from mtf.model.row_kernels import (
    drop,
    drop_and_add,
    gelu,
    gelu_backward,
    normalise,
    normalise_again,
    normalise_backward,
    shift_rows,
    sum_rows,
)

real = np.float32
PIECE = 128
"""Rows of a piece: with 256 channels in the middle of a feed-forward, 128 kB of them."""


@compiled
def project(x, rows, norm, eps, packed, bias, out, moments):
    """A linear map of the layer norm (``norm``: gain and shift) of every row."""
    gain, shift = norm
    dim, columns = len(gain), len(bias)
    unit = np.empty(PIECE * dim, real)
    for first in range(0, rows, PIECE):
        count = min(PIECE, rows - first)
        normalise(x, first, count, gain, shift, eps, unit, moments)
        multiply(unit, 0, count, dim, packed, columns, out, first)
        shift_rows(out, first, count, bias)


@compiled
def project_backward(grad, x, rows, norm, packed, moments, found, d_norm, d_weight, d_bias):
    """Gradients of ``project``, added to what stands in their places; ``packed`` the other way."""
    gain, shift = norm
    dim, columns = len(gain), len(d_bias)
    unit = np.empty(PIECE * dim, real)
    for first in range(0, rows, PIECE):
        count = min(PIECE, rows - first)
        normalise_again(x, first, count, gain, shift, moments, unit)
        add_outer(grad, first, columns, unit, 0, dim, count, d_weight)
        sum_rows(grad, first, count, d_bias)
        multiply(grad, first, count, columns, packed, dim, unit, 0)
        normalise_backward(unit, x, first, count, gain, moments, found, *d_norm)


@compiled
def answer(x, read, rows, packed, bias, dropout, out):
    """``x`` plus a linear map of ``read``, after dropout (seed, least, share)."""
    dim, depth = len(bias), len(read) // rows
    update = np.empty(PIECE * dim, real)
    for first in range(0, rows, PIECE):
        count = min(PIECE, rows - first)
        multiply(read, first, count, depth, packed, dim, update, 0)
        drop_and_add(x, first, count, update, bias, *dropout, out)


@compiled
def answer_backward(grad, read, rows, packed, dropout, found, d_weight, d_bias):
    """Gradients of ``answer`` by ``read`` and the linear map; that by ``x`` is ``grad``."""
    dim, depth = len(d_bias), len(read) // rows
    own = np.empty(PIECE * dim, real)
    for first in range(0, rows, PIECE):
        count = min(PIECE, rows - first)
        drop(grad, first, count, *dropout, own, d_bias)
        add_outer(own, 0, dim, read, first, depth, count, d_weight)
        multiply(own, 0, count, dim, packed, depth, found, first)


@compiled
def feed_forward(x, rows, norm, eps, widen, b_widen, narrow, b_narrow, dropout, out, kept):
    """``x`` plus two linear maps with GELU between of its layer norm, after dropout.

    ``kept``: moments, and what comes before the GELU, its bias left out; where that is empty, it is
    not kept.
    """
    (gain, shift), (moments, hidden) = norm, kept
    dim, wide = len(gain), len(b_widen)
    unit, bent = np.empty(PIECE * dim, real), np.empty(PIECE * wide, real)
    for first in range(0, rows, PIECE):
        count = min(PIECE, rows - first)
        normalise(x, first, count, gain, shift, eps, unit, moments)
        if len(hidden):
            multiply(unit, 0, count, dim, widen, wide, hidden, first)
            gelu(hidden, first, count, b_widen, bent)
        else:
            multiply(unit, 0, count, dim, widen, wide, bent, 0)
            gelu(bent, 0, count, b_widen, bent)
        multiply(bent, 0, count, wide, narrow, dim, unit, 0)
        drop_and_add(x, first, count, unit, b_narrow, *dropout, out)


@compiled
def feed_forward_backward(
    grad, x, rows, norm, widen, b_widen, narrow, dropout, kept, found, d_norm, d_widen, d_narrow
):
    """Gradients of ``feed_forward``, added to what stands in their places.

    ``widen`` and ``narrow`` are packed the other way; ``d_widen`` and ``d_narrow``: of weight and
    bias.
    """
    (gain, shift), (moments, hidden) = norm, kept
    dim, wide = len(gain), len(b_widen)
    unit, own = np.empty(PIECE * dim, real), np.empty(PIECE * dim, real)
    bent, middle = np.empty(PIECE * wide, real), np.empty(PIECE * wide, real)
    for first in range(0, rows, PIECE):
        count = min(PIECE, rows - first)
        drop(grad, first, count, *dropout, own, d_narrow[1])
        multiply(own, 0, count, dim, narrow, wide, middle, 0)
        gelu_backward(hidden, first, count, b_widen, middle, bent, d_widen[1])
        add_outer(own, 0, dim, bent, 0, wide, count, d_narrow[0])
        normalise_again(x, first, count, gain, shift, moments, unit)
        add_outer(middle, 0, wide, unit, 0, dim, count, d_widen[0])
        multiply(middle, 0, count, wide, widen, dim, unit, 0)
        normalise_backward(unit, x, first, count, gain, moments, found, *d_norm)


@compiled
def read_themselves(x, mask, heads, norm, eps, packed, bias, packed_out, bias_out, out):
    """``x`` plus what every token reads of all, a decision at a time; nothing is kept or dropped.

    ``packed`` and ``bias`` project to queries, keys and values.
    """
    (batch, tokens), dim = mask.shape, len(bias_out)
    unit, both = np.empty(tokens * dim, real), np.empty(tokens * 3 * dim, real)
    read, moments = np.empty(tokens * dim, real), np.empty(2 * batch * tokens, real)
    levels = np.empty((1, heads, 2, -(-tokens // LANES) * LANES), real)
    shape, steps, places = (tokens, heads, dim // heads), (3 * dim, 3 * dim), (0, dim, 2 * dim)
    for b in range(batch):
        first = b * tokens
        normalise(x, first, tokens, *norm, eps, unit, moments)
        multiply(unit, 0, tokens, dim, packed, 3 * dim, both, 0)
        shift_rows(both, 0, tokens, bias)
        attend(both, both, mask[b : b + 1], shape, steps, places, read, levels)
        multiply(read, 0, tokens, dim, packed_out, dim, unit, 0)
        drop_and_add(x, first, tokens, unit, bias_out, 0, 0, 1.0, out)


@compiled
def read_source(x, source, mask, heads, norms, eps, packed, biases, packed_out, bias_out, out):
    """``x`` plus what its tokens read of ``source``, as ``read_themselves``.

    Two of norms, packed weights and biases: of the queries, and of keys and values.
    """
    (batch, tokens), dim = mask.shape, len(bias_out)
    asking = len(x) // (batch * dim)
    unit, query = np.empty(asking * dim, real), np.empty(asking * dim, real)
    shown, both = np.empty(tokens * dim, real), np.empty(tokens * 2 * dim, real)
    read, moments = np.empty(asking * dim, real), np.empty(2 * batch * max(tokens, asking), real)
    levels = np.empty((1, heads, 2, -(-asking // LANES) * LANES), real)
    shape, steps, places = (asking, heads, dim // heads), (dim, 2 * dim), (0, 0, dim)
    for b in range(batch):
        normalise(source, b * tokens, tokens, *norms[1], eps[1], shown, moments)
        multiply(shown, 0, tokens, dim, packed[1], 2 * dim, both, 0)
        shift_rows(both, 0, tokens, biases[1])
        normalise(x, b * asking, asking, *norms[0], eps[0], unit, moments)
        multiply(unit, 0, asking, dim, packed[0], dim, query, 0)
        shift_rows(query, 0, asking, biases[0])
        attend(query, both, mask[b : b + 1], shape, steps, places, read, levels)
        multiply(read, 0, asking, dim, packed_out, dim, unit, 0)
        drop_and_add(x, b * asking, asking, unit, bias_out, 0, 0, 1.0, out)
