"""The candle that is not closed yet, from finer candles, as a numba scan."""

from __future__ import annotations

import numpy as np

from mtf.compiled import cached_njit


@cached_njit()
def forming_candles(ohlcv, valid, available_at, times, first, last):
    """Open, running high and low, latest close and volume of rows ``first..last`` at each time.

    Runs over the fine candles once where times ascend: a decision goes on where the one before it
    stopped and starts afresh only at its own ``first`` row (a new coarse slot). A candle that had
    not arrived at the time is left out, and then the next decision starts afresh, because it may
    have arrived by then.

    Args:
        ohlcv: fine candles, ``[slot, 5]``.
        valid: whether the slot has a candle.
        available_at: when each may be known (ms); empty = by the timetable, as ``last`` is.
        times: decision times (ms).
        first: first fine row of the coarse slot that holds each time.
        last: last fine row closed by then; below ``first`` = none.

    Returns:
        Forming candles ``[decision, 5]`` and whether any candle was there.
    """
    out = np.zeros((len(times), 5))
    found = np.zeros(len(times), dtype=np.bool_)
    start, next_row = -1, 0
    seen = False
    open_ = high = low = close = volume = 0.0
    for k in range(len(times)):
        end = min(last[k], len(valid) - 1)
        begin = max(first[k], 0)
        if begin != start or end < next_row - 1:
            start, next_row = begin, begin
            seen, volume = False, 0.0
        late = False
        for row in range(next_row, end + 1):
            if not valid[row]:
                continue
            if len(available_at) > 0 and available_at[row] > times[k]:
                late = True
                continue
            if not seen:
                open_, high, low = ohlcv[row, 0], ohlcv[row, 1], ohlcv[row, 2]
                seen = True
            high = max(high, ohlcv[row, 1])
            low = min(low, ohlcv[row, 2])
            close = ohlcv[row, 3]
            volume += ohlcv[row, 4]
        next_row = max(next_row, end + 1)
        if seen:
            found[k] = True
            out[k, 0], out[k, 1], out[k, 2] = open_, high, low
            out[k, 3], out[k, 4] = close, volume
        if late:
            start = -1
    return out, found
