"""Laying out blocks and copying them out of a history, as numba kernels."""

# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np

from mtf.compiled import cached_njit


@cached_njit()
def gather_blocks(features, valid, start, length):
    """Rows ``start[b] … start[b] + length - 1`` of each block; 0 and invalid outside the history.

    Args:
        features: float32 [slot, channel], 0 where not valid.
        valid: bool [slot].
        start: int64 [block]; may be negative or beyond the end.
        length: slots of every block.

    Returns:
        float32 [block, length, channel] and bool [block, length].
    """
    blocks, channels, slots = len(start), features.shape[1], features.shape[0]
    values = np.zeros((blocks, length, channels), np.float32)
    usable = np.zeros((blocks, length), np.bool_)
    for block in range(blocks):
        begin = max(0, -start[block])
        end = min(length, slots - start[block])
        if begin < end:
            rows = slice(start[block] + begin, start[block] + end)
            values[block, begin:end] = features[rows]
            usable[block, begin:end] = valid[rows]
    return values, usable


@cached_njit()
def cover(wanted, width):
    """The fewest intervals, each up to ``width`` + 1 slots, that cover sorted slots.

    Args:
        wanted: int64 [slot], ascending.
        width: at least 0.

    Returns:
        Index in ``wanted`` of the first and of the last slot of each interval.
    """
    first, last = np.empty(len(wanted), np.int64), np.empty(len(wanted), np.int64)
    count = 0
    for index in range(len(wanted)):
        if index == 0 or wanted[index] > wanted[first[count - 1]] + width:
            first[count] = index
            count += 1
        last[count - 1] = index
    return first[:count], last[:count]
