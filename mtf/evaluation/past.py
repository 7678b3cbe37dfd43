"""Past log closes as of t, at given lags: all that the classical baselines look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

from mtf.market.candles import CLOSE, Candles
from mtf.market.world import World

Times = Int64[np.ndarray, " decision"]


def past_log_closes(
    candles: Candles, latency_ms: int, times: Times, lags: Sequence[int]
) -> Float64[np.ndarray, "decision lag"]:
    """Log closes of the slots ``last slot at t - lag``; NaN where none was known at t.

    A candle that arrives later than the timetable says is not known before it arrives.

    Args:
        candles: of any symbol.
        latency_ms: from a candle's close until it may be known.
        times: decision times in ms.
        lags: in slots; 0 is the last slot.
    """
    last = candles.timeframe.last_slot(times, latency_ms) - candles.first_slot
    row = last[:, None] - np.asarray(lags, dtype=np.int64)
    inside = (row >= 0) & (row < len(candles))
    if not inside.any():
        return np.full(row.shape, np.nan)
    safe = np.where(inside, row, 0)
    known = inside & candles.valid[safe]
    if candles.available_at is not None:
        known &= candles.available_at[safe] <= times[:, None]
    close = np.where(known, candles.ohlcv[safe, CLOSE], 1.0)
    return np.where(known, np.log(close), np.nan)


def clock_histories(world: World) -> list[tuple[Candles, int]]:
    """Candles and latency at the clock's timeframe: the primary's, then each reference's."""
    references = [
        (stream.candles, stream.spec.latency_ms)
        for stream in world.streams.values()
        if stream.spec.timeframe.duration_ms == world.clock.duration_ms
        and stream.spec.symbol != world.symbol
    ]
    return [(world.clock_candles, world.clock_latency_ms), *references]
