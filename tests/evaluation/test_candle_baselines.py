"""The candles that a model's next candle must beat."""

from __future__ import annotations

import numpy as np
from fakes_of_evaluation import Candle
from worlds import MINUTE, random_candles, world_of

from mtf.evaluation.candle_baselines import MeanCandle, NaiveCandle
from mtf.evaluation.naive import naive_candle
from mtf.market.labels import Label

TIMES = np.array([501, 502]) * MINUTE


def test_the_mean_candle_is_that_of_the_decisions_with_a_label() -> None:
    world, mean = world_of(random_candles(600)), MeanCandle()
    candles = np.array([[9.0] * 5, [1, 2, 0, 1, 4], [3, 4, 2, 3, 0]])
    label = Label({"candle": candles}, np.array([False, True, True]), np.arange(3))
    mean.fit(Candle(("1m",)), "1m", world, np.arange(3) * MINUTE, label)
    assert mean.predict(world, TIMES)["1m"].tolist() == [[2, 3, 1, 2, 2]] * 2


def test_without_a_label_the_mean_candle_is_flat() -> None:
    world, mean = world_of(random_candles(600)), MeanCandle()
    label = Label({"candle": np.ones((3, 5))}, np.zeros(3, dtype=bool), np.arange(3))
    mean.fit(Candle(("1m",)), "1m", world, np.arange(3) * MINUTE, label)
    assert not mean.predict(world, TIMES)["1m"].any()


def test_the_naive_candle_is_the_forming_one_of_its_stream() -> None:
    world, naive = world_of(random_candles(600), {"1m": 8, "5m": 8}), NaiveCandle()
    label = Label({"candle": np.zeros((2, 5))}, np.ones(2, dtype=bool), np.arange(2))
    naive.fit(Candle(("1m", "5m")), "5m", world, TIMES, label)
    np.testing.assert_array_equal(
        naive.predict(world, TIMES)["5m"], naive_candle(world, TIMES, "5m")
    )
