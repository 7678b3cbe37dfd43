"""The forming candle, by hand and against brute force."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from worlds import MINUTE, random_candles, world_of

from mtf.evaluation.naive import naive_candle
from mtf.market.channels import encode
from mtf.market.timeframe import Timeframe

FIVE = Timeframe.parse("5m")


def test_at_the_open_of_a_candle_it_is_flat_with_the_mean_volume() -> None:
    world = world_of(random_candles(600), {"1m": 8, "5m": 8})
    times = np.array([500 * MINUTE, 501 * MINUTE])
    candle = naive_candle(world, times, "5m")
    assert candle[0].tolist() == [0.0] * 5
    assert np.abs(candle[1, 1:]).min() > 0  # it opens at the last close


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
