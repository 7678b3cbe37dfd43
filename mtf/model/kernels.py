"""Depthwise convolution compiled for CPUs, forward and backward: one pass instead of one a tap."""

from __future__ import annotations

import numpy as np

from mtf.compiled import cached_njit


@cached_njit()
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


@cached_njit()
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
