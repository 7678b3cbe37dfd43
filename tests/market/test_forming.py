"""The forming candle, by hand and against brute force."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import MINUTE, candles_of, random_candles, world_of

from mtf.market.features import Ohlcv
from mtf.market.forming import CLIP, Forming, finer_streams, forming, forming_channels
from mtf.market.stream import StreamSpec, compute_stream
from mtf.market.timeframe import Timeframe
from mtf.market.world import World

FIVE = Timeframe.parse("5m")


def specs_of(world: World) -> list[StreamSpec]:
    """What the config says of the streams."""
    return [stream.spec for stream in world.streams.values()]


def seen_of(world: World, times: np.ndarray, stream: str) -> Forming:
    """The forming candle where every stream is as present as the market has it."""
    known = world.known(times)
    return forming(world, times, stream, known, {name: k.present for name, k in known.items()})


def test_a_candle_so_far_by_hand() -> None:
    rows: list[tuple[float, ...] | None] = [(10, 11, 9, 10, 1)] * 100
    rows += [(10, 15, 10, 14, 3), (14, 14, 8, 9, 5), (9, 9, 9, 9, 7)]
    world = world_of(candles_of(rows), {"1m": 8, "5m": 8})
    # at 01:42 two fifths of the candle from 01:40 have elapsed
    seen = seen_of(world, np.array([102 * MINUTE]), "5m")
    assert seen.candle.tolist() == [[10, 15, 8, 9, 8.0]]
    assert seen.elapsed.tolist() == [0.4]


def test_the_finest_stream_has_no_finer_one() -> None:
    world = world_of(random_candles(600), {"1m": 8, "5m": 8})
    assert finer_streams(specs_of(world), world.streams["1m"].spec) == []
    assert not seen_of(world, np.arange(300, 500) * MINUTE, "1m").found.any()


def test_only_streams_of_the_same_symbol_are_looked_at_finest_first() -> None:
    btc = random_candles(600, symbol="BTCUSDT")
    world = world_of(random_candles(600), {"1h": 4, "5m": 8, "1m": 8, "15m": 4}, btc)
    assert finer_streams(specs_of(world), world.streams["1h"].spec) == ["1m", "5m", "15m"]


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
    share = elapsed / coarse.duration_ms
    prices = [float(opens[0]), float(highs.max()), float(lows.min()), float(closes[-1])]
    return [*prices, float(volumes.sum()), share]


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
    seen = seen_of(world, times, "5m")
    for k in np.flatnonzero(present):
        expected = brute(world, int(times[k]), "1m", FIVE)
        assert seen.found[k] == (expected is not None)
        if expected is not None:
            assert [*seen.candle[k], seen.elapsed[k]] == pytest.approx(expected)
    assert not seen.found[~present].any()


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
    seen = seen_of(world, np.array([548 * MINUTE]), "15m")  # 09:08, candle from 09:00
    five = native["5m"].candles
    row = 108  # 09:00 in fives, closed at 09:05
    assert seen.candle[0, :4].tolist() == five.ohlcv[row, :4].tolist()
    assert seen.candle[0, 4] == five.ohlcv[row, 4]
    assert seen.elapsed.tolist() == [5 / 15]


def test_a_stream_that_was_taken_away_is_not_asked() -> None:
    world = world_of(random_candles(600), {"1m": 8, "5m": 8, "15m": 4})
    times = np.array([548 * MINUTE, 549 * MINUTE, 551 * MINUTE])
    known = world.known(times)
    there = np.ones(3, bool)
    present = {"1m": np.array([True, False, False]), "5m": np.array([True, True, False])}
    seen = forming(world, times, "15m", known, {**present, "15m": there})
    assert seen.elapsed.tolist() == [8 / 15, 5 / 15, 0.0]
    assert not seen.candle[2].any()


def test_channels_are_clipped_and_nothing_stands_where_nothing_was_seen() -> None:
    rows: list[tuple[float, ...] | None] = [(10, 11, 9, 10 + i % 2 * 0.1, 1) for i in range(500)]
    rows[-1] = (10, 10_000, 10, 10_000, 3)
    world = world_of(candles_of(rows), {"1m": 8, "5m": 8})
    times = np.array([496 * MINUTE, 500 * MINUTE, 500 * MINUTE - 1])
    known = world.known(times)["5m"]
    values, there = forming_channels(seen_of(world, times, "5m"), known)
    assert there.tolist() == [True, False, True]
    assert not values[1].any()
    assert np.abs(values).max() <= CLIP
    assert values[0, 5] == np.float32(0.2)
