"""Persistence, EWMA and HAR: by hand, in a market whose volatility clusters, and causal."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from small_models import CLOCK, SPECS
from worlds import MINUTE, candles_of, random_candles, world_of

from mtf.evaluation.baseline import Baseline
from mtf.evaluation.baselines import BASELINES
from mtf.evaluation.volatility_baselines import Ewma, Har, Persistence, known_rows, past_log_ratio
from mtf.learning.targets import labels_of
from mtf.market.candles import Candles
from mtf.market.labels import Label
from mtf.market.world import World
from mtf.plugins import registry
from mtf.plugins.contracts import Head, HeadContext

EVERY: tuple[type[Baseline], ...] = (Persistence, Ewma, Har)
TRAIN = np.arange(3000, 12_000, 3) * MINUTE
TEST = np.arange(12_000, 15_900) * MINUTE


def head(horizon: int = 15) -> Head:
    """The volatility head, whose module is not asked."""
    made: Head = registry.load("head", "volatility")(HeadContext(8, SPECS, CLOCK), horizon=horizon)
    return made


def clustered(slots: int = 16_000, seed: int = 0) -> Candles:
    """Log volatility is a fast and a slow AR(1) together, as HAR has it."""
    random = np.random.default_rng(seed)
    log_sigma = np.zeros(slots)
    for memory, spread in ((0.98, 0.5), (0.999, 0.5)):
        part = random.normal(size=slots) * spread * np.sqrt(1 - memory**2)
        for row in range(1, slots):
            part[row] += memory * part[row - 1]
        log_sigma += part
    close = 100 * np.exp(np.cumsum(1e-3 * np.exp(log_sigma) * random.normal(size=slots)))
    opening = np.concatenate([[100.0], close[:-1]])
    high, low = np.maximum(opening, close), np.minimum(opening, close)
    ohlcv = np.stack([opening, high, low, close, np.ones(slots)], axis=1)
    return dataclasses.replace(random_candles(slots), ohlcv=ohlcv)


def fitted(make: type[Baseline], world: World) -> Baseline:
    """The baseline, fitted on the training times."""
    volatility, baseline = head(), make()
    label = labels_of({"v": volatility}, world, TRAIN, None)["v"]["prediction"]
    baseline.fit(volatility, "prediction", world, TRAIN, label)
    return baseline


def test_past_volatility_by_hand() -> None:
    # 60 returns of 1 %, up and down, make s; then two of 2 % and a gap
    prices = [100.0 if row % 2 else 101.0 for row in range(62)]
    prices += [prices[-1] * np.exp(0.02), prices[-1]]
    rows: list[tuple[float, ...] | None] = [(p, p, p, p, 1.0) for p in prices]
    world = world_of(candles_of([*rows, None, rows[0]]))
    times = np.array([64, 65, 66]) * MINUTE
    s = world.label_volatility(times)
    one = np.log(1.01)
    np.testing.assert_allclose(
        past_log_ratio(world, times, 4)[:2],
        [
            0.5 * np.log((2 * one**2 + 2 * 0.02**2) / 4) - np.log(s[0]),
            0.5 * np.log((one**2 + 2 * 0.02**2) / 3) - np.log(s[1]),  # three of four: enough
        ],
    )
    assert np.isnan(past_log_ratio(world, times, 3)[2])  # the last two bring no return


def test_what_arrives_late_is_not_known_before_nor_what_comes_after_it() -> None:
    candles = random_candles(100)
    on_time = candles.open_time() + MINUTE
    late = np.where(np.arange(100) == 80, on_time + 5 * MINUTE, on_time)
    world = world_of(dataclasses.replace(candles, available_at=late))
    times = np.array([0, 80, 81, 83, 86, 1000]) * MINUTE
    assert known_rows(world, times).tolist() == [-1, 79, 79, 79, 85, 99]


def test_har_beats_the_others_where_volatility_has_two_speeds() -> None:
    world = world_of(clustered())
    label = labels_of({"v": head()}, world, TEST, None)["v"]["prediction"]
    happened = label.values["target"][label.present]
    errors = {}
    for make in EVERY:
        said = fitted(make, world).predict(world, TEST)["prediction"][label.present, 0]
        errors[make.name] = np.square(said - happened).mean()
    assert errors["har"] < 0.95 * min(errors["persistence"], errors["ewma"])
    assert max(errors.values()) < 0.5 * happened.var()


def test_of_a_random_walk_har_says_next_to_nothing() -> None:
    world = world_of(random_candles(16_000))
    label = labels_of({"v": head()}, world, TEST, None)["v"]["prediction"]
    said = fitted(Har, world).predict(world, TEST)["prediction"][label.present, 0]
    error = np.square(said - label.values["target"][label.present]).mean()
    assert error < 1.03 * label.values["target"][label.present].var()


@pytest.mark.parametrize("make", EVERY)
def test_nothing_after_t_moves_a_forecast(make: type[Baseline]) -> None:
    candles = clustered()
    later = candles.ohlcv.copy()
    later[13_000:] *= np.linspace(1, 2, 3000)[:, None]
    baseline = fitted(make, world_of(candles))
    times = np.arange(12_900, 13_001) * MINUTE
    worlds = (world_of(one) for one in (candles, dataclasses.replace(candles, ohlcv=later)))
    first, second = (baseline.predict(one, times)["prediction"] for one in worlds)
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first)) > 50


@pytest.mark.parametrize("make", EVERY)
def test_gaps_and_what_is_not_known_yet_are_taken(make: type[Baseline]) -> None:
    world = world_of(random_candles(16_000, missing=0.3))
    baseline = fitted(make, world)
    said = baseline.predict(world, np.arange(-5, 17_000, 7) * MINUTE)["prediction"]
    assert np.isfinite(said).all()
    assert said[:5].tolist() == [[0.0]] * 5  # before the first candle: as s says


@pytest.mark.parametrize("make", EVERY)
def test_a_training_part_without_labels_is_taken(make: type[Baseline]) -> None:
    world, baseline = world_of(random_candles(400)), make()
    times = np.arange(300, 310) * MINUTE
    label = Label({"target": np.zeros(10)}, np.zeros(10, dtype=bool), np.arange(10))
    baseline.fit(head(), "prediction", world, times, label)
    assert np.isfinite(baseline.predict(world, times)["prediction"]).all()


def test_they_stand_beside_the_volatility_head_alone() -> None:
    price: Head = registry.load("head", "price")(HeadContext(8, SPECS, CLOCK))
    for make in EVERY:
        assert BASELINES[make.name] is make
        assert make().suits(head(), "prediction")
        assert not make().suits(price, price.targets[0])
