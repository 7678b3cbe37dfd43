"""Products of matrices with few columns, compiled: eight rows by thirty-two columns in registers.

At 64 channels this is faster than a general library, which is made for large matrices, and it can
be called from other kernels, on what still lies in the cache. Arrays are flat float32; columns and,
where a matrix is packed, its rows come in sixteens.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np

from mtf.model.lanes import LANES, add, compiled, fma, load, spread, spread_at, store, turn

real = np.float32
PANEL = 2 * LANES


@compiled
def pack(weight, rows, columns, into):
    """A matrix [row, column] in panels of thirty-two columns, the last one perhaps of sixteen."""
    for first in range(0, columns, PANEL):
        width = min(PANEL, columns - first)
        for row in range(rows):
            for c in range(0, width, LANES):
                value = load(weight, row * columns + first + c)
                store(into, first * rows + row * width + c, value)


@compiled
def pack_turned(weight, columns, rows, into):
    """The same of the matrix that ``weight`` [column, row] turned over is."""
    tile = np.empty(LANES * LANES, real)
    for column in range(0, columns, LANES):
        first = column // PANEL * PANEL
        width = min(PANEL, columns - first)
        for row in range(0, rows, LANES):
            turn(weight, column * rows + row, rows, LANES - 1, tile, 0)
            for k in range(LANES):
                to = first * rows + (row + k) * width + column - first
                store(into, to, load(tile, k * LANES))


@compiled
def multiply(x, first, rows, depth, packed, columns, out, out_first):
    """Rows of ``x`` [row, depth] from ``first`` on times a packed matrix into ``out``'s rows."""
    for column in range(0, columns, PANEL):
        width = min(PANEL, columns - column)
        given = x, first * depth, depth, 1, rows, depth
        into = out, out_first * columns + column, columns, False
        panel(*given, packed, column * depth, width, width, *into)


@compiled
def add_outer(x, x_first, left, y, y_first, right, rows, out):
    """Add ``x`` [row, left] turned over times ``y`` [row, right] to ``out`` [left, right].

    Both from their first rows on. ``left`` comes in eights.
    """
    for column in range(0, right, PANEL):
        width = min(PANEL, right - column)
        given = x, x_first * left, 1, left, left, rows
        panel(*given, y, y_first * right + column, right, width, out, column, right, True)


@compiled
def panel(x, begin, row_step, step, rows, depth, w, w_at, w_step, width, out, to, out_step, adding):
    """A product's columns, 32 or 16 of them, eight rows at a time.

    Row r of x begins at ``begin + r * row_step`` and goes on by ``step``; where fewer than eight
    are left, the last one is done over again. ``adding``: to what stands in ``out``; full eights.
    """
    wide = width == PANEL
    for row in range(0, rows, 8):
        last = rows - 1 - row
        r1, r2, r3, r4 = min(1, last), min(2, last), min(3, last), min(4, last)
        r5, r6, r7 = min(5, last), min(6, last), min(7, last)
        x0 = begin + row * row_step
        x1 = x0 + r1 * row_step
        x2 = x0 + r2 * row_step
        x3 = x0 + r3 * row_step
        x4 = x0 + r4 * row_step
        x5 = x0 + r5 * row_step
        x6 = x0 + r6 * row_step
        x7 = x0 + r7 * row_step
        a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = spread(real(0))
        b0 = b1 = b2 = b3 = b4 = b5 = b6 = b7 = spread(real(0))
        if wide:
            for k in range(depth):
                u, v = load(w, w_at + k * w_step), load(w, w_at + k * w_step + LANES)
                i = k * step
                p = spread_at(x, x0 + i)
                a0, b0 = fma(p, u, a0), fma(p, v, b0)
                p = spread_at(x, x1 + i)
                a1, b1 = fma(p, u, a1), fma(p, v, b1)
                p = spread_at(x, x2 + i)
                a2, b2 = fma(p, u, a2), fma(p, v, b2)
                p = spread_at(x, x3 + i)
                a3, b3 = fma(p, u, a3), fma(p, v, b3)
                p = spread_at(x, x4 + i)
                a4, b4 = fma(p, u, a4), fma(p, v, b4)
                p = spread_at(x, x5 + i)
                a5, b5 = fma(p, u, a5), fma(p, v, b5)
                p = spread_at(x, x6 + i)
                a6, b6 = fma(p, u, a6), fma(p, v, b6)
                p = spread_at(x, x7 + i)
                a7, b7 = fma(p, u, a7), fma(p, v, b7)
        else:
            for k in range(depth):
                u, i = load(w, w_at + k * w_step), k * step
                a0 = fma(spread_at(x, x0 + i), u, a0)
                a1 = fma(spread_at(x, x1 + i), u, a1)
                a2 = fma(spread_at(x, x2 + i), u, a2)
                a3 = fma(spread_at(x, x3 + i), u, a3)
                a4 = fma(spread_at(x, x4 + i), u, a4)
                a5 = fma(spread_at(x, x5 + i), u, a5)
                a6 = fma(spread_at(x, x6 + i), u, a6)
                a7 = fma(spread_at(x, x7 + i), u, a7)
        o = to + row * out_step
        put(a0, b0, wide, out, o, adding)
        put(a1, b1, wide, out, o + r1 * out_step, adding)
        put(a2, b2, wide, out, o + r2 * out_step, adding)
        put(a3, b3, wide, out, o + r3 * out_step, adding)
        put(a4, b4, wide, out, o + r4 * out_step, adding)
        put(a5, b5, wide, out, o + r5 * out_step, adding)
        put(a6, b6, wide, out, o + r6 * out_step, adding)
        put(a7, b7, wide, out, o + r7 * out_step, adding)


@compiled
def put(a, b, wide, out, to, adding):
    """Write one row of a tile, or add it to what is there."""
    if adding:
        a = add(a, load(out, to))
    store(out, to, a)
    if wide:
        if adding:
            b = add(b, load(out, to + LANES))
        store(out, to + LANES, b)
