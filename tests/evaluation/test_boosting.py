"""Boosted trees: a planted signal, nothing from the future, little data, and a real year."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from fakes_of_evaluation import Direction, decisions
from worlds import MINUTE, random_candles, world_of

from mtf.config.schema import Config
from mtf.config.values import to_ms
from mtf.evaluation.boosting import LightGBM
from mtf.evaluation.class_baselines import ClassPrior
from mtf.evaluation.metrics import log_loss, point_value, rank_ic
from mtf.learning.load import feature_sets, load_worlds
from mtf.market.candles import Candles
from mtf.market.labels import Label
from mtf.market.resample import resample
from mtf.market.timeframe import Timeframe
from mtf.market.world import World

TRAIN = np.arange(300, 3000) * MINUTE
TEST = np.arange(3000, 3900) * MINUTE


def following(reference: Candles, minutes: int) -> Candles:
    """ETH does what the reference did some minutes before."""
    ohlcv = np.roll(reference.ohlcv, minutes, axis=0)
    return dataclasses.replace(reference, symbol="ETHUSDT", ohlcv=ohlcv)


def fitted(world: World, head: Direction, trees: int = 30) -> LightGBM:
    """Few trees: what is planted is found at once."""
    baseline = LightGBM()
    baseline.trees = trees
    label = decisions({"d": head}, world, TRAIN).labels["d"]["direction"]
    baseline.fit(head, "direction", world, TRAIN, label)
    return baseline


def loss_of(probs: np.ndarray, world: World, head: Direction) -> float:
    """Log loss on the test times."""
    assert probs.shape == (len(TEST), 3)
    assert probs.sum(axis=1) == pytest.approx(1.0)
    label = decisions({"d": head}, world, TEST).labels["d"]["direction"]
    return point_value(log_loss(probs[label.present], label.values["class"][label.present]))


def test_a_planted_signal_is_found() -> None:
    btc = random_candles(4000, seed=1, symbol="BTCUSDT")
    world, head = world_of(following(btc, 3), btc=btc), Direction(minutes=3)
    prior = ClassPrior()
    prior.fit(
        head, "d", world, TRAIN, decisions({"d": head}, world, TRAIN).labels["d"]["direction"]
    )
    best = loss_of(prior.predict(world, TEST)["probs"], world, head)
    assert loss_of(fitted(world, head).predict(world, TEST)["probs"], world, head) < best - 0.3


def test_on_noise_little_is_lost() -> None:
    world, head = world_of(random_candles(4000)), Direction()
    assert (
        loss_of(fitted(world, head).predict(world, TEST)["probs"], world, head) < np.log(3) + 0.05
    )


@pytest.mark.parametrize("latency_ms", [0, 90_000])
def test_nothing_after_t_moves_a_forecast(latency_ms: int) -> None:
    candles, btc = random_candles(4000), random_candles(4000, seed=1, symbol="BTCUSDT")
    lookbacks = {"1m": 8, "5m": 8}

    def world(known: int) -> World:
        """What comes after so many slots is another story."""
        changed = [one.ohlcv.copy() for one in (candles, btc)]
        for ohlcv in changed:
            ohlcv[known:] *= np.linspace(1.01, 2, 4000 - known)[:, None]
        eth, other = (
            dataclasses.replace(one, ohlcv=ohlcv)
            for one, ohlcv in zip((candles, btc), changed, strict=True)
        )
        return world_of(eth, lookbacks, other, latency_ms=latency_ms)

    baseline = fitted(world(4000), Direction())
    late = -(-latency_ms // MINUTE)
    times = np.arange(3400, 3501) * MINUTE
    first, second = (baseline._features(one, times) for one in (world(4000), world(3500 - late)))
    np.testing.assert_array_equal(first, second)
    moved = baseline._features(world(3499 - late), times)
    assert not np.array_equal(first[-1], moved[-1], equal_nan=True), "the last known one is read"


def test_a_late_candle_is_not_seen_before_it_comes() -> None:
    candles = random_candles(4000)
    on_time = (np.arange(4000) + 1) * MINUTE
    arrival = np.where(np.arange(4000) == 3450, on_time + 5 * MINUTE, on_time)
    world = world_of(dataclasses.replace(candles, available_at=arrival))
    features = LightGBM()._features(world, np.array([3450, 3451, 3455, 3456]) * MINUTE)
    known = np.isfinite(features[:, 1:]).any(axis=1)
    assert known.tolist() == [True, False, False, True]
    np.testing.assert_array_equal(
        features[3], LightGBM()._features(world_of(candles), TEST[456:457])[0]
    )


def test_features_by_hand() -> None:
    candles = random_candles(4000)
    world, time = world_of(candles, {"1m": 8, "5m": 8}), np.array([3501 * MINUTE])
    features = LightGBM()._features(world, time)[0]
    s = world.label_volatility(time)[0]
    assert features[0] == pytest.approx(np.log(s))
    for start, frame, unit in ((1, "1m", s), (27, "5m", s * np.sqrt(5))):
        known = resample(candles, Timeframe.parse(frame)) if frame == "5m" else candles
        ohlcv = known.ohlcv[: int(known.timeframe.last_slot(time)[0]) + 1]
        returns = np.diff(np.log(ohlcv[:, 3]))
        high, low, volume = ohlcv[-1, 1], ohlcv[-1, 2], ohlcv[:, 4]
        spans = LightGBM.spans
        expected = [
            *returns[:-11:-1] / unit,
            *(returns[-n:].sum() / np.sqrt(n) / unit for n in spans),
            np.log(high / low) / unit,
            *(np.log(np.square(returns[-n:] / unit).mean()) for n in spans),
            np.log(volume[-1] / volume[-60:].mean()),
        ]
        np.testing.assert_allclose(features[start : start + 26], expected, rtol=1e-5, atol=1e-6)
    assert len(features) == 1 + 2 * 26


def test_a_halt_is_taken() -> None:
    candles = random_candles(4000)
    candles.ohlcv[3000:3100] = [*[candles.ohlcv[2999, 3]] * 4, 0.0]
    features = LightGBM()._features(world_of(candles), np.array([3099 * MINUTE]))[0]
    assert np.isfinite(features).all()
    assert features[-1] == 0.0, "no volume is as much as the mean of none"


def test_few_or_single_classed_decisions_are_taken() -> None:
    world, head = world_of(random_candles(4000, missing=0.2)), Direction()
    label = decisions({"d": head}, world, TRAIN).labels["d"]["direction"]
    few = label.select(np.arange(len(TRAIN)) < 40)
    baseline = LightGBM()
    baseline.fit(head, "direction", world, TRAIN[:40], few)
    assert np.isfinite(baseline.predict(world, np.arange(200) * MINUTE)["probs"]).all()
    none = np.zeros(len(TRAIN), dtype=np.int64)
    for present, expected in ((False, [1 / 3] * 3), (True, [1, 0, 0])):
        label = Label({"class": none}, np.full(len(TRAIN), present), none)
        baseline.fit(head, "direction", world, TRAIN, label)
        np.testing.assert_allclose(baseline.predict(world, TEST[:3])["probs"], [expected] * 3)


@pytest.mark.slow
def test_a_year_of_real_minutes(real_data: Path) -> None:
    """ETHUSDT 2023, the next 15 minutes; learned to the end of September, scored after it."""
    world, head = real_year(real_data), Direction(minutes=15)
    start, end = to_ms("2023-01-01"), to_ms("2024-01-01")
    border = start + 3 * (end - start) // 4
    train = np.arange(to_ms("2023-03-02"), border - 15 * MINUTE, 3 * MINUTE)
    test = np.arange(border, end - 15 * MINUTE, MINUTE)
    learned, asked = (
        decisions({"d": head}, world, times).labels["d"]["direction"] for times in (train, test)
    )
    baseline = LightGBM()
    baseline.fit(head, "direction", world, train, learned)
    probs, log_return = baseline.predict(world, test)["probs"], asked.values["log_return"]
    found = {}
    for phase in range(4):
        there = asked.present & (np.arange(len(test)) // 256 % 4 == phase)
        loss = log_loss(probs[there], asked.values["class"][there])
        ic = rank_ic(probs[there, 0] - probs[there, 1], log_return[there])
        found[phase] = point_value(loss), point_value(ic)
    print({phase: [round(figure, 4) for figure in pair] for phase, pair in found.items()})
    # Every fourth block of 256 minutes; the third phase is the one whose class prior is that of the
    # figures asked for (1.0906). The phases differ by luck, so their mean is held, too.
    assert found[2][0] <= 1.0750
    assert found[2][1] >= 0.070
    assert np.mean([loss for loss, _ in found.values()]) <= 1.0750
    assert np.mean([ic for _, ic in found.values()]) >= 0.060


def real_year(real_data: Path) -> World:
    """ETH at 1m, 15m and 1h, all made from 1m, and BTC at 1m."""
    streams = {
        "1m": {"lookback": 600},
        "15m": {"lookback": 600, "from": "1m"},
        "1h": {"lookback": 168, "from": "1m"},
        "btc": {"timeframe": "1m", "lookback": 600, "symbol": "BTCUSDT"},
    }
    config = Config.model_validate(
        {
            "data": {"name": "parquet", "path": str(real_data / "candles")},
            "decisions": {"start": "2023-01-01", "end": "2024-01-01", "symbols": ["ETHUSDT"]},
            "streams": streams,
        }
    )
    lookbacks = {name: stream.lookback for name, stream in config.streams.items()}
    return load_worlds(config, feature_sets(config), lookbacks).world
