"""A small random market for contract tests: no data, no network.

Eighty hours of minutes, five minutes, hours and a reference. ``changed_after`` is the heart of
every test of causality: the same market up to a time, another one after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int64

from mtf.market.candles import Candles
from mtf.market.feature_set import FeatureSet
from mtf.market.features import Ohlcv
from mtf.market.stream import StreamSpec, compute_stream
from mtf.market.timeframe import Timeframe
from mtf.market.times import iso
from mtf.market.world import World, label_sigma

CLOCK = Timeframe.parse("1m")
HOUR = Timeframe.parse("1h")
SYMBOL = "ETHUSDT"
LOOKBACK = 8
SLOTS = 80 * 60
"""Clock candles of the market: long enough that hours, too, have a volatility."""


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
    """A stream at the clock, two coarser ones and a reference."""
    return (
        StreamSpec("1m", SYMBOL, CLOCK, "primary", LOOKBACK),
        StreamSpec("5m", SYMBOL, Timeframe.parse("5m"), "primary", LOOKBACK),
        StreamSpec("1h", SYMBOL, HOUR, "primary", LOOKBACK),
        StreamSpec("btc", "BTCUSDT", CLOCK, "reference", LOOKBACK),
    )


def random_market(slots: int = SLOTS, seed: int = 0, missing: float = 0.0) -> dict[str, Candles]:
    """Candles of every stream, independent of each other, over ``slots`` clock candles."""
    found = {}
    for i, spec in enumerate(stream_specs()):
        count = slots * CLOCK.duration_ms // spec.timeframe.duration_ms
        candles = random_candles(count, spec.timeframe, 10 * seed + i, missing)
        found[spec.name] = replace(candles, symbol=spec.symbol)
    return found


def random_world(slots: int = SLOTS, seed: int = 0, missing: float = 0.0) -> World:
    """The world of such a market."""
    return world_of(random_market(slots, seed, missing))


def world_of(candles: Mapping[str, Candles], features: FeatureSet | None = None) -> World:
    """The world that these candles make, by stream name; features are ``ohlcv`` if not given."""
    used = features or Ohlcv()
    streams = {spec.name: compute_stream(spec, candles[spec.name], used) for spec in stream_specs()}
    clock = candles["1m"]
    return World(SYMBOL, CLOCK, streams, clock, label_sigma(clock))


def world_with(world: World, candles: Mapping[str, Candles]) -> World:
    """The same world with other candles in some streams."""
    streams = dict(world.streams)
    for name, other in candles.items():
        features = streams[name].feature_set
        assert features is not None
        streams[name] = compute_stream(streams[name].spec, other, features)
    if "1m" not in candles:
        return replace(world, streams=streams)
    clock = candles["1m"]
    return World(SYMBOL, CLOCK, streams, clock, label_sigma(clock))


def changed_after(
    world: World, time_ms: int, streams: Iterable[str] | None = None, seed: int = 0
) -> World:
    """The same world, but candles known only after ``time_ms`` are others, and some are gone.

    Args:
        world: the market.
        time_ms: what is known then stays.
        streams: names of those that change; None = all.
        seed: of the change.
    """
    candles = {name: world.streams[name].candles for name in streams or world.streams}
    return world_with(world, later_changed(candles, time_ms, seed))


def later_changed(
    candles: Mapping[str, Candles], time_ms: int, seed: int = 0
) -> dict[str, Candles]:
    """Each stream with other candles where they are known only after ``time_ms``, some gone."""
    return {
        name: changed(one, known_at(one) > time_ms, seed, drop=0.2) for name, one in candles.items()
    }


def changed(
    candles: Candles, rows: Bool[np.ndarray, " slot"], seed: int = 0, drop: float = 0.0
) -> Candles:
    """The same with other prices and volumes in some rows; a share of these is dropped."""
    rng = np.random.default_rng(seed)
    factor = rng.uniform(1.02, 1.5, len(candles))
    gone = rows & (rng.random(len(candles)) < drop)
    ohlcv = candles.ohlcv.copy()
    ohlcv[rows] *= factor[rows, None]
    ohlcv[gone] = np.nan
    return replace(candles, ohlcv=ohlcv, valid=candles.valid & ~gone)


def known_at(candles: Candles) -> Int64[np.ndarray, " slot"]:
    """When each candle may be known (ms): at its close, or later where the source says so."""
    close = candles.open_time() + candles.timeframe.duration_ms
    if candles.available_at is None:
        return close
    return np.asarray(np.maximum(close, candles.available_at))


def candle_words(candles: Candles, row: int) -> str:
    """``1h candle [1970-01-01T05:00, 1970-01-01T06:00)``."""
    slot = candles.first_slot + row
    start, end = candles.timeframe.open_time(slot), candles.timeframe.close_time(slot)
    return f"{candles.timeframe} candle [{iso(start)}, {iso(end)})"


__all__ = [
    "candle_words",
    "changed",
    "changed_after",
    "known_at",
    "later_changed",
    "random_candles",
    "random_market",
    "random_world",
    "stream_specs",
    "world_of",
    "world_with",
]
