"""What stands between the matrix products of a transformer layer, compiled, forward and backward.

Norms, GELU and dropout of rows ``[row, dim]``: each one pass over memory, where torch takes one an
operation. The number of channels is a multiple of sixteen; arrays are flat float32. A piece is
``rows`` rows from ``first`` on; what is of a piece alone begins with it.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math

import numpy as np

from mtf.model.lanes import (
    LANES,
    add,
    compiled,
    div,
    exp2,
    fma,
    kept,
    load,
    magnitude,
    mul,
    spread,
    store,
    sub,
    total,
    where_positive,
)

real = np.float32
ERF_SLOPE = 0.3275911 / math.sqrt(2)
ERF = tuple(c / 2 for c in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592))
"""Abramowitz and Stegun (1964), 7.1.26: the error function to 1.5e-7; of the normal law here."""
HALF_LOG2_E = 0.5 / math.log(2)
PEAK = 1 / math.sqrt(2 * math.pi)


@compiled
def normal_law(x):
    """The normal distribution function at ``x``, and exp(-x² / 2)."""
    away = magnitude(x)
    bell = exp2(mul(mul(x, x), spread(real(-HALF_LOG2_E))))
    t = div(spread(real(1)), fma(away, spread(real(ERF_SLOPE)), spread(real(1))))
    tail = spread(real(ERF[0]))
    tail = fma(tail, t, spread(real(ERF[1])))
    tail = fma(tail, t, spread(real(ERF[2])))
    tail = fma(tail, t, spread(real(ERF[3])))
    tail = fma(tail, t, spread(real(ERF[4])))
    tail = mul(mul(tail, t), bell)
    return where_positive(x, sub(spread(real(1)), tail), tail), bell


@compiled
def gelu(x, first, rows, bias, out):
    """GELU of ``x + bias``: the value times the normal distribution function there."""
    dim = len(bias)
    for at in range(0, rows * dim, dim):
        for d in range(0, dim, LANES):
            value = add(load(x, first * dim + at + d), load(bias, d))
            share, _ = normal_law(value)
            store(out, at + d, mul(value, share))


@compiled
def gelu_backward(x, first, rows, bias, grad, out, d_bias):
    """Turn ``grad`` into the gradient by ``x``, added up in ``d_bias``; ``out`` as of ``gelu``."""
    dim = len(bias)
    for at in range(0, rows * dim, dim):
        for d in range(0, dim, LANES):
            value = add(load(x, first * dim + at + d), load(bias, d))
            share, bell = normal_law(value)
            slope = fma(mul(value, bell), spread(real(PEAK)), share)
            change = mul(load(grad, at + d), slope)
            store(out, at + d, mul(value, share))
            store(grad, at + d, change)
            store(d_bias, d, add(load(d_bias, d), change))


@compiled
def normalise(x, first, rows, weight, bias, eps, out, moments):
    """Layer norm of rows; ``moments`` takes each one's mean, and what it is multiplied by then."""
    dim = len(weight)
    for row in range(rows):
        begin, sums = (first + row) * dim, spread(real(0))
        for d in range(0, dim, LANES):
            sums = add(sums, load(x, begin + d))
        mean = total(sums) / real(dim)
        sums = spread(real(0))
        for d in range(0, dim, LANES):
            away = sub(load(x, begin + d), spread(mean))
            sums = fma(away, away, sums)
        scale = real(1) / np.sqrt(total(sums) / real(dim) + real(eps))
        moments[2 * (first + row)], moments[2 * (first + row) + 1] = mean, scale
        for d in range(0, dim, LANES):
            unit = mul(sub(load(x, begin + d), spread(mean)), spread(scale))
            store(out, row * dim + d, fma(unit, load(weight, d), load(bias, d)))


@compiled
def normalise_again(x, first, rows, weight, bias, moments, out):
    """``normalise`` where the moments are known."""
    dim = len(weight)
    for row in range(first, first + rows):
        begin, mean, scale = row * dim, spread(moments[2 * row]), spread(moments[2 * row + 1])
        for d in range(0, dim, LANES):
            unit = mul(sub(load(x, begin + d), mean), scale)
            store(out, begin - first * dim + d, fma(unit, load(weight, d), load(bias, d)))


@compiled
def normalise_backward(grad, x, first, rows, weight, moments, out, d_weight, d_bias):
    """Add the gradient by ``x`` to ``out``, and those by weight and bias to theirs.

    ``grad`` is that of the piece alone; ``out`` lies like ``x``.
    """
    dim = len(weight)
    for row in range(first, first + rows):
        begin, mean, scale = row * dim, spread(moments[2 * row]), spread(moments[2 * row + 1])
        own_begin = begin - first * dim
        sums = along = spread(real(0))
        for d in range(0, dim, LANES):
            own = load(grad, own_begin + d)
            unit = mul(sub(load(x, begin + d), mean), scale)
            store(d_weight, d, fma(own, unit, load(d_weight, d)))
            store(d_bias, d, add(own, load(d_bias, d)))
            own = mul(own, load(weight, d))
            sums, along = add(sums, own), fma(own, unit, along)
        level, tilt = spread(total(sums) / real(dim)), spread(total(along) / real(-dim))
        for d in range(0, dim, LANES):
            unit = mul(sub(load(x, begin + d), mean), scale)
            own = fma(unit, tilt, mul(load(grad, own_begin + d), load(weight, d)))
            store(out, begin + d, fma(sub(own, level), scale, load(out, begin + d)))


@compiled
def drop_and_add(x, first, rows, update, bias, seed, least, share, out):
    """``x`` plus ``update + bias`` after dropout; ``update`` is that of the piece alone."""
    a, b = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)
    dim = len(bias)
    for at in range(0, rows * dim, dim):
        for d in range(0, dim, LANES):
            place, change = first * dim + at + d, add(load(update, at + d), load(bias, d))
            if least:
                stays = kept(a, b, np.uint32(place), np.uint32(least), real(share))
                store(out, place, fma(change, stays, load(x, place)))
            else:
                store(out, place, add(change, load(x, place)))


@compiled
def drop(grad, first, rows, seed, least, share, out, d_bias):
    """The gradient by ``update`` of ``drop_and_add``, added up in ``d_bias``."""
    a, b = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)
    dim = len(d_bias)
    for at in range(0, rows * dim, dim):
        for d in range(0, dim, LANES):
            place = first * dim + at + d
            stays = kept(a, b, np.uint32(place), np.uint32(least), real(share))
            change = mul(load(grad, place), stays)
            store(out, at + d, change)
            store(d_bias, d, add(load(d_bias, d), change))


@compiled
def shift_rows(x, first, rows, bias):
    """Add ``bias`` to rows."""
    dim = len(bias)
    for at in range(first * dim, (first + rows) * dim, dim):
        for d in range(0, dim, LANES):
            store(x, at + d, add(load(x, at + d), load(bias, d)))


@compiled
def sum_rows(x, first, rows, sums):
    """Add rows to ``sums``."""
    dim = len(sums)
    for at in range(first * dim, (first + rows) * dim, dim):
        for d in range(0, dim, LANES):
            store(sums, d, add(load(x, at + d), load(sums, d)))
