"""Purging: no label of a part looks at or beyond its end, against an independent account."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import MINUTE, random_candles, world_of

from mtf.heads.action import Action
from mtf.heads.next_candle import NextCandle
from mtf.learning.splits import split
from mtf.learning.targets import any_present, labels_of
from mtf.market.candles import CLOSE, OPEN
from mtf.market.world import World
from mtf.plugins.contracts import Head, HeadContext

DAY = 1440


def heads_of(world: World, horizon: int = 15, order_latency_ms: int = 0) -> dict[str, Head]:
    """Both heads for the streams of a world."""
    specs = tuple(stream.spec for stream in world.streams.values())
    context = HeadContext(8, specs, world.clock, order_latency_ms)
    return {"action": Action(context, horizon=horizon), "next_candle": NextCandle(context)}


MARKET = world_of(
    random_candles(3 * DAY, seed=5, missing=0.01), {"1m": 8, "15m": 4, "1h": 3, "1d": 2},
    half_life=2,
)  # fmt: skip
HEADS = heads_of(MARKET)


def rewritten(world: World, after_ms: int, seed: int) -> World:
    """The same market with every candle that closes after ``after_ms`` changed."""
    candles = random_candles(3 * DAY, seed=5, missing=0.01)
    rng = np.random.default_rng(seed)
    closes = candles.timeframe.close_time(np.arange(len(candles)) + candles.first_slot)
    candles.ohlcv[closes > after_ms] *= rng.uniform(1.5, 2.0)
    candles.valid[closes > after_ms] ^= rng.random((closes > after_ms).sum()) < 0.3
    lookbacks = {name: stream.spec.lookback for name, stream in world.streams.items()}
    return world_of(candles, lookbacks, half_life=2)


@settings(max_examples=40, deadline=None)
@given(
    start=st.integers(60, DAY),
    minutes=st.integers(40, 2 * DAY - 60),
    part=st.sampled_from(["train", "validation", "calibration", "test"]),
    seed=st.integers(0, 2**16),
)
def test_no_label_of_a_part_sees_anything_after_its_end(
    start: int, minutes: int, part: str, seed: int
) -> None:
    shares = {"train": 0.4, "validation": 0.2, "calibration": 0.15, "test": 0.25}
    where = split(start * MINUTE, (start + minutes) * MINUTE, shares, MARKET.clock)[part]
    times = where.times(MARKET.clock)
    here = labels_of(HEADS, MARKET, times, where.end_ms)
    other_world = rewritten(MARKET, where.end_ms, seed)
    other = labels_of(HEADS, other_world, times, where.end_ms)
    for head, targets in here.items():
        for target, label in targets.items():
            changed = other[head][target]
            np.testing.assert_array_equal(label.present, changed.present)
            for name, value in label.values.items():
                np.testing.assert_array_equal(value, changed.values[name])
            reach = HEADS[head].reach(target, times)
            assert not label.present[times + reach > where.end_ms].any()


def account_of_action(
    world: World, t: int, end: int, horizon: int, threshold: float = 0.4
) -> int | None:
    """BUY 0, SELL 1, HOLD 2 or no label, candle by candle: the definition read aloud."""
    if t + horizon * MINUTE > end:
        return None
    candles = world.clock_candles
    sigma = world.label_volatility(np.array([t]))[0]
    inside = [
        row
        for row in range(len(candles))
        if candles.valid[row] and t <= (row * MINUTE) and (row + 1) * MINUTE <= t + horizon * MINUTE
    ]
    if not inside or math.isnan(sigma):
        return None
    gain = math.log(candles.ohlcv[inside[-1], CLOSE] / candles.ohlcv[inside[0], OPEN])
    bar = threshold * sigma * math.sqrt(horizon)
    return 0 if gain > bar else 1 if gain < -bar else 2


@pytest.mark.parametrize("horizon", [1, 15, 60])
def test_labels_of_action_equal_an_independent_account(horizon: int) -> None:
    world = world_of(random_candles(400, seed=9, missing=0.05))
    times = np.arange(50, 390) * MINUTE
    end = 380 * MINUTE
    label = labels_of(heads_of(world, horizon), world, times, end)["action"]["action"]
    for index, t in enumerate(times.tolist()):
        wanted = account_of_action(world, t, end, horizon)
        found = int(label.values["class"][index]) if label.present[index] else None
        assert found == wanted, f"minute {t // MINUTE}"


def test_a_label_that_ends_with_the_part_is_there_and_one_a_minute_later_is_not() -> None:
    world = world_of(random_candles(200, seed=1))
    times = np.array([184, 185, 186]) * MINUTE
    labels = labels_of(heads_of(world), world, times, 200 * MINUTE)
    assert labels["action"]["action"].present.tolist() == [True, True, False]
    assert labels["next_candle"]["1m"].present.tolist() == [True, True, True]


def test_a_daily_label_thins_out_at_the_border_instead_of_emptying_the_part() -> None:
    times = np.arange(DAY + 600, 2 * DAY + 600, 60) * MINUTE
    end = (2 * DAY + 600) * MINUTE
    present = labels_of(HEADS, MARKET, times, end)["next_candle"]["1d"].present
    closes_inside = times < 2 * DAY * MINUTE
    assert not present[~closes_inside].any()


def test_absent_labels_hold_zeros_and_a_decision_without_any_is_named() -> None:
    world = world_of(random_candles(100, seed=1))
    times = np.array([70, 99, 100, 120]) * MINUTE
    labels = labels_of(heads_of(world), world, times, None)
    assert any_present(labels).tolist() == [True, True, False, False]
    for targets in labels.values():
        for label in targets.values():
            for value in label.values.values():
                assert not value[~label.present].any()


def test_the_order_latency_moves_the_entry_not_the_reach() -> None:
    world = world_of(random_candles(200, seed=2))
    now, late = heads_of(world), heads_of(world, order_latency_ms=1)
    times = np.array([100 * MINUTE])
    prompt = labels_of(now, world, times, None)["action"]["action"]
    delayed = labels_of(late, world, times, None)["action"]["action"]
    ohlcv = world.clock_candles.ohlcv
    assert prompt.values["log_return"][0] == pytest.approx(
        math.log(ohlcv[114, CLOSE] / ohlcv[100, OPEN])
    )
    assert delayed.values["log_return"][0] == pytest.approx(
        math.log(ohlcv[114, CLOSE] / ohlcv[101, OPEN])
    )
