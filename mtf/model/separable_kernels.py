"""Compiled loops of a stack of separable convolutions, one row of the batch after the other.

A row runs through all blocks while it lies in the cache: that is where the arithmetic that
separable convolutions save becomes time. ``[in, out]`` is the layout of all matrices here.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numba
import numpy as np

from mtf.compiled import cached_njit
from mtf.model.tile_kernels import (
    add_outer,
    add_slots,
    add_taps,
    convolve,
    multiply,
    stay_apart,
)

SLOTS = 32
"""Slots whose values lie between a depthwise and a pointwise convolution at once: 8 KB of 64
channels."""


@cached_njit(nogil=True)
def encode(
    first,
    last,
    x,
    stem,
    stem_bias,
    taps,
    taps_bias,
    mix,
    mix_bias,
    skip,
    skip_bias,
    begin,
    step,
    hidden,
    out,
):
    """A stem, blocks of depthwise and pointwise convolution with ReLUs, their skips' projection.

    Given:
        first, last: rows of the batch, from ``first`` to before ``last``.
        x: ``[batch, time, channel]``.
        stem, stem_bias: ``[channel, dim]``; without channels, ``x`` is what the first block reads.
        taps, taps_bias: ``[block, tap, dim]``.
        mix, mix_bias: ``[block, dim, dim]``.
        skip, skip_bias: ``[block, dim, out]``; without columns there are no skips, and ``out`` is
            what the last block says.
        begin, step: where the oldest tap of each block reads, from its slot, and from tap to tap.
        hidden: ``[blocks + 1, batch, time, dim]``, what each block read and the last one said. One
            with fewer layers or rows is written over again and again.
        out: ``[batch, time, out]``.
    """
    blocks, _, dim = taps.shape
    width = skip.shape[2]
    between = np.empty((SLOTS, dim), x.dtype)
    for b in range(first, last):
        row = b % hidden.shape[1]
        z = x[b]
        time, channels = z.shape
        if len(stem):
            z = hidden[0, row]
            multiply(x[b], channels, 1, channels, stem, stem_bias, 0, 0.0, time, z)
        for i in range(blocks):
            said = hidden[(i + 1) % len(hidden), row]
            if width == 0 and i == blocks - 1:
                said = out[b]
            for low in range(0, time, SLOTS):
                high = min(low + SLOTS, time)
                slots, part, sums = high - low, said[low:high], out[b, low:high]
                convolve(z, taps[i], taps_bias[i], begin[i], step[i], low, high, 0.0, between)
                multiply(between, dim, 1, dim, mix[i], mix_bias[i], 0, 0.0, slots, part)
                if width == 0:
                    continue
                if i == 0:
                    multiply(part, dim, 1, dim, skip[i], skip_bias, 0, -np.inf, slots, sums)
                else:
                    multiply(part, dim, 1, dim, skip[i], sums, width, -np.inf, slots, sums)
            z = said


@cached_njit(nogil=True)
def encode_backward(
    first,
    last,
    grad,
    x,
    hidden,
    taps,
    taps_bias,
    mix_out,
    skip_out,
    begin,
    step,
    by_x,
    by_stem,
    by_taps,
    by_mix,
    by_skip,
):
    """Gradients of ``encode``, added to ``by_…``.

    Given:
        first, last: rows of the batch, from ``first`` to before ``last``.
        grad: by ``out``.
        x, hidden, taps, taps_bias, begin, step: as there.
        mix_out, skip_out: the matrices with the output's axis before the input's.
        by_x: by what the stem said before its ReLU, ``[batch, time, dim]``, or without rows where
            it is of no interest.
        by_stem: ``[1 + channel, dim]``, the bias first.
        by_taps: ``[block, 1 + tap, dim]``.
        by_mix: ``[block, 1 + dim, dim]``: the bias, then ``[out, in]``.
        by_skip: ``[block, out, dim]``.
    """
    blocks, _, dim = taps.shape
    time, out = grad.shape[1:]
    zeros = np.zeros(dim, grad.dtype)
    before, g = np.empty((time, dim), grad.dtype), np.empty((time, dim), grad.dtype)
    between = np.empty((SLOTS, dim), grad.dtype)
    for b in range(first, last):
        clear(g)
        for i in range(blocks - 1, -1, -1):
            z, said = hidden[i, b], hidden[i + 1, b]
            add_outer(grad[b], said, time, by_skip[i])
            for low in range(0, time, SLOTS):
                high = min(low + SLOTS, time)
                slots, part = high - low, g[low:high]
                multiply(
                    grad[b, low:high], out, 1, out, skip_out[i], part, dim, -np.inf, slots, part
                )
                mask(part, said[low:high], slots)
                add_slots(part, slots, by_mix[i, :1])
                convolve(z, taps[i], taps_bias[i], begin[i], step[i], low, high, 0.0, between)
                add_outer(part, between, slots, by_mix[i, 1:])
                mixed = before[low:high]
                multiply(part, dim, 1, dim, mix_out[i], zeros, 0, -np.inf, slots, mixed)
                mask(mixed, between, slots)
                add_slots(mixed, slots, by_taps[i, :1])
            add_taps(z, before, begin[i], step[i], by_taps[i, 1:])
            convolve(before, taps[i], zeros, -begin[i], -step[i], 0, time, -np.inf, g)
        mask(g, hidden[0, b], time)
        add_slots(g, time, by_stem[:1])
        add_outer(x[b], g, time, by_stem[1:])
        if b < len(by_x):
            copy(g, by_x[b])


@cached_njit(nogil=True)
def step_once(
    x,
    stem,
    stem_bias,
    taps,
    taps_bias,
    mix,
    mix_bias,
    skip,
    skip_bias,
    reach,
    rings,
    seen,
    rows,
    out,
):
    """``encode`` of one more slot of one history.

    Given:
        x: ``[1, channel]``.
        stem, stem_bias, taps, taps_bias, mix, mix_bias, skip, skip_bias: as of ``encode``.
        reach: slots before its own that each block reads.
        rings: what each block was fed in those, ``[sum of reach, dim]``; slot ``t`` of block ``i``
            lies at ``t % reach[i]`` of its part.
        seen: ``[1]``, how many slots there were.
        rows: ``[2, 1, dim]`` to work in.
        out: ``[1, out]``.
    """
    blocks, number, dim = taps.shape
    z, between, t, zero = rows[0], rows[1], seen[0], x.dtype.type(0)
    multiply(x, 0, 1, x.shape[1], stem, stem_bias, 0, 0.0, 1, z)
    first = 0
    for c in range(out.shape[1]):
        out[0, c] = skip_bias[c]
    for i in range(blocks):
        for c in range(dim):
            between[0, c] = taps_bias[i, c]
        for k in range(number - 1):
            back = reach[i] - k * (reach[i] // (number - 1))
            place = first + (t - back) % reach[i]
            for c in range(dim):
                between[0, c] += taps[i, k, c] * rings[place, c]
        place = first + t % max(reach[i], 1)
        for c in range(dim):
            value = between[0, c] + taps[i, number - 1, c] * z[0, c]
            between[0, c] = zero if value < zero else value
            if reach[i]:
                rings[place, c] = z[0, c]
        first += reach[i]
        multiply(between, 0, 1, dim, mix[i], mix_bias[i], 0, 0.0, 1, z)
        multiply(z, 0, 1, dim, skip[i], out, 0, -np.inf, 1, out)
    seen[0] = t + 1


@numba.njit(nogil=True)
def mask(grad, said, slots):
    """0 where a ReLU said 0."""
    stay_apart()
    zero = grad.dtype.type(0)
    for t in range(slots):
        row, out = grad[t], said[t]
        for c in range(len(row)):
            value = row[c]  # read in any case: else the loop has a branch
            row[c] = value if out[c] > zero else zero


@numba.njit(nogil=True)
def clear(rows):
    """Let all be 0."""
    stay_apart()
    for t in range(rows.shape[0]):
        for c in range(rows.shape[1]):
            rows[t, c] = 0


@numba.njit(nogil=True)
def copy(rows, out):
    """Write the rows into ``out``."""
    stay_apart()
    for t in range(rows.shape[0]):
        for c in range(rows.shape[1]):
            out[t, c] = rows[t, c]
