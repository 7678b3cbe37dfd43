"""The forming candle, by hand and against brute force."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import MINUTE, candles_of, random_candles, world_of

from mtf.evaluation.naive import finer_streams, forming, naive_candle
from mtf.market.channels import encode
from mtf.market.features import Ohlcv
from mtf.market.stream import StreamSpec, compute_stream
from mtf.market.timeframe import Timeframe
from mtf.market.world import World

FIVE = Timeframe.parse("5m")


def test_a_candle_so_far_by_hand() -> None:
    rows: list[tuple[float, ...] | None] = [(10, 11, 9, 10, 1)] * 100
    rows += [(10, 15, 10, 14, 3), (14, 14, 8, 9, 5), (9, 9, 9, 9, 7)]
    world = world_of(candles_of(rows), {"1m": 8, "5m": 8})
    # at 01:42 two fifths of the candle from 01:40 have elapsed
    candle, found = forming(world, np.array([102 * MINUTE]), "5m")
    assert found.tolist() == [True]
    assert candle.tolist() == [[10, 15, 8, 9, 20.0]]


def test_at_the_open_of_a_candle_it_is_flat_with_the_mean_volume() -> None:
    world = world_of(random_candles(600), {"1m": 8, "5m": 8})
    times = np.array([500 * MINUTE, 501 * MINUTE])
    candle = naive_candle(world, times, "5m")
    assert candle[0].tolist() == [0.0] * 5
    assert np.abs(candle[1, 1:]).min() > 0  # it opens at the last close


def test_the_finest_stream_has_no_finer_one() -> None:
    world = world_of(random_candles(600), {"1m": 8, "5m": 8})
    assert finer_streams(world, world.streams["1m"]) == []
    assert naive_candle(world, np.arange(300, 500) * MINUTE, "1m").any() == np.False_


def test_only_streams_of_the_same_symbol_are_looked_at_finest_first() -> None:
    btc = random_candles(600, symbol="BTCUSDT")
    world = world_of(random_candles(600), {"1h": 4, "5m": 8, "1m": 8, "15m": 4}, btc)
    assert finer_streams(world, world.streams["1h"]) == ["1m", "5m", "15m"]


def test_channels_are_those_of_the_label() -> None:
    world = world_of(random_candles(900), {"1m": 8, "5m": 8})
    known = world.known(np.array([880 * MINUTE]))["5m"]
    last, sigma, mean = (float(x[0]) for x in (known.last_close, known.sigma, known.volume_mean))
    candle = np.array([[last, last * math.exp(2 * sigma), last, last, 0.0]])
    channels = encode(candle, known)[0]
    assert channels == pytest.approx([0, 2, 0, 0, math.log(0.01 / 1.01)])
    assert mean > 0


def test_before_the_scale_is_known_the_forecast_is_flat() -> None:
    world = world_of(random_candles(20), {"1m": 8, "5m": 8})
    assert naive_candle(world, np.array([13 * MINUTE]), "5m").tolist() == [[0.0] * 5]


def test_nothing_after_t_moves_it() -> None:
    candles = random_candles(700, missing=0.05)
    changed = candles.ohlcv.copy()
    changed[603:] *= 1.5
    other = dataclasses.replace(candles, ohlcv=changed)
    times = np.arange(560, 604) * MINUTE
    for stream in ("5m", "1h"):
        first, second = (
            naive_candle(world_of(one, {"1m": 8, "5m": 8, "1h": 4}), times, stream)
            for one in (candles, other)
        )
        np.testing.assert_array_equal(first, second)


def brute(world: World, t: int, fine: str, coarse: Timeframe) -> list[float] | None:
    """The forming candle at one time, read candle by candle."""
    stream = world.streams[fine]
    candles, latency = stream.candles, stream.spec.latency_ms
    duration = candles.timeframe.duration_ms
    opened = coarse.open_time(coarse.slot(t))
    seen, elapsed = [], 0
    for row, open_time in enumerate(candles.open_time()):
        close_time = int(open_time) + duration
        if open_time < opened or close_time + latency > t:
            continue
        elapsed = close_time - opened
        if not candles.valid[row]:
            continue
        if candles.available_at is not None and candles.available_at[row] > t:
            continue
        seen.append(candles.ohlcv[row])
    if not seen:
        return None
    opens, highs, lows, closes, volumes = np.array(seen).T
    total = float(volumes.sum()) / (elapsed / coarse.duration_ms)
    return [float(opens[0]), float(highs.max()), float(lows.min()), float(closes[-1]), total]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    missing=st.sampled_from([0.0, 0.3]),
    latency=st.sampled_from([0, 1, 60_000, 90_000]),
    late=st.booleans(),
    shuffled=st.booleans(),
)
def test_it_is_what_brute_force_finds(
    seed: int, missing: float, latency: int, late: bool, shuffled: bool
) -> None:
    random = np.random.default_rng(seed)
    candles = random_candles(240, seed, missing=missing, first_slot=int(random.integers(0, 50)))
    if late:
        arrival = candles.open_time() + MINUTE + latency
        arrival += random.choice([0, 0, 0, 45_000, 180_000], size=len(arrival))
        candles = dataclasses.replace(candles, available_at=arrival)
    world = world_of(candles, {"1m": 8, "5m": 8}, half_life=5, latency_ms=latency)
    times = candles.open_time()[60:].copy()
    if shuffled:
        random.shuffle(times)
    present = world.known(times)["1m"].present
    candle, found = forming(world, times, "5m")
    for k in np.flatnonzero(present):
        expected = brute(world, int(times[k]), "1m", FIVE)
        assert found[k] == (expected is not None)
        if expected is not None:
            assert candle[k].tolist() == pytest.approx(expected)
    assert not found[~present].any()


def test_a_coarser_stream_steps_in_where_the_finest_is_absent() -> None:
    world = world_of(random_candles(600), {"1m": 8, "5m": 8, "15m": 4})
    early = dataclasses.replace(
        random_candles(300), ohlcv=world.clock_candles.ohlcv[:300], valid=np.ones(300, dtype=bool)
    )
    spec = StreamSpec("1m", "ETHUSDT", Timeframe.parse("1m"), "primary", 8)
    native = {
        name: dataclasses.replace(stream, spec=dataclasses.replace(stream.spec, derived_from=None))
        for name, stream in world.streams.items()
    }
    native["1m"] = compute_stream(spec, early, Ohlcv())
    world = dataclasses.replace(world, streams=native)
    candle, found = forming(world, np.array([548 * MINUTE]), "15m")  # 09:08, candle from 09:00
    five = native["5m"].candles
    assert found.tolist() == [True]
    row = 108  # 09:00 in fives, closed at 09:05
    assert candle[0, :4].tolist() == five.ohlcv[row, :4].tolist()
    assert candle[0, 4] == pytest.approx(five.ohlcv[row, 4] * 3)
