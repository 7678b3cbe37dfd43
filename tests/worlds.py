"""Small markets for tests, written out or drawn from a seed."""

from __future__ import annotations

import numpy as np

from mtf.market.candles import Candles
from mtf.market.features import Ohlcv
from mtf.market.resample import resample
from mtf.market.stream import StreamSpec, compute_stream
from mtf.market.timeframe import Timeframe
from mtf.market.world import World, label_sigma

MINUTE = 60_000


def candles_of(
    rows: list[tuple[float, ...] | None], timeframe: str = "1m", first_slot: int = 0
) -> Candles:
    """Candles written out as (open, high, low, close, volume); None where there is none."""
    ohlcv = np.array([row or (np.nan,) * 5 for row in rows], np.float64)
    valid = np.array([row is not None for row in rows])
    return Candles("ETHUSDT", Timeframe.parse(timeframe), first_slot, ohlcv, valid)


def random_candles(
    slots: int,
    seed: int = 0,
    timeframe: str = "1m",
    symbol: str = "ETHUSDT",
    missing: float = 0.0,
    first_slot: int = 0,
) -> Candles:
    """A random walk with open, high, low, close and volume in order, and some candles missing."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, slots)))
    opening = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(opening, close) * np.exp(rng.exponential(5e-4, slots))
    low = np.minimum(opening, close) * np.exp(-rng.exponential(5e-4, slots))
    ohlcv = np.stack([opening, high, low, close, rng.gamma(2.0, 5.0, slots)], axis=1)
    valid = rng.random(slots) >= missing
    ohlcv[~valid] = np.nan
    return Candles(symbol, Timeframe.parse(timeframe), first_slot, ohlcv, valid)


def world_of(
    clock_candles: Candles,
    lookbacks: dict[str, int] | None = None,
    btc: Candles | None = None,
    half_life: int = 60,
    latency_ms: int = 0,
) -> World:
    """A world whose streams are all made from the clock's candles, and a reference where given.

    Args:
        clock_candles: of the primary symbol.
        lookbacks: timeframe → lookback; coarser ones are resampled and named by their timeframe.
        btc: candles of the reference.
        half_life: of sigma.
        latency_ms: of every stream.
    """
    clock = clock_candles.timeframe
    streams = {}
    for name, lookback in (lookbacks or {clock.name: 8}).items():
        timeframe = Timeframe.parse(name)
        native = timeframe == clock
        candles = clock_candles if native else resample(clock_candles, timeframe)
        source = None if native else clock.name
        spec = StreamSpec(
            name, "ETHUSDT", timeframe, "primary", lookback, latency_ms, derived_from=source
        )
        streams[name] = compute_stream(spec, candles, Ohlcv(volatility_half_life=half_life))
    if btc is not None:
        spec = StreamSpec("btc", "BTCUSDT", btc.timeframe, "reference", 8, latency_ms)
        streams["btc"] = compute_stream(spec, btc, Ohlcv(volatility_half_life=half_life))
    return World("ETHUSDT", clock, streams, clock_candles, label_sigma(clock_candles), latency_ms)
