"""The next candle: always a candle, measured like the inputs, read no further than its close."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from worlds import MINUTE, random_candles, world_of

from mtf.heads.next_candle import NO_VOLUME, NextCandle, valid_candle
from mtf.market.candles import Candles
from mtf.market.channels import decode, encode
from mtf.market.labels import Future
from mtf.market.timeframe import Timeframe
from mtf.market.world import World
from mtf.plugins.contracts import Fused, HeadContext

CLOCK = Timeframe.parse("1m")
OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)


def world(clock: Candles | None = None) -> World:
    clock = random_candles(1500) if clock is None else clock
    return world_of(clock, {"1m": 8, "15m": 8}, random_candles(1500, 1), half_life=20)


def head_of(world: World) -> NextCandle:
    specs = tuple(stream.spec for stream in world.streams.values())
    return NextCandle(HeadContext(8, specs, CLOCK))


def future_of(head: NextCandle, world: World, target: str, times: np.ndarray) -> Future:
    return Future(world, times, head.reach(target, times))


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=5, max_size=5))
def test_whatever_the_weights_say_it_is_a_candle(raw: list[float]) -> None:
    candle = valid_candle(torch.tensor([raw]))[0]
    assert candle[HIGH] >= max(candle[OPEN], candle[CLOSE])
    assert candle[LOW] <= min(candle[OPEN], candle[CLOSE])
    assert candle[VOLUME] >= np.float32(NO_VOLUME)


def test_reach_is_until_the_close() -> None:
    head = head_of(world())
    times = np.array([900, 901, 914, 915]) * MINUTE
    assert (head.reach("1m", times) // MINUTE).tolist() == [1, 1, 1, 1]
    assert (head.reach("15m", times) // MINUTE).tolist() == [15, 14, 1, 15]


def test_the_label_by_hand() -> None:
    here = world()
    head, times = head_of(here), np.array([907 * MINUTE])
    label = head.label("15m", future_of(head, here, "15m", times))
    known, ohlcv = here.known(times)["15m"], here.streams["15m"].candles.ohlcv[60]
    assert label.group.tolist() == [60]
    mean = known.volume_mean[0]
    wanted = [math.log(price / known.last_close[0]) / known.sigma[0] for price in ohlcv[:4]]
    wanted.append(math.log((ohlcv[4] + 0.01 * mean) / (1.01 * mean)))
    assert label.values["candle"][0].tolist() == pytest.approx(wanted)


def test_minutes_of_one_candle_are_one_group() -> None:
    here = world()
    head, times = head_of(here), np.arange(900, 930) * MINUTE
    label = head.label("15m", future_of(head, here, "15m", times))
    assert np.unique(label.group, return_counts=True)[1].tolist() == [15, 15]


def test_no_label_in_a_gap_before_sigma_is_known_or_while_stale() -> None:
    candles = random_candles(1500, missing=0.3)
    candles.valid[1000:1010] = False
    candles.ohlcv[1000:1010] = np.nan
    here = world(candles)
    head, times = head_of(here), np.arange(10, 1400) * MINUTE
    label = head.label("1m", future_of(head, here, "1m", times))
    known = here.known(times)["1m"]
    there = candles.valid[10:1400] & np.isfinite(known.sigma) & (known.age_ms <= 3 * MINUTE)
    assert label.present.tolist() == there.tolist()
    assert 0.3 < label.present.mean() < 0.9
    assert not label.present[1000 - 10 : 1010 - 10].any()
    assert not label.values["candle"][~label.present].any()


def test_decoding_is_the_inverse() -> None:
    here = world()
    head, times = head_of(here), np.arange(900, 950) * MINUTE
    future = future_of(head, here, "1m", times)
    ohlcv, _, _ = future.candle("1m")
    known = future.known["1m"]
    np.testing.assert_allclose(decode(encode(ohlcv, known), known), ohlcv, rtol=1e-9)


def test_a_decoded_candle_is_valid() -> None:
    torch.manual_seed(0)
    here = world()
    head, times = head_of(here), np.arange(900, 1000) * MINUTE
    known = here.known(times)["btc"]
    outputs = head(Fused(3 * torch.randn(100, 8), 3 * torch.randn(100, 3, 8)))
    candle = decode(outputs["btc"].detach().numpy(), known)
    assert (candle[:, HIGH] >= candle[:, [OPEN, CLOSE]].max(1)).all()
    assert (candle[:, LOW] <= candle[:, [OPEN, CLOSE]].min(1)).all()
    assert (candle[:, VOLUME] >= 0).all()


def test_no_volume_ever_is_no_division_by_zero() -> None:
    silent = random_candles(600)
    silent.ohlcv[:, VOLUME] = 0.0
    here = world_of(silent)
    head = head_of(here)
    label = head.label("1m", future_of(head, here, "1m", np.array([500 * MINUTE])))
    assert label.present.all()
    assert label.values["candle"][0, VOLUME] == 0.0


def test_skill_against_the_better_reference() -> None:
    here = world()
    head, times = head_of(here), np.arange(900, 950) * MINUTE
    label = head.label("1m", future_of(head, here, "1m", times))
    true = label.values["candle"]
    flat, mean = np.zeros_like(true), np.tile(true.mean(0), (len(true), 1))
    references = {"naive_candle": {"1m": flat}, "mean_candle": {"1m": mean}, "other": {}}
    found = head.metrics("1m", {"1m": mean}, label, references)
    assert set(found) == {"mse", "skill", "skill_close", "skill_volume"}
    value = found["skill"].finish(found["skill"].statistics.sum(0))
    assert float(value) == pytest.approx(0.0)
    assert set(head.metrics("1m", {"1m": mean}, label, {})) == {"mse"}


def test_loss_is_the_mean_of_five_squares() -> None:
    head = head_of(world())
    outputs, values = (
        {"1m": torch.zeros(2, 5)},
        {"candle": torch.tensor([[1.0] * 5, [0, 0, 0, 0, 5.0]])},
    )
    assert head.loss("1m", outputs, values).tolist() == [1.0, 5.0]
