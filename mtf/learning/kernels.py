"""Copying blocks of features out of a history, as a numba kernel."""

# mypy: allow-untyped-defs

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def gather_blocks(features, valid, start, length):
    """Rows ``start[b] … start[b] + length - 1`` of each block; 0 and invalid outside the history.

    Args:
        features: float32 [slot, channel].
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
        for position in range(begin, end):
            row = start[block] + position
            if valid[row]:
                usable[block, position] = True
                for channel in range(channels):
                    values[block, position, channel] = features[row, channel]
    return values, usable
