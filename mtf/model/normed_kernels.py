"""Compiled passes of a stack of separable convolutions whose norms are learning (batch norm).

A norm needs the mean of all that comes before it, so a row can't run through all blocks at once as
in ``separable_kernels``: one pass over the batch ends at each norm, with what the next statistics
need. Between the passes lies what the norms read; a norm is its scale and shift by then, and is
applied where its output is wanted, forward and backward.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numba
import numpy as np

from mtf.compiled import cached_njit
from mtf.model.separable_kernels import SLOTS, clear
from mtf.model.tile_kernels import (
    add_outer,
    add_slots,
    add_taps,
    convolve,
    multiply,
    stay_apart,
)


@numba.njit(nogil=True)
def normed(x, scale, shift, low, high, out):
    """``out[t - low] = relu(x[t] * scale + shift)``."""
    stay_apart()
    zero = x.dtype.type(0)
    for t in range(low, high):
        row, into = x[t], out[t - low]
        for c in range(len(scale)):
            value = row[c] * scale[c] + shift[c]
            into[c] = zero if value < zero else value  # NaN is not below: it stays


@numba.njit(nogil=True)
def moments(x, valid, mean, spread):
    """Mean of the valid slots and the sum of their squared distances from it; how many they are.

    Distances from the first one are added up: near the mean, little of them is lost to rounding.
    """
    stay_apart()
    count, first = 0, 0
    sums = np.zeros((2, len(mean)), x.dtype)
    total, square = sums[0], sums[1]
    for t in range(len(x)):
        if valid[t]:
            if count == 0:
                first = t
            count += 1
            row, near = x[t], x[first]
            for c in range(len(mean)):
                away = row[c] - near[c]
                total[c] += away
                square[c] += away * away
    for c in range(len(mean)):
        away = total[c] / max(count, 1)
        mean[c] = x[first, c] + away
        spread[c] = max(square[c] - away * total[c], 0.0)
    return count


@numba.njit(nogil=True)
def through_norm(grad, x, valid, by, low, high, out):
    """Gradient by what the norm read: ``by`` holds scale, share, slope and mean.

    Every slot of the output moves with its input; through the statistics, those that are valid.
    """
    stay_apart()
    scale, share, slope, mean = by[0], by[1], by[2], by[3]
    for t in range(low, high):
        g, row, into = grad[t], x[t], out[t - low]
        if valid[t]:
            for c in range(len(scale)):
                into[c] = g[c] * scale[c] - share[c] - (row[c] - mean[c]) * slope[c]
        else:
            for c in range(len(scale)):
                into[c] = g[c] * scale[c]


@numba.njit(nogil=True)
def to_norm(grad, z, x, mean, low, high, sums):
    """Let the gradient by what a ReLU said be that by what it read, in place; add up for the norm.

    ``sums`` are those over slots of the gradient, and of its product with the distance of ``x``
    from the mean. ``grad`` and ``z`` begin with slot ``low``.
    """
    stay_apart()
    zero = x.dtype.type(0)
    total, product = sums[0], sums[1]
    for t in range(low, high):
        g, out, row = grad[t - low], z[t - low], x[t]
        for c in range(len(mean)):
            value = g[c]  # read in any case: else the loop has a branch
            value = value if out[c] > zero else zero
            g[c] = value
            total[c] += value
            product[c] += value * (row[c] - mean[c])


@numba.njit(nogil=True)
def take(sums, total, product):
    """Move the sums of a row to where they are kept."""
    stay_apart()
    for c in range(len(total)):
        total[c], product[c] = sums[0, c], sums[1, c]
        sums[0, c] = sums[1, c] = 0


@cached_njit(nogil=True)
def stem(first, last, x, valid, weight, bias, out, count, mean, spread):
    """The stem, up to its norm; moments of each row."""
    channels = x.shape[2]
    for b in range(first, last):
        multiply(x[b], channels, 1, channels, weight, bias, 0, -np.inf, x.shape[1], out[b])
        count[b] = moments(out[b], valid[b], mean[b], spread[b])


@cached_njit(nogil=True)
def skip(first, last, x, valid, norm, skip, out):
    """The norm and ReLU of a pointwise convolution, and the skip of that, added to ``out``.

    ``norm`` is scale and shift; ``skip`` is ``[dim, out]``.
    """
    time, dim = x.shape[1:]
    z = np.empty((time, dim), x.dtype)
    for b in range(first, last):
        normed(x[b], norm[0], norm[1], 0, time, z)
        multiply(z, dim, 1, dim, skip, out[b], out.shape[2], -np.inf, time, out[b])


@cached_njit(nogil=True)
def depthwise(
    first, last, x, valid, norm, skip, out, taps, bias, begin, step, said, count, mean, spread
):
    """As ``skip``, of which there is none without columns; then the depthwise convolution.

    ``count``, ``mean`` and ``spread`` are moments of each row of ``said``.
    """
    time, dim = x.shape[1:]
    z = np.empty((time, dim), x.dtype)
    for b in range(first, last):
        normed(x[b], norm[0], norm[1], 0, time, z)
        if skip.shape[1]:
            multiply(z, dim, 1, dim, skip, out[b], out.shape[2], -np.inf, time, out[b])
        convolve(z, taps, bias, begin, step, 0, time, -np.inf, said[b])
        count[b] = moments(said[b], valid[b], mean[b], spread[b])


@cached_njit(nogil=True)
def pointwise(first, last, x, valid, norm, mix, bias, said, count, mean, spread):
    """The norm and ReLU of a depthwise convolution, then the pointwise one; moments of each row."""
    time, dim = x.shape[1:]
    z = np.empty((SLOTS, dim), x.dtype)
    for b in range(first, last):
        for low in range(0, time, SLOTS):
            high = min(low + SLOTS, time)
            normed(x[b], norm[0], norm[1], low, high, z)
            multiply(z, dim, 1, dim, mix, bias, 0, -np.inf, high - low, said[b, low:high])
        count[b] = moments(said[b], valid[b], mean[b], spread[b])


@cached_njit(nogil=True)
def skip_backward(first, last, g, x, valid, norm, mean, total, product, by_out, skip_out, by_skip):
    """Gradients of ``skip``, up to the output of the norm that it begins with.

    Given:
        g: by the output of the norm of ``x``, ``[batch, time, dim]``.
        mean: of ``x``.
        total, product: of each row, what ``to_norm`` adds up.
        by_out: by the skips' sum.
        skip_out, by_skip: ``[out, dim]``; the gradient is added to.
    """
    time, dim = x.shape[1:]
    z, sums = np.empty((time, dim), x.dtype), np.zeros((2, dim), x.dtype)
    for b in range(first, last):
        normed(x[b], norm[0], norm[1], 0, time, z)
        clear(g[b])
        _add_skip(g[b], z, by_out[b], skip_out, by_skip)
        to_norm(g[b], z, x[b], mean, 0, time, sums)
        take(sums, total[b], product[b])


@cached_njit(nogil=True)
def depthwise_backward(
    first,
    last,
    g,
    x,
    valid,
    norm,
    mean,
    total,
    product,
    by_out,
    skip_out,
    taps,
    begin,
    step,
    said,
    by_norm,
    by_skip,
    by_taps,
):
    """Gradients of ``depthwise``: those of ``skip``, and of the convolution.

    ``g`` comes as the gradient by the output of the norm of ``said``; ``by_norm`` is what
    ``through_norm`` takes for that. ``by_taps`` is ``[1 + tap, dim]``, the bias first.
    """
    time, dim = x.shape[1:]
    zeros, sums = np.zeros(dim, x.dtype), np.zeros((2, dim), x.dtype)
    z, before = np.empty((time, dim), x.dtype), np.empty((time, dim), x.dtype)
    for b in range(first, last):
        normed(x[b], norm[0], norm[1], 0, time, z)
        through_norm(g[b], said[b], valid[b], by_norm, 0, time, before)
        add_slots(before, time, by_taps[:1])
        add_taps(z, before, begin, step, by_taps[1:])
        convolve(before, taps, zeros, -begin, -step, 0, time, -np.inf, g[b])
        _add_skip(g[b], z, by_out[b], skip_out, by_skip)
        to_norm(g[b], z, x[b], mean, 0, time, sums)
        take(sums, total[b], product[b])


@numba.njit(nogil=True)
def _add_skip(g, z, by_out, skip_out, by_skip):
    """Gradients of a skip by what it read, added to ``g``, and by its matrix."""
    stay_apart()
    time, dim = z.shape
    out = skip_out.shape[0]
    if out:
        multiply(by_out, out, 1, out, skip_out, g, dim, -np.inf, time, g)
        add_outer(by_out, z, time, by_skip)


@cached_njit(nogil=True)
def pointwise_backward(
    first, last, g, x, valid, norm, mean, total, product, mix_out, said, by_norm, by_mix
):
    """Gradients of ``pointwise``, up to the norm that it begins with; arguments as above.

    ``mix_out`` is ``[out, in]``, ``by_mix`` the bias and then that.
    """
    time, dim = x.shape[1:]
    zeros, sums = np.zeros(dim, x.dtype), np.zeros((2, dim), x.dtype)
    z, before = np.empty((SLOTS, dim), x.dtype), np.empty((SLOTS, dim), x.dtype)
    for b in range(first, last):
        for low in range(0, time, SLOTS):
            high = min(low + SLOTS, time)
            slots, own = high - low, g[b, low:high]
            through_norm(g[b], said[b], valid[b], by_norm, low, high, before)
            normed(x[b], norm[0], norm[1], low, high, z)
            add_slots(before, slots, by_mix[:1])
            add_outer(before, z, slots, by_mix[1:])
            multiply(before, dim, 1, dim, mix_out, zeros, 0, -np.inf, slots, own)
            to_norm(own, z, x[b], mean, low, high, sums)
        take(sums, total[b], product[b])


@cached_njit(nogil=True)
def stem_backward(first, last, g, x, valid, said, by_norm, by_stem):
    """Gradient by what the stem said, in place of that by its norm.

    ``by_stem`` has the bias first.
    """
    time = x.shape[1]
    for b in range(first, last):
        through_norm(g[b], said[b], valid[b], by_norm, 0, time, g[b])
        add_slots(g[b], time, by_stem[:1])
        add_outer(x[b], g[b], time, by_stem[1:])
