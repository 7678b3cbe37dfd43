"""Attention compiled for few tokens and small heads, forward and backward.

torch's own kernel is made for long sequences: at some fifty tokens and heads of sixteen channels it
spends most of its time on what surrounds its matrix products. Here sixteen queries stand side by
side in a register, so that scores, softmax and what is read need no sums across it; keys behind the
mask are left out of the work.

Arrays are flat: row ``i`` of decision ``b`` begins at ``(b * rows + i) * stride + at``.
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
    load,
    maximum,
    mul,
    spread,
    spread_at,
    store,
    sub,
    turn,
)

real = np.float32
LOG2_E = 1 / math.log(2)
GROUP = 8
"""Keys, or channels, that are worked on at once: enough to keep the processor's adders busy."""


@compiled
def present_rows(mask, decision, step, rows):
    """Where a decision's keys begin into ``rows``, filled up with the first; how many there are."""
    count, keys = 0, mask.shape[1]
    for key in range(keys):
        if mask[decision, key]:
            rows[count] = (decision * keys + key) * step
            count += 1
    for place in range(count, len(rows)):
        rows[place] = rows[0]
    return count


@compiled
def score(asked, first, source, rows, j, at, width, into, to):
    """Scores of the keys ``rows[j : j + 8]``, key by key; returns the greatest of each query."""
    p0, p1, p2, p3 = rows[j] + at, rows[j + 1] + at, rows[j + 2] + at, rows[j + 3] + at
    p4, p5, p6, p7 = rows[j + 4] + at, rows[j + 5] + at, rows[j + 6] + at, rows[j + 7] + at
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = spread(real(0))
    for d in range(width):
        query = load(asked, first + d * LANES)
        s0 = fma(spread_at(source, p0 + d), query, s0)
        s1 = fma(spread_at(source, p1 + d), query, s1)
        s2 = fma(spread_at(source, p2 + d), query, s2)
        s3 = fma(spread_at(source, p3 + d), query, s3)
        s4 = fma(spread_at(source, p4 + d), query, s4)
        s5 = fma(spread_at(source, p5 + d), query, s5)
        s6 = fma(spread_at(source, p6 + d), query, s6)
        s7 = fma(spread_at(source, p7 + d), query, s7)
    store(into, to + 0 * LANES, s0)
    store(into, to + 1 * LANES, s1)
    store(into, to + 2 * LANES, s2)
    store(into, to + 3 * LANES, s3)
    store(into, to + 4 * LANES, s4)
    store(into, to + 5 * LANES, s5)
    store(into, to + 6 * LANES, s6)
    store(into, to + 7 * LANES, s7)
    low = maximum(maximum(s0, s1), maximum(s2, s3))
    return maximum(low, maximum(maximum(s4, s5), maximum(s6, s7)))


@compiled
def gather(weights, first, source, rows, count, at, into, to):
    """Eight channels of the sum of ``count`` keys' rows by weight, for sixteen queries."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = spread(real(0))
    for j in range(count):
        weight, p = load(weights, first + j * LANES), rows[j] + at
        s0 = fma(spread_at(source, p + 0), weight, s0)
        s1 = fma(spread_at(source, p + 1), weight, s1)
        s2 = fma(spread_at(source, p + 2), weight, s2)
        s3 = fma(spread_at(source, p + 3), weight, s3)
        s4 = fma(spread_at(source, p + 4), weight, s4)
        s5 = fma(spread_at(source, p + 5), weight, s5)
        s6 = fma(spread_at(source, p + 6), weight, s6)
        s7 = fma(spread_at(source, p + 7), weight, s7)
    store(into, to + 0 * LANES, s0)
    store(into, to + 1 * LANES, s1)
    store(into, to + 2 * LANES, s2)
    store(into, to + 3 * LANES, s3)
    store(into, to + 4 * LANES, s4)
    store(into, to + 5 * LANES, s5)
    store(into, to + 6 * LANES, s6)
    store(into, to + 7 * LANES, s7)


@compiled
def scatter(weights, first, block, source, begin, step, queries, into):
    """Sixteen channels of the sum of all queries' rows by weight, for each of eight keys.

    The weight of query ``i`` for the first key is at ``first + i // 16 * block + i % 16``.
    """
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = spread(real(0))
    for i in range(queries):
        row, w = load(source, begin + i * step), first + (i // LANES) * block + i % LANES
        s0 = fma(spread_at(weights, w + 0 * LANES), row, s0)
        s1 = fma(spread_at(weights, w + 1 * LANES), row, s1)
        s2 = fma(spread_at(weights, w + 2 * LANES), row, s2)
        s3 = fma(spread_at(weights, w + 3 * LANES), row, s3)
        s4 = fma(spread_at(weights, w + 4 * LANES), row, s4)
        s5 = fma(spread_at(weights, w + 5 * LANES), row, s5)
        s6 = fma(spread_at(weights, w + 6 * LANES), row, s6)
        s7 = fma(spread_at(weights, w + 7 * LANES), row, s7)
    store(into, 0 + 0 * LANES, s0)
    store(into, 0 + 1 * LANES, s1)
    store(into, 0 + 2 * LANES, s2)
    store(into, 0 + 3 * LANES, s3)
    store(into, 0 + 4 * LANES, s4)
    store(into, 0 + 5 * LANES, s5)
    store(into, 0 + 6 * LANES, s6)
    store(into, 0 + 7 * LANES, s7)


@compiled
def turn_queries(source, begin, step, queries, width, scale, into):
    """Rows of one head as columns, sixteen queries side by side: by block, then by channel.

    The last block is filled up with the last query.
    """
    for first in range(0, queries, LANES):
        for d in range(0, width, LANES):
            at, to = begin + first * step + d, first * width + d * LANES
            turn(source, at, step, queries - 1 - first, into, to)
    for at in range(0, len(into), LANES):
        store(into, at, mul(load(into, at), spread(scale)))


@compiled
def turn_back(columns, queries, width, step, rows, into, to):
    """Columns of sixteen queries as the rows of one head in ``into``, those that there are."""
    for d in range(0, width, LANES):
        turn(columns, d * LANES, LANES, LANES - 1, rows, 0)
        for i in range(min(queries, LANES)):
            store(into, to + i * step + d, load(rows, i * LANES))


@compiled
def attend(query, source, mask, shape, steps, places, out, kept):
    """What every query reads into ``out`` [batch, query, head * width].

    Args:
        query: flat; queries stand ``steps[0]`` apart, at ``places[0]``.
        source: flat; keys stand ``steps[1]`` apart, at ``places[1]``, and values at ``places[2]``.
        mask: [batch, key].
        shape: queries, heads, width; the width is a multiple of 16.
        steps: see above.
        places: see above.
        out: flat.
        kept: [batch, head, 2, queries, filled up to 16s]: greatest score and what a weight is
            divided by.
    """
    batch, keys = mask.shape
    queries, heads, width = shape
    padded, dim = -(-queries // LANES) * LANES, heads * width
    full = -(-keys // GROUP) * GROUP
    asked, weights = np.empty(padded * width, real), np.empty(full * LANES, real)
    read, rows = np.empty(LANES * width, real), np.empty(full, np.int64)
    tile = np.empty(LANES * LANES, real)
    scale = real(LOG2_E / math.sqrt(width))
    for b in range(batch):
        count = present_rows(mask, b, steps[1], rows)
        for head in range(heads):
            at, level = head * width, kept[b, head]
            begin = b * queries * steps[0] + places[0] + at
            turn_queries(query, begin, steps[0], queries, width, scale, asked)
            for first in range(0, queries, LANES):
                most, total = spread(real(-np.inf)), spread(real(0))
                for j in range(0, count, GROUP):
                    own = asked, first * width, source, rows, j, places[1] + at, width
                    most = maximum(most, score(*own, weights, j * LANES))
                for j in range(count):
                    weight = exp2(sub(load(weights, j * LANES), most))
                    total = add(total, weight)
                    store(weights, j * LANES, weight)
                share = div(spread(real(1 if count else 0)), maximum(total, spread(real(1e-30))))
                store(level[0], first, most)
                store(level[1], first, share)
                for d in range(0, width, GROUP):
                    at_d = places[2] + at + d
                    gather(weights, 0, source, rows, count, at_d, read, d * LANES)
                for d in range(width):
                    store(read, d * LANES, mul(load(read, d * LANES), share))
                to = (b * queries + first) * dim + at
                turn_back(read, queries - first, width, dim, tile, out, to)


@compiled
def attend_backward(grad, query, source, mask, shape, steps, places, out, kept, d_query, d_source):
    """Gradients of ``attend`` into ``d_query`` and ``d_source``, which lie like what they are of.

    Those of keys and values behind the mask are 0. Where ``query`` and ``source`` are one, so may
    be their gradients.
    """
    batch, keys = mask.shape
    queries, heads, width = shape
    padded, dim = -(-queries // LANES) * LANES, heads * width
    full = -(-keys // GROUP) * GROUP
    asked, wanted = np.empty(padded * width, real), np.empty(padded * width, real)
    block = full * LANES
    weights, changes = np.empty(padded * full, real), np.empty(padded * full, real)
    read, rows = np.empty(LANES * width, real), np.empty(full, np.int64)
    tile = np.empty(LANES * LANES, real)
    sums, inner = np.empty(GROUP * LANES, real), np.empty(padded * width, real)
    scale, natural = real(LOG2_E / math.sqrt(width)), real(1 / math.sqrt(width))
    for b in range(batch):
        count = present_rows(mask, b, steps[1], rows)
        for j in range(keys):
            if not mask[b, j]:
                row = (b * keys + j) * steps[1]
                d_source[row + places[1] : row + places[1] + dim] = 0
                d_source[row + places[2] : row + places[2] + dim] = 0
        for head in range(heads):
            at, level = head * width, kept[b, head]
            begin, answer = b * queries * steps[0] + places[0] + at, b * queries * dim + at
            turn_queries(query, begin, steps[0], queries, width, scale, asked)
            turn_queries(grad, answer, dim, queries, width, real(1), wanted)
            turn_queries(out, answer, dim, queries, width, real(1), inner)
            for first in range(0, queries, LANES):
                most, share = load(level[0], first), load(level[1], first)
                mine = first * full
                for j in range(0, count, GROUP):
                    own, to = (first * width, source, rows, j), mine + j * LANES
                    score(asked, *own, places[1] + at, width, weights, to)
                    score(wanted, *own, places[2] + at, width, changes, to)
                taken = spread(real(0))
                for d in range(width):
                    at_d = (first * width) + d * LANES
                    taken = fma(load(inner, at_d), load(wanted, at_d), taken)
                for j in range(count):
                    to = mine + j * LANES
                    weight = mul(exp2(sub(load(weights, to), most)), share)
                    change = mul(weight, sub(load(changes, to), taken))
                    store(weights, to, weight)
                    store(changes, to, mul(change, spread(natural)))
                for d in range(0, width, GROUP):
                    at_d = places[1] + at + d
                    gather(changes, mine, source, rows, count, at_d, read, d * LANES)
                to = begin + first * steps[0]
                turn_back(read, queries - first, width, steps[0], tile, d_query, to)
            for d in range(0, width, LANES):
                for j in range(0, count, GROUP):
                    known = min(GROUP, count - j)
                    shown = grad, answer + d, dim, queries, sums
                    scatter(weights, j * LANES, block, *shown)
                    for k in range(known):
                        store(d_source, rows[j + k] + places[2] + at + d, load(sums, k * LANES))
                    shown = query, begin + d, steps[0], queries, sums
                    scatter(changes, j * LANES, block, *shown)
                    for k in range(known):
                        store(d_source, rows[j + k] + places[1] + at + d, load(sums, k * LANES))
