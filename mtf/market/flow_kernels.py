"""The scale of a stream as it comes, written into rings: the same steps as ``scan_scale``."""

# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np

from mtf.compiled import cached_njit
from mtf.market.kernels import ADJACENT, LAST_CLOSE, observe, sigma_of, volume_mean_of

SIGMA, VOLUME_MEAN, CLOSE = 0, 1, 2
"""Columns of the scale after a slot: the third is the close of the last candle."""


@cached_njit()
def follow_scale(start, rows, ohlcv, valid, state, half_life, decay, volume_decay, scale, last):
    """Scale and last candle after the slots ``start …``, which stand at ``rows`` of every ring."""
    for i in range(rows[1] - rows[0]):
        row = rows[0] + i
        if valid[row]:
            close = ohlcv[row, 3]
            step = np.log(close / state[LAST_CLOSE])  # NaN, and unused, at the first candle
            observe(state, step, close, ohlcv[row, 4], decay, volume_decay)
            last[row] = start + i
        else:
            state[ADJACENT] = 0.0
            last[row] = last[row - 1]  # of the first row of a ring that is the ring's last one
        scale[row, 0] = sigma_of(state, half_life)
        scale[row, 1] = volume_mean_of(state)
        scale[row, 2] = state[LAST_CLOSE]


@cached_njit()
def add_to_buckets(
    first_slot, ohlcv, valid, fine, coarse, members, candles, count, bucket, complete
):
    """Add candles of consecutive slots to the longer candles that they are part of.

    Args:
        first_slot: of the candles.
        ohlcv: ``[slot, 5]``.
        valid: where there is one.
        fine: duration and anchor of their timeframe (ms).
        coarse: duration and anchor of the longer one.
        members: slots of one bucket.
        candles: ring of what has been gathered, ``[row, 5]``.
        count: ring of how many slots have.
        bucket: ring of which bucket that is.
        complete: becomes the bucket that each slot completed; left alone for the others.
    """
    size = len(count)
    for i in range(len(valid)):
        if not valid[i]:
            continue
        opened = fine[1] + (first_slot + i) * fine[0] - coarse[1]
        slot = opened // coarse[0]
        place = (opened - slot * coarse[0]) // fine[0]
        row = slot % size
        if slot < bucket[row]:
            continue  # older than the ring reaches back
        candle = candles[row]
        if slot > bucket[row]:
            bucket[row], count[row] = slot, 0
            candle[0] = candle[3] = np.nan
            candle[1], candle[2], candle[4] = -np.inf, np.inf, 0.0
        if place == 0:
            candle[0] = ohlcv[i, 0]
        if place == members - 1:
            candle[3] = ohlcv[i, 3]
        candle[1] = max(candle[1], ohlcv[i, 1])
        candle[2] = min(candle[2], ohlcv[i, 2])
        candle[4] += ohlcv[i, 4]
        count[row] += 1
        if count[row] == members:
            complete[i] = slot


BUCKET, FOLDED, FIRST_SEEN, LAST_SEEN = range(4)
"""What is kept of a forming candle beside its figures: which it is, and the slots that it has."""


@cached_njit()
def fold_forming(end, first, fine_end, ohlcv, valid, fine, coarse, state, candle):
    """Take the fine slots up to ``end`` into the coarse candle that is forming.

    Args:
        end: one past the last slot to take.
        first: the first slot of the history.
        fine_end: one past the newest fine slot.
        ohlcv: ring of the fine candles.
        valid: where there is one.
        fine: duration and anchor of their timeframe (ms).
        coarse: duration and anchor of the coarse one.
        state: ``BUCKET`` …, changed in place.
        candle: open, high, low, close and volume so far.
    """
    size = len(valid)
    for slot in range(max(state[FOLDED], first), min(end, fine_end)):
        if valid[slot % size]:
            take_forming(slot, ohlcv[slot % size], fine, coarse, state, candle)
    state[FOLDED] = max(state[FOLDED], min(end, fine_end))


@cached_njit()
def take_forming(slot, ohlcv, fine, coarse, state, candle):
    """Take one fine candle in, in any order within its coarse slot; of older ones it is left."""
    bucket = (fine[1] + slot * fine[0] - coarse[1]) // coarse[0]
    if bucket < state[BUCKET]:
        return
    if bucket > state[BUCKET]:
        state[BUCKET], state[FIRST_SEEN], state[LAST_SEEN] = bucket, slot, slot
        candle[:] = ohlcv
        return
    if slot < state[FIRST_SEEN]:
        state[FIRST_SEEN], candle[0] = slot, ohlcv[0]
    if slot > state[LAST_SEEN]:
        state[LAST_SEEN], candle[3] = slot, ohlcv[3]
    candle[1] = max(candle[1], ohlcv[1])
    candle[2] = min(candle[2], ohlcv[2])
    candle[4] += ohlcv[4]
