"""Compiled loops of the model on CPU, forward and backward.

Means over spans by running sums: a running sum lives for one block and stays in the cache, where
torch would write all of them to memory. Depthwise convolution: one pass instead of one a tap.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def span_means(encoded, valid, order, offsets, start, stop, count, out):
    """Means of valid slots ``start … stop - 1`` of each decision's block into ``out``.

    ``order[offsets[b] : offsets[b + 1]]`` are the decisions of block ``b``; ``count`` [decision,
    token] is the number of valid slots of each span.
    """
    blocks, time, dim = encoded.shape
    running = np.zeros((time + 1, dim))
    for block in range(blocks):
        for slot in range(time):
            before, after = running[slot], running[slot + 1]
            if valid[block, slot]:
                row = encoded[block, slot]
                for i in range(dim):
                    after[i] = before[i] + row[i]
            else:
                for i in range(dim):
                    after[i] = before[i]
        for decision in order[offsets[block] : offsets[block + 1]]:
            for token in range(start.shape[1]):
                share = 1.0 / max(count[decision, token], 1)
                low, high = running[start[decision, token]], running[stop[decision, token]]
                row = out[decision, token]
                for i in range(dim):
                    row[i] = (high[i] - low[i]) * share


@numba.njit(cache=True)
def span_means_backward(grad, valid, order, offsets, start, stop, count, out):
    """Gradient of ``span_means`` by ``encoded`` into ``out``: one running sum of what changes.

    Where no span lies the sum is 0, not what rounding leaves of it: no gradient, however small, may
    reach a slot that a decision does not see.
    """
    blocks, time, dim = out.shape
    change = np.empty((time + 1, dim))
    opened = np.empty(time + 1, np.int64)
    total = np.empty(dim)
    for block in range(blocks):
        change[:] = 0.0
        opened[:] = 0
        total[:] = 0.0
        spans = 0
        for decision in order[offsets[block] : offsets[block + 1]]:
            for token in range(start.shape[1]):
                share = 1.0 / max(count[decision, token], 1)
                low, high = change[start[decision, token]], change[stop[decision, token]]
                row = grad[decision, token]
                if not row.any():
                    continue
                opened[start[decision, token]] += 1
                opened[stop[decision, token]] -= 1
                for i in range(dim):
                    low[i] += row[i] * share
                    high[i] -= row[i] * share
        for slot in range(time):
            row, step = out[block, slot], change[slot]
            spans += opened[slot]
            for i in range(dim):
                total[i] = total[i] + step[i] if spans else 0.0
            if valid[block, slot]:
                for i in range(dim):
                    row[i] = total[i]
            else:
                for i in range(dim):
                    row[i] = 0.0


@numba.njit(cache=True)
def depthwise(x, weight, bias, shifts, out):
    """``out[t] = bias + sum_k weight[k] * x[t - shifts[k]]``, 0 outside."""
    batch, time, dim = x.shape
    for b in range(batch):
        for t in range(time):
            y = out[b, t]
            for i in range(dim):
                y[i] = bias[i]
            for k in range(len(shifts)):
                s = t - shifts[k]
                if 0 <= s < time:
                    row, tap = x[b, s], weight[k]
                    for i in range(dim):
                        y[i] += tap[i] * row[i]


@numba.njit(cache=True)
def depthwise_backward(grad, x, weight, shifts, dx, dw, db):
    """Gradients of ``depthwise`` into ``dx``, ``dw`` and ``db``, in one pass.

    The sums over slots are taken row by row of the batch, so that float32 does not lose them.
    """
    batch, time, dim = x.shape
    taps = len(shifts)
    sums = np.empty((taps + 1, dim), grad.dtype)
    for b in range(batch):
        sums[:] = 0
        for s in range(time):
            d, row = dx[b, s], x[b, s]
            for i in range(dim):
                d[i] = 0
            for k in range(taps):
                t = s + shifts[k]
                if 0 <= t < time:
                    g, tap, total = grad[b, t], weight[k], sums[k]
                    for i in range(dim):
                        d[i] += tap[i] * g[i]
                        total[i] += row[i] * g[i]
            g, total = grad[b, s], sums[taps]
            for i in range(dim):
                total[i] += g[i]
        for i in range(dim):
            db[i] += sums[taps, i]
        for k in range(taps):
            for i in range(dim):
                dw[k, i] += sums[k, i]
