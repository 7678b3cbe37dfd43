"""A small random market for contract tests: no data, no network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mtf.market.candles import Candles
from mtf.market.features import Ohlcv
from mtf.market.stream import StreamSpec, compute_stream
from mtf.market.timeframe import Timeframe
from mtf.market.world import World, label_sigma

CLOCK = Timeframe.parse("1m")
SYMBOL = "ETHUSDT"
LOOKBACK = 8


def random_candles(
    slots: int, timeframe: Timeframe = CLOCK, seed: int = 0, missing: float = 0.0
) -> Candles:
    """A random walk with some candles missing."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, slots)))
    opens = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(opens, close) * np.exp(rng.exponential(5e-4, slots))
    low = np.minimum(opens, close) * np.exp(-rng.exponential(5e-4, slots))
    ohlcv = np.stack([opens, high, low, close, rng.gamma(2.0, 5.0, slots)], axis=1)
    valid = rng.random(slots) >= missing
    ohlcv[~valid] = np.nan
    return Candles(SYMBOL, timeframe, 0, ohlcv, valid)


def stream_specs() -> tuple[StreamSpec, ...]:
    """A stream at the clock, a coarser one and a reference."""
    return (
        StreamSpec("1m", SYMBOL, CLOCK, "primary", LOOKBACK),
        StreamSpec("5m", SYMBOL, Timeframe.parse("5m"), "primary", LOOKBACK),
        StreamSpec("btc", "BTCUSDT", CLOCK, "reference", LOOKBACK),
    )


def random_world(slots: int = 1200) -> World:
    """A world of ``slots`` clock candles with independent streams."""
    candles = {
        spec.name: replace(
            random_candles(
                slots * CLOCK.duration_ms // spec.timeframe.duration_ms, spec.timeframe, i
            ),
            symbol=spec.symbol,
        )
        for i, spec in enumerate(stream_specs())
    }
    return world_of(candles)


def world_of(candles: dict[str, Candles]) -> World:
    """The world that these candles make, by stream name."""
    streams = {
        spec.name: compute_stream(spec, candles[spec.name], Ohlcv()) for spec in stream_specs()
    }
    clock = candles["1m"]
    return World(SYMBOL, CLOCK, streams, clock, label_sigma(clock))


def changed_after(world: World, time_ms: int, factor: float = 1.5) -> World:
    """The same world, but every candle that closes after ``time_ms`` is another."""
    candles = {}
    for name, stream in world.streams.items():
        ohlcv = stream.candles.ohlcv.copy()
        later = stream.candles.open_time() + stream.candles.timeframe.duration_ms > time_ms
        ohlcv[later] *= factor
        candles[name] = replace(stream.candles, ohlcv=ohlcv)
    return world_of(candles)


__all__ = ["changed_after", "random_candles", "random_world", "stream_specs", "world_of"]
